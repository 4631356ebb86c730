"""How permessage-deflate is agreed on (RFC 7692 7.1), as tables, and the extension's frame hooks against wsproto's."""

import zlib
from typing import Any

import pytest
import wsproto.extensions
from wsproto import WSConnection
from wsproto.connection import ConnectionType
from wsproto.events import AcceptConnection, BytesMessage, CloseConnection, Message, Ping, Request, TextMessage
from wsproto.frame_protocol import CloseReason, Opcode, RsvBits

from rawframes import deflate
from trunkline.protocol import PerMessageDeflate
from trunkline.protocol.backends import BACKENDS, find_backend
from trunkline.protocol.deflate import Agreement, Deflate
from trunkline.protocol.errors import RemoteProtocolError
from trunkline.protocol.handshake import Handshake

P = "permessage-deflate"
SNCT, CNCT = "server_no_context_takeover", "client_no_context_takeover"
SMWB, CMWB = "server_max_window_bits", "client_max_window_bits"
KEEPING = Deflate(server_no_context_takeover=False, client_no_context_takeover=False)
WIDE = Deflate(server_no_context_takeover=False, client_no_context_takeover=False, server_max_window_bits=15)


def terms(agreement: Agreement) -> tuple[bool, bool, int, int]:
    return agreement.server_keeps, agreement.client_keeps, agreement.server_bits, agreement.client_bits


# A server's answers: what it wants, the offer, its answer, and (server keeps, client keeps, server bits, client bits).
ANSWERS = [
    (Deflate(), P, f"{SNCT}; {CNCT}; {SMWB}=12", (False, False, 12, 15)),
    (Deflate(), f"{P}; {CMWB}", f"{SNCT}; {CNCT}; {SMWB}=12", (False, False, 12, 15)),
    (KEEPING, P, f"{SMWB}=12", (True, True, 12, 15)),
    (WIDE, P, "", (True, True, 15, 15)),
    (WIDE, f"{P}; {SNCT}", SNCT, (False, True, 15, 15)),
    (WIDE, f"{P}; {CNCT}", CNCT, (True, False, 15, 15)),
    (WIDE, f"{P}; {CNCT}; {SNCT}", f"{SNCT}; {CNCT}", (False, False, 15, 15)),
    (WIDE, f"{P}; {SMWB}=15", f"{SMWB}=15", (True, True, 15, 15)),
    (WIDE, f"{P}; {CMWB}=8", f"{CMWB}=8", (True, True, 15, 8)),
    (WIDE, f'{P};{CMWB}="10" ; {SMWB} = 11', f"{SMWB}=11; {CMWB}=10", (True, True, 11, 10)),
    (WIDE, f'{P}; {SMWB}="1\\0"', f"{SMWB}=10", (True, True, 10, 15)),
    (Deflate(client_max_window_bits=10), P, f"{SNCT}; {CNCT}; {SMWB}=12", (False, False, 12, 15)),
    (
        Deflate(client_max_window_bits=10),
        f"{P}; {CMWB}",
        f"{SNCT}; {CNCT}; {SMWB}=12; {CMWB}=10",
        (False, False, 12, 10),
    ),
    (
        Deflate(client_max_window_bits=10),
        f"{P}; {CMWB}=9",
        f"{SNCT}; {CNCT}; {SMWB}=12; {CMWB}=9",
        (False, False, 12, 9),
    ),
    (
        Deflate(client_max_window_bits=10),
        f"{P}; {CMWB}=14",
        f"{SNCT}; {CNCT}; {SMWB}=12; {CMWB}=10",
        (False, False, 12, 10),
    ),
    (Deflate(server_max_window_bits=8), P, f"{SNCT}; {CNCT}; {SMWB}=9", (False, False, 9, 15)),
    *((WIDE, f"{P}; {SMWB}={bits}", f"{SMWB}={bits}", (True, True, bits, 15)) for bits in range(9, 16)),
    *((WIDE, f"{P}; {CMWB}={bits}", f"{CMWB}={bits}", (True, True, 15, bits)) for bits in range(8, 15)),
]

# Neither an offer nor an answer may hold these.
NONSENSE = [
    f"{P}; {SNCT}; {SNCT}",
    f"{P}; {CMWB}=10; {CMWB}=10",
    f"{P}; {SMWB}=10; {SMWB}=11",
    f"{P}; {SNCT}=1",
    f'{P}; {CNCT}=""',
    f"{P}; {SMWB}",
    f"{P}; {SMWB}=",
    f"{P}; {SMWB}=7",
    f"{P}; {SMWB}=16",
    f"{P}; {SMWB}=010",
    f"{P}; {SMWB}=+10",
    f"{P}; {SMWB}=1 0",
    f"{P}; {SMWB}=1\u0660",
    f'{P}; {SMWB}="10',
    f'{P}; {SMWB}=10"',
    f"{P}; {SMWB}='10'",
    f"{P}; {SMWB}=99999999999999999999",
    f"{P}; {CMWB}=7",
    f"{P}; {CMWB}=16",
    f"{P}; {CMWB}=",
    f"{P}; {CMWB}=x",
    f"{P}; unknown",
    f"{P}; unknown=1",
    f"{P}; {SNCT.upper()}",
    f"{P};",
    f"{P}; ; {SNCT}",
    f"{P}; {SNCT} {CNCT}",
]


@pytest.mark.parametrize(("wanted", "offer", "answer", "agreed"), ANSWERS)
def test_what_a_server_answers(wanted: Deflate, offer: str, answer: str, agreed: tuple[object, ...]) -> None:
    extension = PerMessageDeflate(wanted)
    assert extension.accept(offer) == answer
    assert extension.enabled()
    assert terms(extension.agreement) == agreed
    assert not extension.agreement.client


@pytest.mark.parametrize("offer", [*NONSENSE, f"{P}; {SMWB}=8"])
def test_an_offer_that_a_server_declines(offer: str) -> None:
    extension = PerMessageDeflate(WIDE)
    assert extension.accept(offer) is None
    assert not extension.enabled()


def test_the_first_offer_that_will_do_is_taken() -> None:
    extension = PerMessageDeflate(WIDE)
    offers = [f"{P}; {SMWB}=8", f"{P}; nonsense", f"{P}; {SMWB}=10", P]
    assert [extension.accept(offer) for offer in offers] == [None, None, f"{SMWB}=10", None]


@pytest.mark.parametrize(
    ("wanted", "offer"),
    [
        (Deflate(), CMWB),
        (Deflate(client_max_window_bits=10), f"{CMWB}=10"),
        (Deflate(client_max_window_bits=8), f"{CMWB}=9"),
        (Deflate(server_max_window_bits=8, server_no_context_takeover=True), f"{SNCT}; {SMWB}=8; {CMWB}"),
        (Deflate(client_no_context_takeover=True), f"{CNCT}; {CMWB}"),
        (KEEPING, CMWB),
    ],
)
def test_what_a_client_offers(wanted: Deflate, offer: str) -> None:
    assert PerMessageDeflate(wanted).offer() == offer


# A client's understanding: what it wants, the answer, and the terms.
UNDERSTOOD = [
    (Deflate(), P, (True, True, 15, 12)),
    (Deflate(), f"{P}; {SNCT}", (False, True, 15, 12)),
    (Deflate(), f"{P}; {CNCT}", (True, False, 15, 12)),
    (Deflate(), f"{P}; {SMWB}=8", (True, True, 8, 12)),
    (Deflate(), f"{P}; {CMWB}=9", (True, True, 15, 9)),
    (Deflate(), f"{P}; {CMWB}=15", (True, True, 15, 12)),
    (Deflate(client_max_window_bits=15), P, (True, True, 15, 15)),
    (Deflate(client_max_window_bits=13), f'{P}; {CMWB}="11"', (True, True, 15, 11)),
    (Deflate(client_no_context_takeover=True), P, (True, False, 15, 12)),
    (Deflate(server_max_window_bits=10), f"{P}; {SMWB}=9", (True, True, 9, 12)),
    (Deflate(server_no_context_takeover=True), f"{P}; {SNCT}", (False, True, 15, 12)),
]


@pytest.mark.parametrize(("wanted", "answer", "agreed"), UNDERSTOOD)
def test_what_a_client_understands(wanted: Deflate, answer: str, agreed: tuple[object, ...]) -> None:
    extension = PerMessageDeflate(wanted)
    extension.finalize(answer)
    assert terms(extension.agreement) == agreed
    assert extension.agreement.client


@pytest.mark.parametrize(
    ("wanted", "answer"),
    [
        *((Deflate(), answer) for answer in [*NONSENSE, f"{P}; {CMWB}=8", f"{P}; {CMWB}"]),
        (Deflate(server_max_window_bits=10), P),
        (Deflate(server_max_window_bits=10), f"{P}; {SMWB}=11"),
        (Deflate(client_max_window_bits=10), f"{P}; {CMWB}=11"),
        (Deflate(server_no_context_takeover=True), P),
    ],
)
def test_an_answer_that_fails_the_handshake(wanted: Deflate, answer: str) -> None:
    extension = PerMessageDeflate(wanted)
    with pytest.raises(RemoteProtocolError, match=r"RFC 7692 7\.1"):
        extension.finalize(answer)
    assert not extension.enabled()


def test_an_answer_that_stands_twice_fails_the_handshake() -> None:
    extension = PerMessageDeflate()
    extension.finalize(P)
    with pytest.raises(RemoteProtocolError, match="twice"):
        extension.finalize(P)


@pytest.mark.parametrize(
    "wrong",
    [
        {"server_max_window_bits": 7},
        {"client_max_window_bits": 16},
        {"threshold": -1},
        {"level": 0},
        {"level": 10},
        {"mem_level": 0},
        {"off_thread": 0},
        {"backend": "gzip"},
    ],
    ids=str,
)
def test_settings_that_make_no_sense(wrong: dict[str, Any]) -> None:
    (name,) = wrong
    with pytest.raises(ValueError, match=name):
        Deflate(**wrong)


def test_isal_is_taken_where_it_is_installed() -> None:
    assert find_backend(None).name == "isal"


@pytest.mark.parametrize("name", BACKENDS)
@pytest.mark.parametrize("bits", range(9, 16))
@pytest.mark.parametrize("level", range(1, 10))
def test_zlib_reads_what_a_back_end_writes_with_the_window_agreed_on(name: str, bits: int, level: int) -> None:
    words = [b"%d: the same words, and then %d\n" % (number, number * number) for number in range(3000)]
    compressor = find_backend(name).compressor(level, bits, 5)
    payload = compressor.compress(b"".join(words)) + compressor.flush(zlib.Z_SYNC_FLUSH)
    assert payload.endswith(b"\0\0\xff\xff")
    assert len(payload) < sum(map(len, words)) * 2 // 3
    assert zlib.decompressobj(-bits).decompress(payload) == b"".join(words)


@pytest.mark.parametrize("name", BACKENDS)
def test_after_a_full_flush_nothing_refers_to_what_was_before(name: str) -> None:
    compressor = find_backend(name).compressor(1, 12, 5)
    for _ in range(50):
        payload = compressor.compress(b"a secret of one connection") + compressor.flush(zlib.Z_FULL_FLUSH)
        assert zlib.decompressobj(-12).decompress(payload) == b"a secret of one connection"


# Against wsproto: its connection calls our hooks, and on the other end its own extension.

THEIRS = wsproto.extensions.PerMessageDeflate


def handshake(client_extension: object, server_extension: object) -> tuple[WSConnection, WSConnection]:
    client, server = WSConnection(ConnectionType.CLIENT), WSConnection(ConnectionType.SERVER)
    server.receive_data(client.send(Request("example.com", "/", extensions=[client_extension])))
    list(server.events())
    client.receive_data(server.send(AcceptConnection(extensions=[server_extension])))
    (accepted,) = client.events()
    assert accepted.extensions == [client_extension]
    return client, server


SENT: list[list[Message]] = [
    [TextMessage("Hello " * 500)],
    [BytesMessage(b"\0\1\2" * 5000)],
    [TextMessage("short")],
    [TextMessage("")],
    [TextMessage("a" * 3000, message_finished=False), TextMessage("b" * 10, message_finished=False), TextMessage("c")],
    [BytesMessage(b"a" * 3000, message_finished=False), BytesMessage(b"")],
    [BytesMessage(b"short", message_finished=False), BytesMessage(b"long" * 1000)],
]


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (Deflate(), {}),
        (KEEPING, {}),
        (Deflate(server_max_window_bits=9, client_max_window_bits=9, threshold=0), {}),
        (Deflate(backend="zlib"), {"client_no_context_takeover": True, "server_no_context_takeover": True}),
        (Deflate(backend="zlib", level=9, mem_level=9), {"client_max_window_bits": 10, "server_max_window_bits": 10}),
    ],
)
@pytest.mark.parametrize("we_are_client", [True, False])
def test_wsproto_reads_what_we_send_and_we_what_it_sends(
    ours: Deflate, theirs: dict[str, Any], we_are_client: bool
) -> None:
    extensions = [PerMessageDeflate(ours), THEIRS(**theirs)]
    client, server = handshake(*(extensions if we_are_client else reversed(extensions)))
    for sender, receiver in ((client, server), (server, client)):
        for parts in SENT * 2:
            for part in parts:
                receiver.receive_data(sender.send(part))
                if (receiver is client) is we_are_client:
                    # wsproto's extension forgets at a ping that the message around it is compressed.
                    receiver.receive_data(sender.send(Ping(b"between")))
            got = [event for event in receiver.events() if isinstance(event, Message)]
            assert type(got[0].data)().join(event.data for event in got) == type(parts[0].data)().join(
                part.data for part in parts
            )
            assert got[-1].message_finished


def test_the_first_frame_alone_has_rsv1_and_only_from_the_threshold_on() -> None:
    extension = PerMessageDeflate(Deflate(threshold=100))
    extension.accept(P)
    none = RsvBits(False, False, False)
    bits, payload = extension.frame_outbound(None, Opcode.TEXT, none, b"x" * 100, True)
    assert bits.rsv1
    assert len(payload) < 100
    assert extension.frame_outbound(None, Opcode.TEXT, none, b"x" * 99, True) == (none, b"x" * 99)
    assert extension.frame_outbound(None, Opcode.PING, none, b"x" * 100, True) == (none, b"x" * 100)
    assert extension.frame_outbound(None, Opcode.TEXT, none, b"x" * 100, False)[0].rsv1
    assert not extension.frame_outbound(None, Opcode.CONTINUATION, none, b"y" * 100, True)[0].rsv1


def bomb(size: int) -> bytes:
    return deflate(bytes(size), level=9)


@pytest.mark.parametrize(
    ("payload", "limit", "code"),
    [
        (bomb(50_000_000), 1000, CloseReason.MESSAGE_TOO_BIG),
        (bomb(1001), 1000, CloseReason.MESSAGE_TOO_BIG),
        (bomb(1), 0, CloseReason.MESSAGE_TOO_BIG),
        (b"\x07\xff", 1000, CloseReason.INVALID_FRAME_PAYLOAD_DATA),
    ],
)
def test_a_payload_that_fails_the_connection(payload: bytes, limit: int, code: CloseReason) -> None:
    extension = PerMessageDeflate(max_size=limit)
    extension.accept(P)
    extension.frame_inbound_header(None, Opcode.BINARY, RsvBits(True, False, False), len(payload))
    assert extension.frame_inbound_payload_data(None, payload) == code


def test_a_message_that_is_cut_short_fails_the_connection() -> None:
    extension = PerMessageDeflate(Deflate(backend="zlib"))
    extension.accept(P)
    extension.frame_inbound_header(None, Opcode.BINARY, RsvBits(True, False, False), 100)
    assert extension.frame_inbound_payload_data(None, bomb(100)[:4]) != b""
    assert extension.frame_inbound_complete(None, True) == CloseReason.INVALID_FRAME_PAYLOAD_DATA


@pytest.mark.parametrize("opcode", [Opcode.CONTINUATION, Opcode.PING, Opcode.CLOSE])
def test_rsv1_where_it_must_not_stand(opcode: Opcode) -> None:
    extension = PerMessageDeflate()
    extension.accept(P)
    answer = extension.frame_inbound_header(None, opcode, RsvBits(True, False, False), 5)
    assert answer == CloseReason.PROTOCOL_ERROR


def test_extensions_that_stand_in_two_fields_fail_a_client() -> None:
    client, server = Handshake(ConnectionType.CLIENT), Handshake(ConnectionType.SERVER)
    server.receive_data(client.send(Request("example.com", "/", extensions=[PerMessageDeflate()])))
    answer = server.send(AcceptConnection(extensions=[PerMessageDeflate()], extra_headers=[]))
    again = answer.replace(b"\r\n\r\n", b"\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n")
    with pytest.raises(RemoteProtocolError, match="appears twice"):
        client.receive_data(again)


def test_a_close_event_comes_of_a_bomb_through_wsproto_s_connection() -> None:
    client, server = handshake(THEIRS(), PerMessageDeflate(max_size=10_000))
    server.receive_data(client.send(BytesMessage(bytes(10**6))))
    assert [event.code for event in server.events() if isinstance(event, CloseConnection)] == [1009]
