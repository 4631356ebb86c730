"""The opening handshake without a socket: beside wsproto's, which is the oracle, and at the bounds that we add to it.

The requests and answers are written by hand. What we refuse and wsproto does not stands in tables of its own.
"""

from typing import Any
from unittest import mock

import pytest
import wsproto
from wsproto.events import (
    AcceptConnection,
    BytesMessage,
    Event,
    Ping,
    RejectConnection,
    RejectData,
    Request,
    TextMessage,
)
from wsproto.extensions import PerMessageDeflate

from rawframes import build
from rawhttp import ACCEPT, ASKED, KEY, answer, request
from trunkline import protocol
from trunkline.protocol import CLIENT, SERVER, ConnectionState
from trunkline.protocol.errors import LocalProtocolError, RemoteProtocolError
from trunkline.protocol.head import MAX_FIELDS, MAX_HEAD, MAX_LINE


def take(end: Any, data: bytes | None, step: int | None = None) -> tuple[object, list[Event], ConnectionState]:
    """What a connection raises, its events, and its state, when it receives data whole or in steps."""
    chunks = [data] if step is None or data is None else [data[at : at + step] for at in range(0, len(data), step)]
    raised = None
    try:
        for chunk in chunks:
            end.receive_data(chunk)
    except Exception as error:
        raised = (type(error).__name__, str(error), getattr(error, "event_hint", None))
    return raised, list(end.events()), end.state


def a_server(module: Any) -> Any:
    return module.WSConnection(SERVER)


def a_client(module: Any) -> Any:
    end = module.WSConnection(CLIENT)
    with mock.patch("wsproto.handshake.generate_nonce", return_value=KEY):
        end.send(Request("localhost", "/chat", subprotocols=["a", "b"]))
    return end


REQUESTS = {
    "the least": request(),
    "keep-alive, Upgrade": request({"Connection": b"keep-alive, Upgrade"}),
    "other cases": request({"Upgrade": b"WebSocket", "Connection": b"UPGRADE", "sec-websocket-key": None}),
    "subprotocols": request(more=b"Sec-WebSocket-Protocol: a, b\r\nSec-WebSocket-Protocol: c\r\n"),
    "extensions": request(more=b"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n"),
    "a host in Punycode": request({"Host": b"xn--bcher-kva.example:8080"}),
    "an IPv6 host": request({"Host": b"[::1]:80"}),
    "Content-Length: 0": request(more=b"Content-Length: 0\r\n"),
    "no Host": request({"Host": None}),
    "two Hosts": request(more=b"Host: other\r\n"),
    "no Connection": request({"Connection": None}),
    "Connection: close": request({"Connection": b"close"}),
    "no version": request({"Sec-WebSocket-Version": None}),
    "version 8": request({"Sec-WebSocket-Version": b"8"}),
    "versions in a list": request({"Sec-WebSocket-Version": b"13, 8"}),
    "no key": request({"Sec-WebSocket-Key": None}),
    "not HTTP": b"hello\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "a field without a name": request(more=b": a\r\n"),
    "a space before the colon": request(more=b"X : a\r\n"),
    "a NUL": request(more=b"X: a\0b\r\n"),
    "a bare CR": request(more=b"X: a\rb\r\n"),
    "a target beyond ASCII": request(line="GET /é HTTP/1.1".encode()),
    "the end of the stream": None,
}  # fmt: skip


@pytest.mark.parametrize("step", [None, 1, 7])
@pytest.mark.parametrize("data", REQUESTS.values(), ids=REQUESTS)
def test_a_request_is_read_as_by_wsproto(data: bytes | None, step: int | None) -> None:
    assert take(a_server(protocol), data, step) == take(a_server(wsproto), data, step)


ANSWERS = {
    "the least": answer(),
    "other cases": answer({"Upgrade": b"WebSocket", "Connection": b"keep-alive, upgrade"}),
    "a subprotocol": answer(more=b"Sec-WebSocket-Protocol: b\r\nX: y\r\n"),
    "a subprotocol that was not offered": answer(more=b"Sec-WebSocket-Protocol: c\r\n"),
    "two subprotocols": answer(more=b"Sec-WebSocket-Protocol: a, b\r\n"),
    "an extension that was not offered": answer(more=b"Sec-WebSocket-Extensions: permessage-deflate\r\n"),
    "a wrong key": answer({"Sec-WebSocket-Accept": b"AAAAAAAAAAAAAAAAAAAAAAAAAAA="}),
    "no key": answer({"Sec-WebSocket-Accept": None}),
    "no Upgrade": answer({"Upgrade": None}),
    "no Connection": answer({"Connection": None}),
    "404": b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\nX: y\r\n\r\nno",
    "404 in chunks": b"HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nno\r\n0\r\n\r\n",
    "200 that ends with the stream": b"HTTP/1.1 200 OK\r\n\r\n<html>",
    "204": b"HTTP/1.1 204 No Content\r\n\r\n",
    "not HTTP": b"220 smtp.example ESMTP\r\n\r\n",
    "the end of the stream": None,
}


@pytest.mark.parametrize("data", ANSWERS.values(), ids=ANSWERS)
def test_an_answer_is_read_as_by_wsproto(data: bytes | None) -> None:
    assert take(a_client(protocol), data) == take(a_client(wsproto), data)


def test_frames_behind_the_answer_follow_it() -> None:
    data = answer() + build(1, b"first", masked=False) + build(2, b"second", masked=False)
    ours, theirs = take(a_client(protocol), data), take(a_client(wsproto), data)
    assert ours == theirs
    assert ours[1:] == ([AcceptConnection(), TextMessage("first"), BytesMessage(b"second")], ConnectionState.OPEN)


SENT_BY_SERVERS: dict[str, list[Event]] = {
    "101": [AcceptConnection(), TextMessage("hello")],
    "101 with fields": [AcceptConnection("a", extra_headers=[(b"X", b"y")])],
    "a subprotocol that was not offered": [AcceptConnection("z"), AcceptConnection("a")],
    "a refusal": [RejectConnection(403), RejectConnection(403), RejectData(b"no")],
    "a refusal with a body": [
        RejectConnection(404, [(b"Content-Length", b"4")], has_body=True),
        RejectData(b"no", body_finished=False),
        RejectData(b"ne"),
        RejectData(b"more"),
    ],
    "a body without a head": [RejectData(b"no")],
    "a frame before the answer": [Ping()],
}


@pytest.mark.parametrize("events", SENT_BY_SERVERS.values(), ids=SENT_BY_SERVERS)
def test_a_server_sends_the_same_bytes(events: list[Event]) -> None:
    sent = []
    for module in (wsproto, protocol):
        end = a_server(module)
        take(end, request(more=b"Sec-WebSocket-Protocol: a, b\r\n"))
        sent.append([outcome(end, event) for event in events])
    assert sent[1] == sent[0]


def outcome(end: Any, event: Event) -> object:
    try:
        return bytes(end.send(event)), end.state
    except wsproto.utilities.LocalProtocolError:
        return "refused", end.state


@pytest.mark.parametrize(
    "event",
    [
        Request("localhost", "/"),
        Request("bücher.example:8080", "/a?b", extra_headers=[(b"X", b"y")], subprotocols=["a", "b"]),
        Request("localhost", "/", extensions=[PerMessageDeflate()]),
        RejectData(b"no"),
    ],
)
def test_a_client_sends_the_same_bytes(event: Event) -> None:
    with mock.patch("wsproto.handshake.generate_nonce", return_value=KEY):
        theirs, ours = (outcome(module.WSConnection(CLIENT), event) for module in (wsproto, protocol))
    assert ours == theirs


def test_a_request_that_was_read_elsewhere() -> None:
    fields = [(name.encode(), value) for name, value in ASKED.items()]
    theirs, ours = a_server(wsproto), a_server(protocol)
    for end in (theirs, ours):
        end.initiate_upgrade_connection(fields, "/chat")
    assert list(ours.events()) == list(theirs.events())
    assert ours.send(AcceptConnection()) == theirs.send(AcceptConnection())
    assert ours.state is theirs.state is ConnectionState.OPEN


# What differs on purpose: we refuse, as a server, what wsproto takes or falls over

REFUSED = {
    "HTTP/1.0": (request(line=b"GET / HTTP/1.0"), 505, "HTTP/1.0, must be 1.1 or later"),
    "a key of 15 bytes": (request({"Sec-WebSocket-Key": b"AAAAAAAAAAAAAAAAAAAA"}), 400, "not 16 bytes in base64"),
    "a key that is not base64": (request({"Sec-WebSocket-Key": b"*" * 24}), 400, "not 16 bytes in base64"),
    "two keys": (request(more=b"Sec-WebSocket-Key: " + KEY + b"\r\n"), 400, "sec-websocket-key appears twice"),
    "two versions": (request(more=b"Sec-WebSocket-Version: 13\r\n"), 400, "sec-websocket-version appears twice"),
    "two origins": (request(more=b"Origin: http://a\r\nOrigin: http://b\r\n"), 400, "origin appears twice"),
    "two Upgrades": (request(more=b"Upgrade: websocket\r\n"), 400, "upgrade appears twice"),
    "a body": (request(more=b"Content-Length: 5\r\n") + b"hello", 400, "the WebSocket handshake has a body"),
    "a body in chunks": (request(more=b"Transfer-Encoding: chunked\r\n"), 400, "the WebSocket handshake has a body"),
    "a body of both kinds": (
        request(more=b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"), 400, "with content-length",
    ),
    "a host beyond ASCII": (request({"Host": "é.example".encode()}), 400, "must be a host"),
    "a host that is no Punycode": (request({"Host": b"xn--a"}), 400, "the host cannot be read"),
    "a host with an empty label": (request({"Host": b"a..b"}), 400, "must be a host"),
    "a host with a label of 64 bytes": (request({"Host": b"a" * 64}), 400, "must be a host"),
    "an empty host": (request({"Host": b""}), 400, "must be a host"),
    "POST": (request(line=b"POST / HTTP/1.1"), 405, "Request method must be GET"),
    "no Upgrade": (request({"Upgrade": None}), 426, "Missing header, 'Upgrade: websocket'"),
    "Upgrade: h2c": (request({"Upgrade": b"h2c"}), 426, "Missing header, 'Upgrade: websocket'"),
    "a plain GET": (request({"Upgrade": None, "Connection": None}), 426, "Missing header, 'Connection: Upgrade'"),
    "HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400, "Bad HTTP message"),
    "a subprotocol beyond ASCII": (request(more="Sec-WebSocket-Protocol: é\r\n".encode()), 400, "cannot read a field"),
    "an extension beyond ASCII": (request(more="Sec-WebSocket-Extensions: é\r\n".encode()), 400, "cannot read a field"),
    "a Connection beyond ASCII": (request({"Connection": "é".encode()}), 400, "cannot read a field"),
    "lines ended by LF": (request().replace(b"\r\n", b"\n"), 400, "LF alone"),
    "one line ended by LF": (request(more=b"X: y\n"), 400, "LF alone"),
    "an empty line ended by LF": (request()[:-2] + b"\n\r\n", 400, "LF alone"),
    "a field folded with a space": (request(more=b"X-Long: a\r\n b\r\n"), 400, "folded"),
    "a field folded with a tab": (request(more=b"X-Long: a\r\n\tb\r\n"), 400, "folded"),
}  # fmt: skip


@pytest.mark.parametrize("step", [None, 1, 2, 3, 7])
@pytest.mark.parametrize(("data", "status", "text"), REFUSED.values(), ids=REFUSED)
def test_requests_that_only_we_refuse(data: bytes, status: int, text: str, step: int | None) -> None:
    end = a_server(protocol)
    error = refusal(end, data, step or len(data))
    assert text in str(error)
    assert isinstance(error, wsproto.utilities.RemoteProtocolError)
    assert isinstance(error.event_hint, RejectConnection)
    assert end.send(error.event_hint).startswith(b"HTTP/1.1 %d " % status)
    assert end.state is ConnectionState.CLOSED
    raised, _, _ = take(a_server(wsproto), data)
    assert raised is None or raised[2] != error.event_hint or raised[1] != str(error)


def test_a_connection_list_over_several_fields() -> None:
    """wsproto reads the last (RFC 9110 5.3). The fields that it tells of are those that came."""
    fields = [b"Connection: Upgrade\r\nX: y\r\nConnection: keep-alive\r\n", b"Connection: a\r\nConnection: Upgrade\r\n"]
    raised, events, _ = take(a_server(protocol), request({"Connection": None}, more=fields[0]))
    assert raised is None
    (asked,) = events
    assert isinstance(asked, Request)
    assert [name for name, _ in asked.extra_headers][-3:] == [b"connection", b"x", b"connection"]
    data = request({"Connection": None}, more=fields[1])
    assert take(a_server(protocol), data) == take(a_server(wsproto), data)
    client = a_client(protocol)
    client.receive_data(answer({"Connection": None}, more=fields[0]))
    (accepted,) = client.events()
    assert accepted == AcceptConnection(extra_headers=[(b"x", b"y")])


def test_after_a_bad_line_nothing_is_read_any_more() -> None:
    end = a_server(protocol)
    for data in (b"GET / HTTP/1.1\n", request(), b"\r\n\r\n", request()):
        with pytest.raises(RemoteProtocolError, match="LF alone"):
            end.receive_data(data)
    assert list(end.events()) == []


def test_what_follows_a_request_may_hold_any_byte() -> None:
    end = a_server(protocol)
    data = request() + build(2, b"\n\n\r\n \n\t") + build(1, b"\n x")
    for byte in data:
        end.receive_data(bytes((byte,)))
    end.send(AcceptConnection())
    assert list(end.events())[1:] == [BytesMessage(b"\n\n\r\n \n\t"), TextMessage("\n x")]


def refusal(end: Any, data: bytes, step: int) -> RemoteProtocolError | None:
    for at in range(0, len(data), step):
        try:
            end.receive_data(data[at : at + step])
        except RemoteProtocolError as error:
            return error
    return None


ANSWERS_REFUSED = {
    "HTTP/1.0": (answer(line=b"HTTP/1.0 101 Switching Protocols"), "HTTP/1.0, must be 1.1 or later"),
    "two subprotocol fields": (
        answer(more=b"Sec-WebSocket-Protocol: a\r\nSec-WebSocket-Protocol: b\r\n"),
        "sec-websocket-protocol appears twice",
    ),
    "two keys": (answer(more=b"Sec-WebSocket-Accept: %s\r\n" % ACCEPT), "sec-websocket-accept appears twice"),
    "a subprotocol beyond ASCII": (answer(more="Sec-WebSocket-Protocol: é\r\n".encode()), "cannot read a field"),
    "an extension beyond ASCII": (answer(more="Sec-WebSocket-Extensions: é\r\n".encode()), "cannot read a field"),
    "a Connection beyond ASCII": (answer({"Connection": "é".encode()}), "cannot read a field"),
}


@pytest.mark.parametrize(("data", "text"), ANSWERS_REFUSED.values(), ids=ANSWERS_REFUSED)
def test_answers_that_only_we_refuse(data: bytes, text: str) -> None:
    with pytest.raises(RemoteProtocolError, match=text):
        a_client(protocol).receive_data(data)
    raised, _, _ = take(a_client(wsproto), data)
    assert raised is None or raised[0] not in ("RemoteProtocolError", "LocalProtocolError")


@pytest.mark.parametrize("is_client", [True, False])
def test_an_answer_needs_a_request(is_client: bool) -> None:
    """wsproto asserts, and its handshake is open afterwards if h11 has the last word."""
    end = a_client(protocol) if is_client else a_server(protocol)
    with pytest.raises(LocalProtocolError, match="in state CONNECTING: no request is waiting for an answer"):
        end.send(AcceptConnection())
    assert end.state is ConnectionState.CONNECTING


def test_what_was_refused_cannot_be_accepted() -> None:
    end = a_server(protocol)
    end.receive_data(request())
    end.send(RejectConnection(403))
    with pytest.raises(LocalProtocolError, match="cannot accept in state CLOSED"):
        end.send(AcceptConnection())
    assert end.state is ConnectionState.CLOSED


def test_frames_behind_a_request_wait_for_its_answer() -> None:
    """wsproto's server forgets them."""
    theirs, ours = a_server(wsproto), a_server(protocol)
    for end in (theirs, ours):
        take(end, request() + build(1, b"ear"))
        end.receive_data(build(1, b"ly"))
        end.send(AcceptConnection())
    assert list(theirs.events()) == []
    assert list(ours.events()) == [TextMessage("ear"), TextMessage("ly")]


# The bounds

LINE = b"X-%d: %s\r\n"


def filled(size: int) -> bytes:
    """A request of `size` bytes, in fields that are each within their bound."""
    missing = size - len(request())
    lines = []
    while missing:
        length = min(missing, 8000) if missing > 8050 or missing <= 8000 else missing // 2
        lines.append(LINE % (len(lines), b"x" * (length - len(LINE % (len(lines), b"")))))
        missing -= length
    return request(more=b"".join(lines))


WITHIN = {
    "a first line": request(line=b"GET /%s HTTP/1.1" % (b"x" * (MAX_LINE - 14))),
    "a field": request(more=b"X: %s\r\n" % (b"x" * (MAX_LINE - 3))),
    "the number of fields": request(more=b"X: y\r\n" * (MAX_FIELDS - len(ASKED))),
    "the head": filled(MAX_HEAD),
}
BEYOND = {
    "a first line": (request(line=b"GET /%s HTTP/1.1" % (b"x" * (MAX_LINE - 13))), 414, "8193 bytes, limit 8192"),
    "a field": (request(more=b"X: %s\r\n" % (b"x" * (MAX_LINE - 2))), 431, "8193 bytes, limit 8192"),
    "the number of fields": (
        request(more=b"X: y\r\n" * (MAX_FIELDS - len(ASKED) + 1)), 431, "101 header fields, limit 100",
    ),
    "the head": (filled(MAX_HEAD + 1), 431, "HTTP head of 32769 bytes, limit 32768"),
    "a head without an end": (request(more=b"x" * MAX_HEAD)[:-4], 431, "HTTP head is longer than 32768 bytes"),
}  # fmt: skip


@pytest.mark.parametrize("step", [None, 1000])
@pytest.mark.parametrize("data", WITHIN.values(), ids=WITHIN)
def test_a_request_up_to_a_bound(data: bytes, step: int | None) -> None:
    raised, events, _ = take(a_server(protocol), data, step)
    assert raised is None
    assert isinstance(events[0], Request)


@pytest.mark.parametrize(("data", "status", "text"), BEYOND.values(), ids=BEYOND)
def test_a_request_past_a_bound(data: bytes, status: int, text: str) -> None:
    with pytest.raises(RemoteProtocolError, match=text) as caught:
        a_server(protocol).receive_data(data)
    assert isinstance(caught.value.event_hint, RejectConnection)
    assert caught.value.event_hint.status_code == status


def test_an_endless_head_is_refused_at_the_bound_however_it_comes() -> None:
    end = a_server(protocol)
    end.receive_data(request()[:-2])
    for _ in range(MAX_HEAD - len(request()) + 2):
        end.receive_data(b"x")
    with pytest.raises(RemoteProtocolError, match="HTTP head is longer than 32768 bytes"):
        end.receive_data(b"x")


@pytest.mark.parametrize(
    "more",
    [b"X: %s\r\n" % (b"x" * MAX_LINE), b"X: y\r\n" * MAX_FIELDS, b"x" * MAX_HEAD],
    ids=["field", "fields", "head"],
)
def test_an_answer_past_a_bound(more: bytes) -> None:
    with pytest.raises(RemoteProtocolError, match=r"limit|longer than"):
        a_client(protocol).receive_data(answer(more=more))


@pytest.mark.parametrize(
    "event",
    [
        Request("localhost", "/", extra_headers=[(b"X", b"a\r\nY: b")]),
        Request("localhost", "/", extra_headers=[(b"X\r\n", b"a")]),
        Request("localhost", "/a b"),
        Request("localhost", "/é"),
        Request("localhost", "/", subprotocols=["a\r\nb"]),
        Request("localhost", "/", subprotocols=["é"]),
        Request("local\r\nhost", "/"),
        Request("a..b", "/"),
    ],
)
def test_what_cannot_stand_in_http_is_refused(event: Request) -> None:
    with pytest.raises(LocalProtocolError, match="not allowed in a handshake"):
        protocol.WSConnection(CLIENT).send(event)
