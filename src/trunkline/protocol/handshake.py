"""The opening handshake: wsproto's, with the limits and checks that a public server needs.

wsproto reads and writes the HTTP, by means of h11. This adds limits on what a peer can make us store (`head`), the
rules of RFC 6455 4.2.1 and RFC 9110 that wsproto leaves to its caller (`asked`), and a single error class for anything
a peer can send, with the answer to send back. The drop-in for wsproto uses it. trunkline's own server and client read
by the same rules, but with llhttp: see `server_handshake` and `client_handshake`.
"""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import h11
import wsproto.handshake
from wsproto.connection import ConnectionState, ConnectionType
from wsproto.events import AcceptConnection, Event, Request
from wsproto.extensions import Extension
from wsproto.utilities import RemoteProtocolError as WsprotoRemoteProtocolError
from wsproto.utilities import generate_accept_token

from trunkline.protocol.answers import check_answer, check_single, check_version, join_fields, without_quotes
from trunkline.protocol.asked import Asked, PlainRequest, judge_request
from trunkline.protocol.errors import LocalProtocolError, RemoteProtocolError
from trunkline.protocol.head import HeadLimits, HeadReader, pieces, refused

__all__ = ["Handshake"]

_PLAIN_ANSWER: Final = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n"
)
_Fields = Sequence[tuple[bytes, bytes]]


class Handshake(wsproto.handshake.H11Handshake):
    """wsproto's handshake with limits.

    Args:
        connection_type: which end this is.
        limits: limits on the head of the request or the answer.

    Raises:
        RemoteProtocolError: the peer's handshake is bad; `event_hint` is the refusal that a server should send.
    """

    def __init__(self, connection_type: ConnectionType, *, limits: HeadLimits | None = None) -> None:
        super().__init__(connection_type)
        limits = limits or HeadLimits()
        # wsproto has already called the constructor, which would take this.
        self._h11_connection._max_incomplete_event_size = limits.max_head
        self._heads = HeadReader(limits, strict=connection_type is ConnectionType.SERVER)
        self._head = b""  # the latest of them
        # Server: the fields of the request as received, names in lower case; () before it. If the target is absolute,
        # Host is the target's (RFC 9112 3.2.2).
        self.fields: Sequence[tuple[bytes, bytes]] = ()
        self.has_request = False  # server: whether a request was read, valid or not
        # Server: a request that does not ask for a WebSocket, such as a health check. RemoteProtocolError refuses it
        # too, but a program may want to answer it.
        self.plain_request: PlainRequest | None = None

    # Client: what is wrong with the answer. The errors keep wsproto's texts, which say less.
    fault: str | None = None

    @property
    def is_head(self) -> bool:
        """Server: whether the request is a HEAD, valid or not. Its answer has no body (RFC 9110 9.3.2)."""
        return self._heads.is_head

    @property
    def has_switched(self) -> bool:
        """Client: whether the server answered 101, valid or not."""
        return self._heads.has_switched

    @property
    def has_events(self) -> bool:
        """Whether `events()` has any to yield."""
        return bool(self._events)

    @property
    def trailing_data(self) -> bytes:
        """What was received after the handshake: the first frames."""
        return bytes(self._h11_connection.trailing_data[0])

    @property
    def extensions(self) -> list[Extension]:
        """The agreed extensions; empty until the handshake is done."""
        return self._agreed

    _agreed: list[Extension] = []  # noqa: RUF012  # replaced, never changed

    def send(self, event: Event) -> bytes:
        """Return the bytes for an event of the handshake.

        Raises LocalProtocolError if the event is out of order or a field is not valid in HTTP.
        """
        if isinstance(event, AcceptConnection) and not self._may_accept():
            raise LocalProtocolError(f"cannot accept in state {self.state.name}: no request is waiting for an answer")
        fault = None
        try:
            data = super().send(event)
        except h11.LocalProtocolError as error:
            fault = without_quotes(error)
        except UnicodeError as error:
            fault = str(error)
        if fault is not None:  # not inside `except`: the caught error would be the context, and quotes the value
            raise LocalProtocolError(f"not allowed in a handshake: {fault} (RFC 9110 5.5)")
        if isinstance(event, AcceptConnection):
            self._agreed = list(event.extensions)
            self._connection = None  # wsproto's, which is not used
        return data

    def _may_accept(self) -> bool:
        return self.state is ConnectionState.CONNECTING and self._initiating_request is not None and not self.client

    def receive_data(self, data: bytes | None) -> None:
        """Feed received bytes, or None at the end of the stream; then take `events()`."""
        if not data:
            if self._expects_head() and self._heads.kept:
                self._parse(self._heads.kept)  # the stream ended inside a head; h11 reports it
            self._parse(data)
            return
        for piece in pieces(self._heads, data, self._expects_head):
            self._head = piece
            self._parse(piece)

    def _expects_head(self) -> bool:
        return self._h11_connection.their_state in (h11.IDLE, h11.SEND_RESPONSE)

    def _parse(self, data: bytes | None) -> None:
        try:
            super().receive_data(data)
        except RemoteProtocolError:
            raise
        except WsprotoRemoteProtocolError as error:
            words = without_quotes(error.__context__) if isinstance(error.__context__, h11.ProtocolError) else ""
            if self.client and words:
                self.fault = f"{words} (RFC 9112)"
            raise refused(str(error), 400, detail=words) from None
        except Exception as error:  # from wsproto, h11 or a codec, caused by the peer's bytes
            raise refused(f"cannot read a field of the handshake: {type(error).__name__}") from error

    def _process_connection_request(self, event: h11.Request) -> Request:
        self.has_request = True
        asked = judge_request(event, self._head)
        self.fields = asked.fields
        if asked.fault is not None:
            self.plain_request = asked.plain
            raise asked.fault
        self._initiating_request = request = Request(
            extensions=list(asked.extensions),
            extra_headers=asked.others,
            host=self._read_host(asked),
            subprotocols=list(asked.subprotocols),
            target=asked.target,
        )
        return request

    def _read_host(self, asked: Asked) -> str:
        return asked.host

    def _accept(self, event: AcceptConnection) -> bytes:
        if event.subprotocol is not None or event.extensions or event.extra_headers:
            return super()._accept(event)
        # Nearly every answer has these bytes. wsproto would also set up a connection that is not used here, and take
        # a third of the handshake's time.
        key = next(value for name, value in self.fields if name == b"sec-websocket-key")
        self._state = ConnectionState.OPEN
        return _PLAIN_ANSWER % generate_accept_token(key)

    def _establish_client_connection(self, event: h11.InformationalResponse) -> AcceptConnection:
        check_version(event.http_version)
        fields = list(event.headers)
        check_single(fields)
        fields = join_fields(fields, b"connection")
        asked = self._initiating_request
        assert asked is not None  # there is no answer before a request
        assert self._nonce is not None
        accept = generate_accept_token(self._nonce)
        self.fault = check_answer(fields, accept, asked.subprotocols, asked.extensions)  # type: ignore[arg-type]
        # It reads only the headers of the event.
        accepted = super()._establish_client_connection(_Head(fields))  # type: ignore[arg-type]
        self._agreed = list(accepted.extensions)
        self._connection = None  # wsproto's, which is not used
        return accepted


class _Head(NamedTuple):
    """The part of an answer that wsproto's handshake reads."""

    headers: _Fields


_MOVED: Final = {
    "H11Handshake",
    "WEBSOCKET_UPGRADE",
    "WEBSOCKET_VERSION",
    "client_extensions_handshake",
    "server_extensions_handshake",
}


def __getattr__(name: str) -> Any:
    """Find the names of wsproto's handshake module, which are now in `trunkline.protocol.wsproto.handshake`."""
    if name not in _MOVED:  # Python looks up names of its own, too
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    drop_in = importlib.import_module("trunkline.protocol.wsproto.handshake")
    warnings.warn(f"{__name__}.{name} is now in {drop_in.__name__}", DeprecationWarning, stacklevel=2)
    return getattr(drop_in, name)
