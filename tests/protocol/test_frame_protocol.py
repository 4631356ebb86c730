"""Pieces of messages: how they come, what limits them, and where bad text is told."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wsproto.frame_protocol import CloseReason, Frame, Opcode, ParseFailed

from rawframes import build
from trunkline.protocol.wsproto.frame_protocol import FrameProtocol

TEXT, BINARY, CONTINUATION, CLOSE, PING, PONG = 1, 2, 0, 8, 9, 10


def read(proto: FrameProtocol, *chunks: bytes) -> list[Frame]:
    """The frames after each chunk."""
    frames = []
    for chunk in chunks:
        proto.receive_bytes(chunk)
        frames += proto.received_frames()
    return frames


def steps(data: bytes, size: int = 1) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


def test_pieces_come_as_they_arrive() -> None:
    stream = build(TEXT, "añb".encode(), fin=False) + build(CONTINUATION, "🐎".encode()) + build(BINARY)
    assert read(FrameProtocol(client=False), stream) == [
        Frame(Opcode.TEXT, "añb", True, False),
        Frame(Opcode.TEXT, "🐎", True, True),
        Frame(Opcode.BINARY, b"", True, True),
    ]
    pieces = read(FrameProtocol(client=False), *steps(stream))
    assert "".join(piece.payload for piece in pieces[:-1]) == "añb🐎"  # a character comes when its last byte does
    assert [piece.message_finished for piece in pieces].count(True) == 2


def test_nothing_is_parsed_before_it_is_asked_for() -> None:
    proto = FrameProtocol(client=False)
    proto.receive_bytes(build(TEXT, b"a") + build(BINARY, b"bc")[:7])
    frames = proto.received_frames()
    assert next(frames).payload == "a"
    proto.receive_bytes(build(BINARY, b"bc")[7:])
    assert next(frames).payload == b"bc"  # one piece, though it came in two chunks


@pytest.mark.parametrize("waiting", [1, 2, 5])
def test_chunks_keep_their_order(waiting: int) -> None:
    proto = FrameProtocol(client=False)
    proto.receive_bytes(build(BINARY, b"first"))
    for number in range(waiting):
        proto.receive_bytes(build(BINARY, b"%d" % number))
    frames = proto.received_frames()
    assert next(frames).payload == b"first"
    proto.receive_bytes(build(BINARY, b"last"))
    assert [frame.payload for frame in frames] == [*(b"%d" % number for number in range(waiting)), b"last"]


BAD_TEXTS = {
    b"\xff": "text is not UTF-8 at byte 0 (RFC 6455 8.1)",
    b"a\xc0\xaf": "text is not UTF-8 at byte 1 (RFC 6455 8.1)",
    b"ab\xed\xa0\x80": "text is not UTF-8 at byte 3 (RFC 6455 8.1)",
    b"abc\xf0\x9f": "text ends inside a character, after 5 bytes (RFC 6455 8.1)",
}


@pytest.mark.parametrize("payload", BAD_TEXTS)
@pytest.mark.parametrize("size", [1, 3, 100])
def test_bad_text_is_told_in_the_same_words_however_it_is_cut(payload: bytes, size: int) -> None:
    proto = FrameProtocol(client=False)
    with pytest.raises(ParseFailed) as caught:
        read(proto, *steps(build(TEXT, payload), size))
    assert (str(caught.value), caught.value.code) == (BAD_TEXTS[payload], CloseReason.INVALID_FRAME_PAYLOAD_DATA)
    assert read(proto, build(TEXT, b"more")) == []


def test_half_of_a_surrogate_is_told_before_its_other_half() -> None:
    proto = FrameProtocol(client=False)
    with pytest.raises(ParseFailed, match="text is not UTF-8 at byte 3"):
        read(proto, build(TEXT, b"ab\xed\xa0", fin=False))


@pytest.mark.parametrize("size", [1, 3, 10**6])
@pytest.mark.parametrize("opcode", [TEXT, BINARY])
def test_a_message_of_max_size_passes_and_one_byte_more_fails(opcode: int, size: int) -> None:
    for parts in ([100], [60, 40], [0, 100, 0], [30, 30, 40]):
        frames = [
            build(opcode if number == 0 else CONTINUATION, b"x" * part, fin=number == len(parts) - 1)
            for number, part in enumerate(parts)
        ]
        stream = b"".join(frames)
        passed = read(FrameProtocol(client=False, max_size=100), *steps(stream + build(PING) + stream, size))
        assert sum(len(frame.payload) for frame in passed) == 200
        proto = FrameProtocol(client=False, max_size=99)
        with pytest.raises(ParseFailed) as caught:
            read(proto, *steps(stream, size))
        assert caught.value.code is CloseReason.MESSAGE_TOO_BIG
        assert str(caught.value) == "message of 100 bytes or more, max_size 99 (RFC 6455 7.4.1)"


def test_a_header_that_announces_too_much_is_enough() -> None:
    proto = FrameProtocol(client=False, max_size=10)
    with pytest.raises(ParseFailed, match="message of 9223372036854775807 bytes or more, max_size 10"):
        read(proto, b"\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xff1234")
    with pytest.raises(ValueError, match="max_size is -1"):
        FrameProtocol(client=False, max_size=-1)


@pytest.mark.parametrize("wrong", [None, 5, "text", [1, 2]])
def test_what_is_no_bytes_is_refused(wrong: object) -> None:
    proto = FrameProtocol(client=False)
    with pytest.raises(TypeError):
        proto.receive_bytes(wrong)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        proto.ping(wrong)  # type: ignore[arg-type]
    assert [frame.payload for frame in read(proto, build(BINARY, b"goes on"))] == [b"goes on"]


@pytest.mark.parametrize("kind", [bytearray, memoryview, lambda data: memoryview(data * 2)[: len(data)]])
def test_any_bytes_like_will_do(kind: type) -> None:
    (frame,) = read(FrameProtocol(client=False), kind(build(BINARY, b"abc")))
    assert frame.payload == b"abc"
    assert FrameProtocol(client=False).send_data(kind(b"abc")) == build(BINARY, b"abc", masked=False)
    assert FrameProtocol(client=False).send_data(memoryview(b"aXbXcX")[::2]) == build(BINARY, b"abc", masked=False)


def test_a_protocol_that_was_never_set_up_is_a_server_without_extensions() -> None:
    proto = FrameProtocol.__new__(FrameProtocol)
    assert [frame.payload for frame in read(proto, build(BINARY, b"a"))] == [b"a"]
    assert proto.send_data("a") == build(TEXT, b"a", masked=False)


@settings(deadline=None)
@given(st.lists(st.tuples(st.text(max_size=300), st.booleans()), max_size=5), st.integers(1, 700))
def test_text_survives_any_cut(parts: list[tuple[str, bool]], size: int) -> None:
    client, server = FrameProtocol(client=True), FrameProtocol(client=False)
    stream = b"".join(client.send_data(text, fin) for text, fin in parts)
    pieces = read(server, *steps(stream, size))
    assert "".join(piece.payload for piece in pieces) == "".join(text for text, _ in parts)
    assert [piece.message_finished for piece in pieces].count(True) == sum(fin for _, fin in parts)


@pytest.mark.parametrize("opcode", [PING, PONG])
@pytest.mark.parametrize("kind", [TEXT, BINARY])
def test_control_frames_between_fragments_do_not_count_as_the_message(kind: int, opcode: int) -> None:
    start = build(kind, b"ab", fin=False) + build(opcode, b"x" * 100)
    *_, last = read(FrameProtocol(client=False, max_size=3), start + build(CONTINUATION, b"c"))
    assert last.message_finished
    proto = FrameProtocol(client=False, max_size=3)
    with pytest.raises(ParseFailed, match="message of 4 bytes or more, max_size 3") as failed:
        read(proto, start + build(CONTINUATION, b"cd"))
    assert failed.value.code is CloseReason.MESSAGE_TOO_BIG
