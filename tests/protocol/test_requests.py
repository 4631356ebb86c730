"""What a server reads out of a request line, a Host field and a body's framing, and what costs too much to read."""

import encodings.idna
import re
from typing import Any

import h11
import pytest
from wsproto.events import RejectConnection, Request

from livehandshakes import LiveHandshake
from rawhttp import request
from trunkline.protocol import CLIENT, SERVER
from trunkline.protocol.authority import parse_authority, parse_origin
from trunkline.protocol.errors import RemoteProtocolError
from trunkline.protocol.handshake import Handshake as DropIn
from trunkline.protocol.head import MAX_HEAD, HeadLimits
from trunkline.protocol.wsproto.handshake import H11Handshake

STEPS = [None, 1, 3]
Handshake: Any = DropIn


@pytest.fixture(autouse=True, params=[DropIn, LiveHandshake])
def handshake(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test runs with the handshake of the drop-in and with that of a live connection."""
    monkeypatch.setitem(globals(), "Handshake", request.param)


def feed(end: Any, data: bytes, step: int | None) -> None:
    """Feeds the bytes, whole or in steps."""
    for at in range(0, len(data), step or len(data)):
        end.receive_data(data[at : at + (step or len(data))])


def read(data: bytes, step: int | None = None, **options: HeadLimits) -> Any:
    """A server's handshake that was fed these bytes."""
    server = Handshake(SERVER, **options)
    feed(server, data, step)
    return server


def fault_of(data: bytes, step: int | None = None) -> tuple[int, str]:
    """Status and text of the refusal that these bytes get."""
    with pytest.raises(RemoteProtocolError) as caught:
        read(data, step)
    hint = caught.value.event_hint
    assert isinstance(hint, RejectConnection)
    return hint.status_code, caught.value.detail or str(caught.value)


LABEL = b"a" * 63
HOSTS = [
    b"localhost",
    b"localhost:80",
    b"shop.example:65535",
    b"shop.example.",
    b"my_service:8080",
    b"xn--bcher-kva.example",
    b"xn--7ks3rz39bh7u",
    b"127.0.0.1:8000",
    b"[::1]",
    b"[::1]:8080",
    b"[2001:db8::192.0.2.1]:1",
    b"[fe80::1%25eth0]:80",
    b"a:",
    b"a%20b",
    b".".join([LABEL] * 4),
]
NO_HOSTS = [
    b"",
    b":80",
    b"a b",
    b"a,b/c",
    b"a/b",
    b"a?b",
    b"user@a",
    b"a:b",
    b"a:+80",
    b"a:-1",
    b"a:0",
    b"a:65536",
    b"a:0000080",
    b"a:80:80",
    b"http://a",
    b"a..b",
    b".a",
    b"a%2",
    b"a%zz",
    b"caf\xe9",
    "bücher.example".encode(),
    b"::1",
    b"[::1",
    b"[::1]x",
    b"[::1::2]",
    b"[12345::]",
    b"[]",
    b"[a.example]",
    LABEL + b"a",
    b".".join([LABEL] * 4) + b".a",
    b"xn--" + b"7u" * 4000,
]


@pytest.mark.parametrize("host", HOSTS, ids=repr)
@pytest.mark.parametrize("step", STEPS)
def test_a_host(host: bytes, step: int | None) -> None:
    (event,) = read(request({"Host": host}), step).events()
    assert isinstance(event, Request)
    assert event.host == host.decode()


@pytest.mark.parametrize("host", NO_HOSTS, ids=lambda host: repr(host[:20]))
@pytest.mark.parametrize("step", STEPS)
def test_what_is_no_host(host: bytes, step: int | None) -> None:
    status, text = fault_of(request({"Host": host}), step)
    assert status == 400
    assert "must be a host with an optional port (RFC 9110 7.2)" in text
    assert len(text) < 500


@pytest.mark.parametrize("size", [60, 251, 4000, 8100])
@pytest.mark.parametrize("kind", [Handshake, H11Handshake])
def test_nothing_long_is_decoded(monkeypatch: pytest.MonkeyPatch, kind: type[Handshake], size: int) -> None:
    """Punycode takes quadratic time: 8 KiB of it more than a second. A server's own handshake decodes none at all."""
    decoded: list[int] = []
    codec = encodings.idna.ToUnicode
    monkeypatch.setattr(encodings.idna, "ToUnicode", lambda label: [decoded.append(len(label)), codec(label)][1])
    for path, host in (("/", b"xn--" + b"7u" * size), ("http://xn--" + "7u" * size + "/", b"a")):
        server = kind(SERVER)
        with pytest.raises(RemoteProtocolError):
            server.receive_data(request({"Host": host[: size + 4]}, line=b"GET %s HTTP/1.1" % path.encode()))
    assert decoded == []


def test_a_name_in_punycode_is_left_alone_but_for_those_who_come_from_wsproto() -> None:
    data = request({"Host": b"xn--bcher-kva.example:8080"})
    hosts = []
    for kind in (Handshake, H11Handshake):
        server = kind(SERVER)
        server.receive_data(data)
        (event,) = server.events()
        hosts.append(event.host)
    assert hosts == ["xn--bcher-kva.example:8080", "bücher.example:8080"]


TARGETS = {
    b"GET /": "/",
    b"GET /a?b=c&d": "/a?b=c&d",
    b"GET //a/b": "//a/b",
    b"GET /http://b/": "/http://b/",
    b"GET http://localhost/chat?x=1": "/chat?x=1",
    b"GET HTTP://localhost": "/",
    b"GET wss://localhost:443?a": "/?a",
    b"GET https://[::1]:80/a": "/a",
}
NO_TARGETS = [
    b"GET h:80",
    b"GET *",
    b"GET a",
    b"GET /a#b",
    b"GET http://localhost/#",
    b"GET http:///a",
    b"GET http://user@localhost/",
    b"GET http://a:b/",
    b"GET ftp://localhost/",
    b"GET http:/localhost",
    b"GET ?a",
    b"POST *",
]


@pytest.mark.parametrize("line", TARGETS)
@pytest.mark.parametrize("step", STEPS)
def test_a_target(line: bytes, step: int | None) -> None:
    (event,) = read(request(line=line + b" HTTP/1.1"), step).events()
    assert event.target == TARGETS[line]


@pytest.mark.parametrize("line", NO_TARGETS)
@pytest.mark.parametrize("step", STEPS)
def test_what_is_no_target(line: bytes, step: int | None) -> None:
    status, text = fault_of(request(line=line + b" HTTP/1.1"), step)
    assert (status, "must be a path or an http URL" in text) == (400, True)


def test_a_target_that_names_a_host_says_which_it_is() -> None:
    """RFC 9112 3.2.2: the field does not matter then, but it must be there, and be good."""
    line = b"GET http://a.example:81/x HTTP/1.1"
    server = read(request({"Host": b"b.example"}, line=line))
    (event,) = server.events()
    assert (event.host, event.target) == ("a.example:81", "/x")
    assert [value for name, value in server.fields if name == b"host"] == [b"a.example:81"]
    for host in (None, b"b/c"):
        assert fault_of(request({"Host": host}, line=line))[0] == 400


PLAIN = {
    "a GET": (b"GET /x?y HTTP/1.1\r\nHost: a\r\n\r\n", 426, "GET", "/x?y"),
    "a GET of HTTP/1.0": (b"GET /x HTTP/1.0\r\n\r\n", 426, "GET", "/x"),
    "a HEAD": (b"HEAD /x HTTP/1.1\r\nHost: a\r\n\r\n", 426, "HEAD", "/x"),
    "a HEAD of HTTP/1.0": (b"HEAD /x HTTP/1.0\r\n\r\n", 426, "HEAD", "/x"),
    "an upgrade to HTTP/2": (request({"Upgrade": b"h2c"}), 426, "GET", "/chat?x=1"),
    "an upgrade in HTTP/1.0": (request(line=b"GET /x HTTP/1.0"), 505, "GET", "/x"),
    "a POST": (b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc", 405, "POST", "/x"),
    "a POST in chunks": (
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n", 405, "POST", "/",
    ),
    "a method that nobody knows": (request(line=b"BREW / HTTP/1.1"), 405, "BREW", "/"),
    "OPTIONS": (b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", 405, "OPTIONS", "*"),
    "OPTIONS of a URL": (b"OPTIONS http://a HTTP/1.1\r\nHost: a\r\n\r\n", 405, "OPTIONS", "*"),
    "a GET with a body": (b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc", 426, "GET", "/"),
}  # fmt: skip


@pytest.mark.parametrize("name", PLAIN)
@pytest.mark.parametrize("step", STEPS)
def test_a_request_that_asks_for_no_websocket(name: str, step: int | None) -> None:
    """It is refused, and a program may answer it."""
    data, status, method, target = PLAIN[name]
    server = Handshake(SERVER)
    with pytest.raises(RemoteProtocolError) as caught:
        feed(server, data, step)
    assert isinstance(caught.value.event_hint, RejectConnection)
    assert caught.value.event_hint.status_code == status
    assert server.plain_request is not None
    assert server.plain_request[:2] == (method, target)


UNFRAMED = {
    "a length twice": {"Content-Length": [b"0", b"0"]},
    "a list of lengths": {"Content-Length": b"0, 0"},
    "an empty length": {"Content-Length": b""},
    "a length with a sign": {"Content-Length": b"+0"},
    "a length of twenty digits": {"Content-Length": b"1" * 20},
    "a length, and chunks": {"Content-Length": b"0", "Transfer-Encoding": b"chunked"},
}


@pytest.mark.parametrize("fields", UNFRAMED.values(), ids=UNFRAMED)
@pytest.mark.parametrize("method", [b"GET", b"POST"])
@pytest.mark.parametrize("step", STEPS)
def test_a_body_whose_end_is_in_doubt(fields: dict[str, bytes], method: bytes, step: int | None) -> None:
    server = Handshake(SERVER)
    data = request(fields, line=method + b" / HTTP/1.1")
    with pytest.raises(RemoteProtocolError) as caught:
        feed(server, data, step)
    assert caught.value.event_hint == RejectConnection()
    assert server.plain_request is None


def test_chunks_in_http_1_0_are_in_doubt() -> None:
    assert fault_of(request({"Transfer-Encoding": b"chunked"}, line=b"POST / HTTP/1.0"))[0] == 400


@pytest.mark.parametrize(
    "key", [b"AAAAAAAAAAAAAAAAAAAAAB==", b"AAAAAAAAAAAAAAAAAAAAAA", b"AAAAAAAAAAAAAAAAAAAAAA=", b"A" * 24]
)
def test_a_key_that_is_no_base64_of_16_bytes_in_canonical_form(key: bytes) -> None:
    assert fault_of(request({"Sec-WebSocket-Key": key})) == (
        400,
        "sec-websocket-key is not 16 bytes in base64 (RFC 6455 4.2.1)",
    )


@pytest.mark.parametrize(
    "connection", [[b"Upgrade", b"keep-alive"], [b"keep-alive", b"Upgrade"], [b"a, Upgrade", b"b"]]
)
def test_a_list_may_be_spread_over_fields(connection: list[bytes]) -> None:
    assert list(read(request({"Connection": connection})).events())


# What was seen is told, and not too much of it

TLS = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(200))
PROXY_2 = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c\x7f\x00\x00\x01\x7f\x00\x00\x01\x30\x39\x1f\x90"
SEEN = {
    "TLS": (TLS, "TLS, but this port expects plain HTTP: it begins with b'\\x16\\x03\\x01"),
    "PROXY 1": (
        b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n" + request(),
        "the PROXY protocol, version 1, which is not supported: it begins with b'PROXY TCP4 192.0.2.1 192.0.2.2 1 2'",
    ),
    "PROXY 2": (PROXY_2 + request(), "the PROXY protocol, version 2, which is not supported: it begins"),
    "HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "HTTP/2, but this port expects HTTP/1.1"),
    "SSH": (b"SSH-2.0-OpenSSH_9.2\r\n", "not HTTP: it begins with b'SSH-2.0-OpenSSH_9.2'"),
    "netcat": (b"hello\n", "not HTTP: it begins with b'hello'"),
    "a line without an end": (b"GET /\r\n\r\n", "not HTTP: it begins with b'GET /'"),
    "a secret": (b"GET /a?token=hunter2 HTTP\r\n\r\n", "not HTTP: it begins with b'GET /a'"),
    "no Host": (request({"Host": None}), "Missing mandatory Host: header"),
    "two Hosts": (request({"Host": [b"a", b"b"]}), "Found multiple Host: headers"),
    "a NUL": (request({"Cookie": b"hunter2\0"}), "a field holds NUL, VT, FF or CR"),
    "a space before the colon": (request(more=b"X : hunter2\r\n"), "illegal header line"),
    "version 8": (request({"Sec-WebSocket-Version": b"8"}), "Sec-WebSocket-Version is b'8', must be 13 (RFC 6455"),
    "no version": (request({"Sec-WebSocket-Version": None}), "Sec-WebSocket-Version is missing, must be 13"),
    "a version without end": (request({"Sec-WebSocket-Version": b"9" * 5000}), f"is b'{'9' * 100}', must be"),
    "a method": (request(line=b"BREW / HTTP/1.1"), "the method is b'BREW', must be GET"),
    "no Connection": (request({"Connection": None}), "Connection does not list Upgrade"),
    "two protocols": (request({"Upgrade": b"websocket, h2c"}), "Upgrade is b'websocket, h2c', must be websocket alone"),
    "HTTP/3": (request(line=b"GET / HTTP/3.0"), "HTTP/3.0, must be 1.1"),
    "a host": (request({"Host": b"a b"}), "Host is b'a b', must be a host"),
}  # fmt: skip


@pytest.mark.parametrize("name", SEEN)
@pytest.mark.parametrize("step", [None, 40])
def test_what_was_seen_is_told(name: str, step: int | None) -> None:
    data, words = SEEN[name]
    told = fault_of(data, step)[1]
    assert words in told
    assert "hunter2" not in told
    assert len(told) < 550


# What it costs

COSTLY = {
    "spaces, then NUL": b"X:" + b" " * 31_000 + b"\0\r\n",
    "spaces, then FF": b"X:" + b" " * 31_000 + b"\f\r\n",
    "tabs, then CR": b"X:" + b"\t" * 31_000 + b"\rx\r\n",
    "a letter among spaces, then VT": b"X:" + b" " * 15_000 + b"a" + b" " * 15_000 + b"\v\r\n",
}


@pytest.mark.parametrize("line", COSTLY.values(), ids=COSTLY)
@pytest.mark.parametrize("role", [SERVER, CLIENT])
def test_h11_sees_no_field_that_takes_it_quadratic_time(monkeypatch: pytest.MonkeyPatch, line: bytes, role) -> None:
    """Its pattern takes seconds for 32 KiB of white space, if a byte follows that may not stand in a field."""
    parsed: list[object] = []
    monkeypatch.setattr(h11.Connection, "next_event", lambda self: parsed.append(self))
    for size in (len(line), 4000):
        end = Handshake(role)
        data = request(more=line) if role is SERVER else b"HTTP/1.1 101 Switching Protocols\r\n" + line + b"\r\n"
        with pytest.raises(RemoteProtocolError):
            feed(end, data, size)
    assert parsed == []


def test_the_bytes_of_fields_that_pass_are_those_that_h11_takes() -> None:
    """So its pattern never has to go back."""
    from h11._readers import header_field_re

    for byte in range(256):
        one = bytes((byte,))
        data = request({"X": b"a" + one + b"b"})
        passes = one not in (b"\0", b"\n", b"\v", b"\f", b"\r")
        assert passes == (header_field_re.fullmatch(b"X: a" + one + b"b") is not None)
        if passes:
            read(data)
        else:
            with pytest.raises(RemoteProtocolError):
                read(data)


LINE = b"X: " + b"x" * 30_000 + b"\r\n"


def test_bounds_that_were_asked_for() -> None:
    wide = HeadLimits(max_line=40_000, max_head=100_000, max_fields=200)
    assert list(read(request(more=LINE * 2 + b"Y: y\r\n" * 150), limits=wide).events())
    for limits, more, words in (
        (HeadLimits(30_002, 100_000, 200), LINE, "header field of 30003 bytes, limit 30002 (max_line)"),
        (HeadLimits(40_000, 60_000, 200), LINE * 2, "HTTP head of 60166 bytes, limit 60000 (max_head)"),
        (HeadLimits(40_000, 60_000, 200), LINE * 3, "HTTP head of 90171 bytes, limit 60000 (max_head)"),
        (HeadLimits(40_000, 60_000, 7), b"Y: y\r\n" * 3, "8 header fields, limit 7 (max_fields)"),
    ):
        with pytest.raises(RemoteProtocolError, match=re.escape(words)):
            read(request(more=more), limits=limits)
    with pytest.raises(RemoteProtocolError, match="first line of 33 bytes, limit 32"):
        read(request(line=b"GET /%s HTTP/1.1" % (b"x" * 19)), limits=HeadLimits(32))


def test_a_head_of_one_byte_a_read_is_kept_no_longer_than_its_bound() -> None:
    server = Handshake(SERVER)
    with pytest.raises(RemoteProtocolError, match="HTTP head is longer than"):
        feed(server, b"GET / HTTP/1.1\r\nX: " + b"x" * MAX_HEAD, 1)
    for _ in range(3):
        with pytest.raises(RemoteProtocolError, match="HTTP head is longer than"):
            server.receive_data(b"x" * 100_000)
    assert server._heads.kept == b""


# Origins


@pytest.mark.parametrize(
    ("origin", "parsed"),
    [
        (b"https://a.example", ("https", ("a.example", None))),
        (b"HTTPS://A.Example:443", ("https", ("a.example", None))),
        (b"http://a.example:443", ("http", ("a.example", 443))),
        (b"http://[::1]:80", ("http", ("[::1]", None))),
        (b"chrome-extension://abcdef", ("chrome-extension", ("abcdef", None))),
        (b"null", None),
        (b"", None),
        (b"https://a.example/", None),
        (b"https://a@b", None),
        (b"https://a?b", None),
        (b"https://a\\b", None),
        (b"https://a b", None),
        (b"https://", None),
        (b"a.example", None),
        (b"https://" + b"a" * 300, None),
    ],
)
def test_an_origin(origin: bytes, parsed: object) -> None:
    assert parse_origin(origin) == parsed


def test_an_authority_without_its_port() -> None:
    assert parse_authority(b"A.Example:8080") == ("a.example", 8080)
    assert parse_authority(b"[::A]:1") == ("[::a]", 1)
    assert parse_authority(b"a:") == ("a", None)
