"""The handshakes of a live server and client beside the drop-in's, which writes with wsproto and reads with h11."""

from collections.abc import Callable
from typing import Any
from unittest import mock

import httptools
import pytest
from wsproto.events import AcceptConnection, Event, RejectConnection, RejectData, Request

from rawhttp import KEY, answer, request
from trunkline.protocol import CLIENT, SERVER, reading
from trunkline.protocol.client_handshake import ClientHandshake
from trunkline.protocol.deflate import Deflate, PerMessageDeflate
from trunkline.protocol.errors import LocalProtocolError, RemoteProtocolError
from trunkline.protocol.handshake import Handshake
from trunkline.protocol.head import HeadLimits
from trunkline.protocol.server_handshake import ServerHandshake, write_fields

OFFER = request(more=b"Sec-WebSocket-Extensions: x, permessage-deflate; client_max_window_bits\r\n")


def a_client(**options: Any) -> ClientHandshake:
    """A client that has asked, and takes the answers of `rawhttp`."""
    with mock.patch("trunkline.protocol.client_handshake.generate_nonce", return_value=KEY):
        client = ClientHandshake(HeadLimits())
    client.send(Request("localhost", "/chat", **options))
    return client


def fault_of(client: ClientHandshake, data: bytes) -> str:
    with pytest.raises(RemoteProtocolError) as caught:
        client.receive_data(data)
    return caught.value.detail or str(caught.value)


def body_of(events: list[Event]) -> tuple[bytes, bool]:
    parts = [event for event in events if isinstance(event, RejectData)]
    return b"".join(bytes(part.data) for part in parts), any(part.body_finished for part in parts)


# What is written


@pytest.mark.parametrize(
    ("chosen", "fields"), [(None, []), ("b", []), (None, [(b"X", b"y"), (b"Set-Cookie", b"a=b")]), ("a", [(b"X", b"")])]
)
@pytest.mark.parametrize("deflate", [None, Deflate(), Deflate(server_max_window_bits=10)])
@pytest.mark.parametrize("offer", [request(), OFFER])
def test_a_101_is_the_one_that_wsproto_writes(
    chosen: str | None, fields: list[tuple[bytes, bytes]], deflate: Deflate | None, offer: bytes
) -> None:
    data = offer.replace(b"\r\n\r\n", b"\r\nSec-WebSocket-Protocol: a, b\r\n\r\n")
    ours, theirs = ServerHandshake(HeadLimits()), Handshake(SERVER)
    ours.receive_data(data)
    theirs.receive_data(data)
    mine, wsproto_s = ([] if deflate is None else [PerMessageDeflate(deflate)] for _ in range(2))
    written = ours.accept(chosen, mine, write_fields(fields))
    assert written == theirs.send(AcceptConnection(chosen, list(wsproto_s), fields))
    assert [one.agreement for one in mine] == [one.agreement for one in wsproto_s]


@pytest.mark.parametrize("subprotocols", [[], ["a", "b"]])
@pytest.mark.parametrize("deflate", [None, Deflate()])
@pytest.mark.parametrize("host", ["localhost", "[::1]:80", "bücher.example:8080"])
def test_a_request_is_the_one_that_wsproto_writes(subprotocols: list[str], deflate: Deflate | None, host: str) -> None:
    def event() -> Request:
        extensions = [] if deflate is None else [PerMessageDeflate(deflate)]
        fields = [(b"Cookie", b"caf\xe9"), (b"X", b"")]
        return Request(host, "/chat?x", list(extensions), fields, subprotocols)

    with (
        mock.patch("trunkline.protocol.client_handshake.generate_nonce", return_value=KEY),
        mock.patch("wsproto.handshake.generate_nonce", return_value=KEY),
    ):
        assert ClientHandshake(HeadLimits()).send(event()) == Handshake(CLIENT).send(event())


@pytest.mark.parametrize(
    "event",
    [
        Request("a\r\nX: y", "/"),
        Request("a" * 70, "/"),
        Request("a", "/ HTTP/1.1\r\nX: y"),
        Request("a", "/\xe9"),
        Request("a", ""),
        Request("a", "/", extra_headers=[(b"X", b"hunter2\r\nY: z")]),
        Request("a", "/", extra_headers=[(b"X", b" hunter2")]),
        Request("a", "/", extra_headers=[(b"X", b"hunter2\0")]),
        Request("a", "/", extra_headers=[(b"X hunter2", b"")]),
        Request("a", "/", subprotocols=["a\nb"]),
        Request("a", "/", subprotocols=["é"]),
    ],
)
def test_a_request_that_is_not_valid_in_http_is_not_written(event: Request) -> None:
    with pytest.raises(LocalProtocolError, match="not allowed in a handshake") as caught:
        ClientHandshake(HeadLimits()).send(event)
    assert "hunter2" not in str(caught.value)


# What is read


@pytest.mark.parametrize("step", [None, 1, 3])
def test_frames_behind_the_handshake_are_kept(step: int | None) -> None:
    frames = b"\x81\x02hi" * 3
    server, client = ServerHandshake(HeadLimits()), a_client()
    for end, data in ((server, request() + frames), (client, answer() + frames)):
        for at in range(0, len(data), step or len(data)):
            end.receive_data(data[at : at + (step or len(data))])
        assert end.trailing_data == frames


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (answer({"Upgrade": None}), "Upgrade is missing, must be 'websocket' (RFC 6455 4.1)"),
        (answer({"Connection": None}), "Connection is missing, must include 'Upgrade' (RFC 6455 4.1)"),
        (b"HTTP/1.1 101\r\n\r\n", "Upgrade is missing, must be 'websocket' (RFC 6455 4.1)"),
        (answer({"Sec-WebSocket-Extensions": b"x"}), "extension 'x' was not offered (RFC 6455 4.1)"),
        (answer({"Sec-WebSocket-Extensions": b"permessage-deflate, "}), "unrecognized extension "),
        (
            answer({"Sec-WebSocket-Protocol": b"c"}),
            "the chosen subprotocol, of 1 characters, was not offered (RFC 6455",
        ),
        (answer({"Sec-WebSocket-Extensions": b"permessage-deflate\xe9"}), "was not offered (RFC 6455 4.1)"),
        (answer({"X\x01": b"a"}), "illegal header line (RFC 9112)"),
        (answer({"X": b"a\0b"}), "a field holds NUL, VT, FF or CR (RFC 9110 5.5)"),
        (answer(more=b"X y: hunter2\r\n"), "illegal header line (RFC 9112)"),
        (answer(line=b"HTTP/1.1 10l Hunter2"), "illegal status line (RFC 9112)"),
        (answer({"Transfer-Encoding": b"gzip"}), "Only Transfer-Encoding: chunked is supported (RFC 9112)"),
        (answer({"Transfer-Encoding": [b"chunked"] * 2}), "multiple Transfer-Encoding headers (RFC 9112)"),
    ],
)
@pytest.mark.parametrize("step", [None, 1])
def test_what_is_wrong_with_an_answer_is_told(data: bytes, words: str, step: int | None) -> None:
    client = a_client(subprotocols=["a"], extensions=[PerMessageDeflate()])

    def feed() -> None:
        for at in range(0, len(data), step or len(data)):
            client.receive_data(data[at : at + (step or len(data))])

    with pytest.raises(RemoteProtocolError) as caught:
        feed()
    told = caught.value.detail or str(caught.value)
    assert words in told
    assert "hunter2" not in told
    assert list(client.events()) == []


def test_the_body_of_a_refusal_up_to_where_it_breaks() -> None:
    client = a_client()
    head = b"HTTP/1.1 403 No\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert "(RFC 9112)" in fault_of(client, head + b"3\r\nabc\r\nzz\r\n")
    events = list(client.events())
    assert isinstance(events[0], RejectConnection)
    assert (events[0].status_code, body_of(events)) == (403, (b"abc", False))


@pytest.mark.parametrize("rest", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", b"\0" * 9])
@pytest.mark.parametrize(
    "framing", [b"Content-Length: 2\r\n\r\nno", b"Transfer-Encoding: chunked\r\n\r\n2\r\nno\r\n0\r\n\r\n"]
)
def test_what_follows_a_refusal_is_no_part_of_it(framing: bytes, rest: bytes) -> None:
    client = a_client()
    client.receive_data(b"HTTP/1.1 403 No\r\n" + framing + rest)
    client.receive_data(b"more")
    assert body_of(list(client.events())) == (b"no", True)


def test_a_trailer_is_no_part_of_the_head() -> None:
    client = a_client()
    client.receive_data(b"HTTP/1.1 403 No\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: y\r\n\r\n")
    [refused, _] = client.events()
    assert isinstance(refused, RejectConnection)
    assert refused.headers == [(b"transfer-encoding", b"chunked")]


# llhttp


def test_llhttp_is_never_lenient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its strict mode is the default, and nothing may leave it: neither class has that method here."""
    made: list[str] = []

    class Strict:
        def __init__(self, kind: Callable[[object], Any], found: object) -> None:
            made.append(kind.__name__)
            self.feed_data = kind(found).feed_data

    for name in ("HttpRequestParser", "HttpResponseParser"):
        kind = getattr(httptools, name)
        monkeypatch.setattr(reading, name, lambda found, kind=kind: Strict(kind, found))
    ServerHandshake(HeadLimits()).receive_data(request())
    a_client().receive_data(answer())
    assert made == ["HttpRequestParser", "HttpResponseParser"]


def test_memory_that_runs_out_is_no_fault_of_the_peer(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: object, name: bytes, value: bytes) -> None:
        raise MemoryError

    monkeypatch.setattr(reading._Found, "on_header", fail)
    with pytest.raises(MemoryError):
        ServerHandshake(HeadLimits()).receive_data(request())
