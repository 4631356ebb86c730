"""The opening handshake: wsproto's, with the bounds and the checks that a port open to strangers needs.

wsproto (and h11 under it) reads and writes the HTTP; nothing of that is repeated here. Added are the limits on what a
peer may make us keep, the rules of RFC 6455 4.2.1 and of RFC 9110 that wsproto leaves to its caller, and one class of
error, with the answer to send, for whatever a peer can send.
"""

from __future__ import annotations

import binascii
import functools
from collections.abc import Sequence
from typing import Final, NamedTuple

import h11
import wsproto.handshake
from wsproto.connection import ConnectionState, ConnectionType
from wsproto.events import AcceptConnection, Event, RejectConnection, Request
from wsproto.extensions import Extension
from wsproto.handshake import (
    WEBSOCKET_UPGRADE,
    WEBSOCKET_VERSION,
    client_extensions_handshake,
    server_extensions_handshake,
)
from wsproto.utilities import RemoteProtocolError as WsprotoRemoteProtocolError
from wsproto.utilities import generate_accept_token

from trunkline.protocol.answers import check_answer, join_fields, without_quotes
from trunkline.protocol.connection import Connection
from trunkline.protocol.errors import LocalProtocolError, RemoteProtocolError

__all__ = [
    "MAX_FIELDS",
    "MAX_HEAD",
    "MAX_LINE",
    "WEBSOCKET_UPGRADE",
    "WEBSOCKET_VERSION",
    "H11Handshake",
    "Handshake",
    "client_extensions_handshake",
    "server_extensions_handshake",
]

MAX_HEAD: Final = 32 * 1024  # bytes of a request or response up to its empty line
MAX_LINE: Final = 8 * 1024  # bytes of its first line, or of one field
MAX_FIELDS: Final = 100

_PLAIN_ANSWER: Final = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n"
)
_Fields = Sequence[tuple[bytes, bytes]]

# RFC 6455 4.2.1 and 11.3: these stand at most once in a request, and these in a response.
_SINGLE: Final = frozenset({b"sec-websocket-key", b"sec-websocket-version", b"upgrade", b"origin"})
_SINGLE_ANSWERS: Final = frozenset(
    {b"sec-websocket-accept", b"sec-websocket-extensions", b"sec-websocket-protocol", b"upgrade"}
)


class H11Handshake(wsproto.handshake.H11Handshake):
    """wsproto's handshake, bounded. Raises RemoteProtocolError, whose `event_hint` is the refusal that a server should
    send. `max_size` is that of the `connection` it leads to.
    """

    def __init__(self, connection_type: ConnectionType, *, max_size: int | None = None) -> None:
        super().__init__(connection_type)
        # Set here, where its constructor would take it, since wsproto has made it already.
        self._h11_connection._max_incomplete_event_size = MAX_HEAD
        self._tail: bytes | None = b"" if connection_type is ConnectionType.SERVER else None
        # A server's: the fields of the request as they came, names in lower case; () before.
        self.fields: Sequence[tuple[bytes, bytes]] = ()
        self._max_size = max_size
        self._established: Connection | None = None
        # A server's: target and fields of a GET that asks for no upgrade, such as a health check. It is refused all the
        # same, by RemoteProtocolError, but a program may want to answer it.
        self.plain_request: tuple[str, Sequence[tuple[bytes, bytes]]] | None = None

    has_switched = False  # a client's: whether the server has answered 101, be it a valid one or not
    # A client's: what is wrong with the answer, more exactly than wsproto's words say, which its errors keep.
    fault: str | None = None

    @property
    def connection(self) -> Connection | None:  # type: ignore[override]  # ours has wsproto's surface
        """The connection that the handshake has led to; None before it is done."""
        if self._established is None and self.state is ConnectionState.OPEN:
            kind = ConnectionType.CLIENT if self.client else ConnectionType.SERVER
            self._established = Connection(kind, self._agreed, self.trailing_data, max_size=self._max_size)
        return self._established

    @property
    def has_events(self) -> bool:
        """Whether `events()` has any to give."""
        return bool(self._events)

    @property
    def trailing_data(self) -> bytes:
        """What was received behind the handshake: the first frames."""
        return bytes(self._h11_connection.trailing_data[0])

    @property
    def extensions(self) -> list[Extension]:
        """The extensions agreed on; empty before the handshake is done."""
        return self._agreed

    _agreed: list[Extension] = []  # noqa: RUF012  # replaced, never changed

    def send(self, event: Event) -> bytes:
        """The bytes for an event of the handshake; LocalProtocolError if it is out of place or a field cannot stand in
        HTTP.
        """
        if isinstance(event, AcceptConnection) and not self._may_accept():
            raise LocalProtocolError(f"cannot accept in state {self.state.name}: no request waits for an answer")
        fault = None
        try:
            data = super().send(event)
        except h11.LocalProtocolError as error:
            fault = str(error).partition(" b'")[0].partition(' b"')[0]  # behind it stands the value: a secret, maybe
        except UnicodeError as error:
            fault = str(error)
        if fault is not None:  # not within `except`: what was caught holds the value as well
            raise LocalProtocolError(f"cannot stand in a handshake: {fault} (RFC 9110 5.5)")
        if isinstance(event, AcceptConnection):
            self._agreed = list(event.extensions)
            self._connection = None  # wsproto's, which nobody asked for
        return data

    def _may_accept(self) -> bool:
        return self.state is ConnectionState.CONNECTING and self._initiating_request is not None and not self.client

    def receive_data(self, data: bytes | None) -> None:
        """Takes what was read; events follow from `events()`."""
        if self._tail is not None and data:
            self._look_at_lines(self._tail, data)
        try:
            super().receive_data(data)
        except WsprotoRemoteProtocolError as error:
            if isinstance(error.__context__, h11.RemoteProtocolError) and error.__context__.error_status_hint == 431:
                raise refused(f"no HTTP head ends within {MAX_HEAD} bytes (RFC 6585 5)", 431) from None
            if self.client and isinstance(error.__context__, h11.RemoteProtocolError):
                self.fault = f"{without_quotes(error.__context__)} (RFC 9112)"
            raise
        except (UnicodeError, ValueError, AssertionError) as error:
            # wsproto decodes the fields of a handshake as ASCII, and the host as IDNA.
            raise refused(f"a field of the handshake cannot be read: {error}") from error

    def _look_at_lines(self, tail: bytes, data: bytes) -> None:
        """Refuses a request with line ends or folds that h11 would let pass, and that others read in another way: so
        are requests smuggled. `tail`: the last bytes that came before.
        """
        seen = tail + data if tail else data
        end = seen.find(b"\r\n\r\n")
        head = seen[: end + 4] if end >= 0 else seen
        fault = None
        if head.count(b"\n") != head.count(b"\r\n"):
            fault = "a line ends with LF alone, must end with CR LF (RFC 9112 2.2)"
        elif b"\r\n " in head or b"\r\n\t" in head:
            fault = "a field is folded over several lines (RFC 9112 5.2)"
        if fault is not None:
            self._tail = b"\n"  # whatever comes is refused again: a parser that has failed is dead
            raise refused(fault)
        # Three bytes, since the fourth may make the end; without an LF whose CR would be missing.
        self._tail = None if end >= 0 else seen[-3:].removeprefix(b"\n")

    def _process_connection_request(self, event: h11.Request) -> Request:
        _check_version(event)
        fields = self.fields = list(event.headers)  # h11 builds each pair anew whenever it is asked for
        _check_bounds(len(event.method) + len(event.target) + 10, fields)
        if not _check_fields(fields) and event.method == b"GET":
            self.plain_request = event.target.decode("ascii"), fields
        # It reads no more of the event than this.
        request = super()._process_connection_request(_Head(event.method, event.target, fields))  # type: ignore[arg-type]
        _check_host(request.host)
        return request

    def _accept(self, event: AcceptConnection) -> bytes:
        if event.subprotocol is not None or event.extensions or event.extra_headers:
            return super()._accept(event)
        # Nearly every answer, and the same bytes. On wsproto's way, which also sets up a connection that is not used
        # here, they would take as long as a third of the handshake.
        key = next(value for name, value in self.fields if name == b"sec-websocket-key")
        self._state = ConnectionState.OPEN
        return _PLAIN_ANSWER % generate_accept_token(key)

    def _establish_client_connection(self, event: h11.InformationalResponse) -> AcceptConnection:
        self.has_switched = True
        _check_version(event)
        fields = list(event.headers)
        _check_bounds(len(event.reason) + 13, fields)
        _check_single(fields, _SINGLE_ANSWERS)
        fields = join_fields(fields, b"connection")
        asked = self._initiating_request
        assert asked is not None  # there is no answer before a request
        assert self._nonce is not None
        accept = generate_accept_token(self._nonce)
        self.fault = check_answer(fields, accept, asked.subprotocols, asked.extensions)  # type: ignore[arg-type]
        # It reads no more of the event than this.
        accepted = super()._establish_client_connection(_Head(b"", b"", fields))  # type: ignore[arg-type]
        self._agreed = list(accepted.extensions)
        self._connection = None  # wsproto's, which nobody asked for
        return accepted

    @property
    def is_refused(self) -> bool:
        """Whether the handshake has ended without a connection."""
        return self.state in (ConnectionState.REJECTING, ConnectionState.CLOSED)


Handshake = H11Handshake  # wsproto's name is for those who come from there


class _Head(NamedTuple):
    """What wsproto's handshake reads of a request."""

    method: bytes
    target: bytes
    headers: _Fields


def refused(text: str, status: int = 400) -> RemoteProtocolError:
    """The error for a bad handshake, with the HTTP answer to it."""
    return RemoteProtocolError(text, RejectConnection(status_code=status))


def _check_version(event: h11.Request | h11.InformationalResponse) -> None:
    if event.http_version < b"1.1":
        raise refused(f"HTTP/{event.http_version.decode()}, must be 1.1 or later (RFC 6455 4.1, 4.2.1)", 505)


def _check_bounds(first_line: int, fields: _Fields) -> None:
    """first_line: its bytes."""
    if first_line > MAX_LINE:
        raise refused(f"first line of {first_line} bytes, limit {MAX_LINE}", 414)
    if len(fields) > MAX_FIELDS:
        raise refused(f"{len(fields)} header fields, limit {MAX_FIELDS}", 431)
    size = first_line + 4
    for name, value in fields:
        length = len(name) + len(value) + 2
        size += length + 2
        if length > MAX_LINE:
            raise refused(f"header field of {length} bytes, limit {MAX_LINE}", 431)
    # h11 looks at the size only while the head is not complete, so that one long read would pass it.
    if size > MAX_HEAD:
        raise refused(f"HTTP head of {size} bytes, limit {MAX_HEAD}", 431)


def _check_single(fields: _Fields, names: frozenset[bytes]) -> None:
    seen: set[bytes] = set()
    for name, _ in fields:
        if name in names:
            if name in seen:
                raise refused(f"{name.decode()} stands twice (RFC 6455 11.3)")
            seen.add(name)


def _check_fields(fields: _Fields) -> bool:
    """What wsproto does not check in a request; whether there is an Upgrade field."""
    seen: set[bytes] = set()
    for name, value in fields:
        if name in _SINGLE:
            if name in seen:
                raise refused(f"{name.decode()} stands twice (RFC 6455 11.3)")
            seen.add(name)
            if name == b"sec-websocket-key" and not _is_key(value):
                raise refused("sec-websocket-key is not 16 bytes in base64 (RFC 6455 4.2.1)")
        # A request for an upgrade has no body; one that claims a body is how requests are smuggled (RFC 9112 6.1).
        elif name == b"transfer-encoding" or (name == b"content-length" and value != b"0"):
            raise refused(f"{name.decode()} in a WebSocket handshake (RFC 9112 6.1)")
    return b"upgrade" in seen


def _is_key(value: bytes) -> bool:
    try:
        return len(binascii.a2b_base64(value, strict_mode=True)) == 16
    except binascii.Error:
        return False


@functools.lru_cache(maxsize=256)  # a server has few names, and to encode one takes as long as to read a field
def _check_host(host: str) -> None:
    """UnicodeError for a host that wsproto could read and nobody can write again: that is no host."""
    host.encode("idna")
