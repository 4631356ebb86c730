"""Judge a request to a server: a WebSocket handshake, a plain request, or invalid (RFC 6455 4.2.1, RFC 9112)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, NamedTuple, Protocol

from wsproto.handshake import WEBSOCKET_UPGRADE, WEBSOCKET_VERSION

from trunkline.protocol.authority import parse_authority, parse_target
from trunkline.protocol.errors import RemoteProtocolError
from trunkline.protocol.head import quote, refused

__all__ = ["Asked", "PlainRequest", "judge_request"]

_Fields = Sequence[tuple[bytes, bytes]]

# RFC 6455 4.2.1 and 11.3: these may appear only once in a request.
_SINGLE: Final = frozenset({b"sec-websocket-key", b"sec-websocket-version", b"upgrade", b"origin"})
# Lists, which may span several fields (RFC 9110 5.3).
_LISTS: Final = frozenset({b"connection", b"sec-websocket-extensions", b"sec-websocket-protocol", b"upgrade"})
_APART: Final = frozenset(
    {b"host", b"sec-websocket-extensions", b"sec-websocket-protocol"}
)  # separate in wsproto's event
_JUDGED: Final = _SINGLE | _LISTS | {b"content-length", b"host", b"transfer-encoding"}
_TWICE: Final = b""  # no field has this name
_COMMON: Final[dict[bytes, tuple[str, ...]]] = {  # what nearly all send
    b"Upgrade": ("upgrade",),
    b"keep-alive, Upgrade": ("keep-alive", "upgrade"),
    b"websocket": ("websocket",),
}
_KEY: Final = re.compile(rb"[0-9A-Za-z+/]{21}[AQgw]==")  # 16 bytes in base64; the last digit has only two bits of data
_LENGTH: Final = re.compile(rb"^content-length:([^\r\n]*)", re.IGNORECASE | re.MULTILINE)
_DIGITS: Final = re.compile(rb"[0-9]{1,19}")
_UPGRADE: Final = ((b"Upgrade", WEBSOCKET_UPGRADE), (b"Connection", b"Upgrade, close"))


class PlainRequest(NamedTuple):
    """A request that does not ask for a WebSocket. target: path and query, or "*"."""

    method: str
    target: str
    fields: _Fields


class RequestLike(Protocol):
    """The head of a request, as h11 and `reading` give it. headers: names in lower case."""

    @property
    def method(self) -> bytes: ...
    @property
    def target(self) -> bytes: ...
    @property
    def http_version(self) -> bytes: ...
    @property
    def headers(self) -> _Fields: ...


class Asked:
    """A judged request.

    fault: why it cannot become a WebSocket; plain: the request that your program may answer instead.
    """

    # Most requests leave most of these as they are.
    method = "GET"
    target = ""
    host = ""  # as received; "" for none
    fields: list[tuple[bytes, bytes]]
    subprotocols: Sequence[str] = ()
    extensions: Sequence[str] = ()
    connection: Sequence[str] = ()  # tokens of the field, in lower case
    upgrade: Sequence[str] = ()
    version: bytes | None = None
    key: bytes | None = None
    origin: bytes | None = None
    has_body = False
    fault: RemoteProtocolError | None = None
    plain: PlainRequest | None = None

    def __init__(self, fields: list[tuple[bytes, bytes]]) -> None:
        self.fields = fields

    @property
    def others(self) -> list[tuple[bytes, bytes]]:
        """The fields that wsproto's event has unchanged."""
        return [pair for pair in self.fields if pair[0] not in _APART]


def judge_request(event: RequestLike, head: bytes) -> Asked:
    """Judge what `event` asks for; `head` is the bytes that it was read from."""
    asked = Asked(list(event.headers))  # h11 builds the pairs anew on each access
    if event.method != b"GET":
        asked.method = event.method.decode("ascii")
    try:
        judged = _sort(asked.fields)
        _judge_line(event, asked, judged)
        _read(asked, judged)
        _judge_body(event, asked, judged, head)
        asked.plain = _plain_of(event, asked)
        _judge_upgrade(event, asked)
    except RemoteProtocolError as fault:
        asked.fault = fault.with_traceback(None)
    except UnicodeError as error:
        asked.fault = refused(f"cannot read a field of the handshake: {error}")
    return asked


def _sort(fields: _Fields) -> dict[bytes, bytes]:
    """Return the fields that are judged, by name. Lists in several fields are joined (RFC 9110 5.3). If a field appears
    twice that must not, its name is the value of _TWICE.
    """
    judged: dict[bytes, bytes] = {}
    for name, value in fields:
        if name in _JUDGED:
            if name not in judged:
                judged[name] = value
            elif name in _SINGLE:
                judged.setdefault(_TWICE, name)
            elif name in _LISTS:
                judged[name] += b"," + value
    return judged


def _judge_line(event: RequestLike, asked: Asked, judged: dict[bytes, bytes]) -> None:
    """Check the version, the target and the host."""
    if event.http_version[:1] != b"1":
        raise refused(f"HTTP/{event.http_version.decode()}, must be 1.1 (RFC 9112 2.3)", 505)
    host = judged.get(b"host")
    if host is None and event.http_version >= b"1.1":
        raise refused("Missing header, 'Host'", detail="the Host field is missing (RFC 9112 3.2)")
    if host is not None and parse_authority(host) is None:
        raise refused(f"Host is {quote(host)}, must be a host with an optional port (RFC 9110 7.2)")
    if event.method == b"CONNECT":
        raise _refused_method(asked.method)
    target = parse_target(event.method, event.target)
    if target is None:
        # What follows a "?" may be a secret.
        seen = quote(event.target.partition(b"?")[0])
        raise refused(f"the target is {seen}, must be a path or an http URL, without a fragment (RFC 9112 3.2)")
    asked.target = target.path
    if target.authority is not None:
        # RFC 9112 3.2.2: the target's host overrides the field.
        asked.fields = [(b"host", target.authority), *(pair for pair in asked.fields if pair[0] != b"host")]
        host = target.authority
    asked.host = "" if host is None else host.decode("ascii")


def _read(asked: Asked, judged: dict[bytes, bytes]) -> None:
    """Read the fields that a handshake consists of."""
    if _TWICE in judged:
        raise refused(f"{judged[_TWICE].decode()} appears twice (RFC 6455 11.3)")
    for name, value in judged.items():
        if name == b"connection":
            asked.connection = _COMMON.get(value) or _tokens(value.lower())
        elif name == b"upgrade":
            asked.upgrade = _COMMON.get(value) or _tokens(value.lower())
        elif name == b"sec-websocket-key":
            asked.key = value
        elif name == b"sec-websocket-version":
            asked.version = value
        elif name == b"origin":
            asked.origin = value
        elif name == b"sec-websocket-extensions":
            asked.extensions = _tokens(value)
        elif name == b"sec-websocket-protocol":
            asked.subprotocols = _tokens(value)


def _tokens(value: bytes) -> list[str]:
    return [token.strip() for token in value.decode("ascii").split(",")]


def _judge_body(event: RequestLike, asked: Asked, judged: dict[bytes, bytes], head: bytes) -> None:
    """Refuse an ambiguous body length: requests are smuggled where two servers disagree (RFC 9112 6.1, 6.3).

    h11 merges several lengths into one, so read them from the head.
    """
    in_chunks, has_length = b"transfer-encoding" in judged, b"content-length" in judged
    if not (in_chunks or has_length):
        return
    if in_chunks and (has_length or event.http_version < b"1.1"):
        raise refused("transfer-encoding with content-length, or in HTTP/1.0 (RFC 9112 6.1)")
    lengths = [value.strip(b" \t") for value in _LENGTH.findall(head)]
    if len(lengths) > 1 or any(_DIGITS.fullmatch(length) is None for length in lengths):
        raise refused(f"content-length is {quote(b' and '.join(lengths))}, must be one number (RFC 9110 8.6)")
    asked.has_body = in_chunks or any(int(length) for length in lengths)


def _plain_of(event: RequestLike, asked: Asked) -> PlainRequest | None:
    # RFC 9110 7.8: ignore Upgrade in HTTP/1.0.
    if event.method == b"GET" and event.http_version >= b"1.1" and "websocket" in asked.upgrade:
        return None
    return PlainRequest(asked.method, asked.target, asked.fields)


def _judge_upgrade(event: RequestLike, asked: Asked) -> None:
    """Raise RemoteProtocolError unless the handshake is valid. Texts are wsproto's where it has one."""
    if event.method not in (b"GET", b"HEAD"):
        raise _refused_method(asked.method)
    if event.http_version < b"1.1" and "websocket" in asked.upgrade:
        raise refused(f"HTTP/{event.http_version.decode()}, must be 1.1 or later (RFC 6455 4.1, 4.2.1)", 505)
    if asked.plain is not None:
        missing = "Upgrade: websocket" if "upgrade" in asked.connection else "Connection: Upgrade"
        detail = "the request does not ask for a WebSocket (RFC 6455 4.2.1)"
        raise refused(f"Missing header, '{missing}'", 426, detail=detail, fields=_UPGRADE)
    if "upgrade" not in asked.connection:
        detail = "Connection does not list Upgrade; a proxy may have removed it (RFC 6455 4.2.1)"
        raise refused("Missing header, 'Connection: Upgrade'", detail=detail)
    if asked.version != WEBSOCKET_VERSION:
        raise _refused_version(asked.version)
    if asked.key is None:
        raise refused("Missing header, 'Sec-WebSocket-Key'", detail="Sec-WebSocket-Key is missing (RFC 6455 4.2.1)")
    if _KEY.fullmatch(asked.key) is None:
        raise refused("sec-websocket-key is not 16 bytes in base64 (RFC 6455 4.2.1)")
    if len(asked.upgrade) != 1:  # it has websocket, else it would be a plain request
        detail = f"Upgrade is {quote(', '.join(asked.upgrade).encode())}, must be websocket alone (RFC 6455 4.2.1)"
        raise refused("Missing header, 'Upgrade: websocket'", detail=detail)
    if asked.has_body:
        raise refused("the WebSocket handshake has a body, must have none (RFC 9112 6.1)")


def _refused_method(method: str) -> RemoteProtocolError:
    detail = f"the method is {quote(method.encode())}, must be GET (RFC 6455 4.1)"
    return refused("Request method must be GET", 405, detail=detail, fields=[(b"Allow", b"GET, HEAD")])


def _refused_version(version: bytes | None) -> RemoteProtocolError:
    detail = f"Sec-WebSocket-Version is {quote(version)}" if version else "Sec-WebSocket-Version is missing"
    return refused(
        "Missing header, 'Sec-WebSocket-Version'",
        426 if version else 400,
        detail=f"{detail}, must be 13 (RFC 6455 4.2.1)",
        fields=[(b"Sec-WebSocket-Version", WEBSOCKET_VERSION)],
    )
