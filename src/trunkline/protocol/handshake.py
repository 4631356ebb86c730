"""The opening handshake: wsproto's, with the bounds and the checks that a port open to strangers needs.

wsproto (and h11 under it) reads and writes the HTTP; nothing of that is repeated here. Added are the limits on what a
peer may make us keep, the rules of RFC 6455 4.2.1 and of RFC 9110 that wsproto leaves to its caller, and one class of
error, with the answer to send, for whatever a peer can send.
"""

from __future__ import annotations

import base64
import binascii
from typing import Final

import h11
from wsproto.connection import ConnectionState, ConnectionType
from wsproto.events import AcceptConnection, Event, RejectConnection, Request
from wsproto.extensions import Extension
from wsproto.handshake import H11Handshake
from wsproto.utilities import RemoteProtocolError as WsprotoRemoteProtocolError

from trunkline.protocol.errors import LocalProtocolError, RemoteProtocolError

__all__ = ["MAX_FIELDS", "MAX_HEAD", "MAX_LINE", "Handshake"]

MAX_HEAD: Final = 32 * 1024  # bytes of a request or response up to its empty line
MAX_LINE: Final = 8 * 1024  # bytes of its first line, or of one field
MAX_FIELDS: Final = 100

# RFC 6455 4.2.1 and 11.3: these stand at most once in a request, and these in a response.
_SINGLE: Final = frozenset({b"sec-websocket-key", b"sec-websocket-version", b"upgrade", b"origin"})
_SINGLE_ANSWERS: Final = frozenset({b"sec-websocket-accept", b"sec-websocket-protocol", b"upgrade"})


class Handshake(H11Handshake):
    """wsproto's handshake, bounded. Raises RemoteProtocolError, whose `event_hint` is the refusal that a server should
    send.
    """

    def __init__(self, connection_type: ConnectionType) -> None:
        super().__init__(connection_type)
        role = h11.CLIENT if self.client else h11.SERVER
        self._h11_connection = h11.Connection(role, max_incomplete_event_size=MAX_HEAD)
        # A server's: target and fields of a GET that asks for no upgrade, such as a health check. It is refused all the
        # same, by RemoteProtocolError, but a program may want to answer it.
        self.plain_request: tuple[str, list[tuple[bytes, bytes]]] | None = None

    has_switched = False  # a client's: whether the server has answered 101, be it a valid one or not

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
        try:
            data = super().send(event)
        except (h11.LocalProtocolError, UnicodeError) as error:
            raise LocalProtocolError(f"cannot stand in a handshake: {error} (RFC 9110 5.5)") from error
        if isinstance(event, AcceptConnection):
            self._agreed = list(event.extensions)
        return data

    def _may_accept(self) -> bool:
        return self.state is ConnectionState.CONNECTING and self._initiating_request is not None and not self.client

    def receive_data(self, data: bytes | None) -> None:
        """Takes what was read; events follow from `events()`."""
        try:
            super().receive_data(data)
        except WsprotoRemoteProtocolError as error:
            if isinstance(error.__context__, h11.RemoteProtocolError) and error.__context__.error_status_hint == 431:
                raise refused(f"no HTTP head ends within {MAX_HEAD} bytes (RFC 6585 5)", 431) from None
            raise
        except (UnicodeError, ValueError, AssertionError) as error:
            # wsproto decodes the fields of a handshake as ASCII, and the host as IDNA.
            raise refused(f"a field of the handshake cannot be read: {error}") from error

    def _process_connection_request(self, event: h11.Request) -> Request:
        _check_version(event)
        _check_bounds(b"%s %s HTTP/1.1" % (event.method, event.target), event.headers)
        _check_fields(event.headers)
        if event.method == b"GET" and not any(name == b"upgrade" for name, _ in event.headers):
            self.plain_request = event.target.decode("ascii"), list(event.headers)
        request = super()._process_connection_request(event)
        request.host.encode("idna")  # a host that wsproto could read and nobody can write again is no host
        return request

    def _establish_client_connection(self, event: h11.InformationalResponse) -> AcceptConnection:
        self.has_switched = True
        _check_version(event)
        _check_bounds(b"HTTP/1.1 101 %s" % event.reason, event.headers)
        _check_single(event.headers, _SINGLE_ANSWERS)
        accepted = super()._establish_client_connection(event)
        self._agreed = list(accepted.extensions)
        return accepted

    @property
    def is_refused(self) -> bool:
        """Whether the handshake has ended without a connection."""
        return self.state in (ConnectionState.REJECTING, ConnectionState.CLOSED)


def refused(text: str, status: int = 400) -> RemoteProtocolError:
    """The error for a bad handshake, with the HTTP answer to it."""
    return RemoteProtocolError(text, RejectConnection(status_code=status))


def _check_version(event: h11.Request | h11.InformationalResponse) -> None:
    if event.http_version < b"1.1":
        raise refused(f"HTTP/{event.http_version.decode()}, must be 1.1 or later (RFC 6455 4.1, 4.2.1)", 505)


def _check_bounds(first_line: bytes, headers: h11._headers.Headers) -> None:
    if len(first_line) > MAX_LINE:
        raise refused(f"first line of {len(first_line)} bytes, limit {MAX_LINE}", 414)
    if len(headers) > MAX_FIELDS:
        raise refused(f"{len(headers)} header fields, limit {MAX_FIELDS}", 431)
    sizes = [len(name) + len(value) + 2 for name, value in headers]
    if max(sizes, default=0) > MAX_LINE:
        raise refused(f"header field of {max(sizes)} bytes, limit {MAX_LINE}", 431)
    # h11 looks at the size only while the head is not complete, so that one long read would pass it.
    size = len(first_line) + sum(sizes) + 2 * (len(sizes) + 2)
    if size > MAX_HEAD:
        raise refused(f"HTTP head of {size} bytes, limit {MAX_HEAD}", 431)


def _check_single(headers: h11._headers.Headers, names: frozenset[bytes]) -> None:
    seen: set[bytes] = set()
    for name, _ in headers:
        if name in names and name in seen:
            raise refused(f"{name.decode()} stands twice (RFC 6455 11.3)")
        seen.add(name)


def _check_fields(headers: h11._headers.Headers) -> None:
    """What wsproto does not check in a request."""
    _check_single(headers, _SINGLE)
    for name, value in headers:
        if name == b"sec-websocket-key" and not _is_key(value):
            raise refused("sec-websocket-key is not 16 bytes in base64 (RFC 6455 4.2.1)")
        # A request for an upgrade has no body; one that claims a body is how requests are smuggled (RFC 9112 6.1).
        if name == b"transfer-encoding" or (name == b"content-length" and value != b"0"):
            raise refused(f"{name.decode()} in a WebSocket handshake (RFC 9112 6.1)")


def _is_key(value: bytes) -> bool:
    try:
        return len(base64.b64decode(value, validate=True)) == 16
    except binascii.Error:
        return False
