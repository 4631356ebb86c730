"""wsproto's connection on the compiled codec: `from trunkline.protocol import WSConnection` replaces `from wsproto
import WSConnection`.

Theory of operation. Bytes go in with `receive_data`, events come out of `events()`, and `send` gives the bytes that an
event is on the wire. The event classes, the states and the HTTP part of the opening handshake are wsproto's own. As
there, a message comes in as many events as it came in pieces, parsing waits until `events()` is iterated, and a fault
is a `CloseConnection` event that carries the close code to send.
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Callable, Generator, Sequence
from typing import Final

from wsproto.connection import ConnectionState, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Event, Message, Ping, Pong, TextMessage
from wsproto.extensions import Extension
from wsproto.frame_protocol import CloseReason

from trunkline._batch import Encoder
from trunkline._frames import (
    OPCODE_BINARY,
    OPCODE_CLOSE,
    OPCODE_CONTINUATION,
    OPCODE_PING,
    OPCODE_PONG,
    OPCODE_TEXT,
    Control,
    Decoder,
    Fragment,
)
from trunkline.protocol.errors import LocalProtocolError
from trunkline.protocol.handshake import Handshake
from trunkline.protocol.states import Happening, after

__all__ = ["Connection", "WSConnection", "check_close", "close_payload"]

# RFC 6455 7.4.1: these describe what happened here and are never sent.
LOCAL_ONLY_CODES: Final = frozenset({1005, 1006, 1015})
MAX_REASON: Final = 123  # bytes: a control frame's 125 less the close code's 2 (5.5)


def close_payload(code: int | None, reason: str | None = None) -> bytes:
    """The payload of a close frame (RFC 6455 5.5.1).

    code: None or 1005 for a frame without one; 1006 and 1015, which are never sent, go as 1000, as in wsproto.
    reason: cut after the last character that ends within 123 bytes.
    """
    if code is None or code == 1005:
        if reason:
            raise TypeError(f"a close reason ({len(reason)} characters) needs a close code (RFC 6455 5.5.1)")
        return b""
    encoded = (reason or "").encode()
    if len(encoded) > MAX_REASON:
        encoded = encoded[:MAX_REASON].decode(errors="ignore").encode()
    return struct.pack("!H", 1000 if code in LOCAL_ONLY_CODES else code) + encoded


def check_close(code: int, reason: str) -> None:
    """Raises LocalProtocolError if a close frame may not have this code (RFC 6455 7.4) or this reason."""
    if not (1000 <= code <= 1003 or 1007 <= code <= 1014 or 3000 <= code <= 4999):
        raise LocalProtocolError(f"close code {code} may not be sent (code, RFC 6455 7.4)")
    try:
        size = len(reason.encode())
    except UnicodeEncodeError as error:
        raise LocalProtocolError(f"close reason is not Unicode at index {error.start} (reason, RFC 6455 8.1)") from None
    if size > MAX_REASON:
        raise LocalProtocolError(f"close reason has {size} bytes, limit {MAX_REASON} (reason, RFC 6455 5.5)")


_NAMED: Final = {int(reason): reason for reason in CloseReason}


def _named(code: int) -> int:
    """The close code as the member of wsproto's CloseReason that it is, if it is one."""
    return _NAMED.get(code, code)


class Connection:
    """One end of a connection whose opening handshake is done.

    `trailing_data`: what was received after the handshake. No size limit applies here, since pieces are given as they
    come and nothing is assembled; who assembles, counts.
    """

    def __init__(
        self,
        connection_type: ConnectionType,
        extensions: Sequence[Extension] | None = None,
        trailing_data: bytes = b"",
    ) -> None:
        if any(extension.enabled() for extension in extensions or ()):
            raise LocalProtocolError("extensions are not spoken by this codec yet: offer and accept none")
        self.client = connection_type is ConnectionType.CLIENT
        self._state = ConnectionState.OPEN
        self._decoder = Decoder(self.client, max_size=None, max_fragments=None, pieces=True)
        self._encoder = Encoder(self.client)
        self._chunks: list[bytes] = []
        self._parsed: deque[str | bytes | Control | Fragment] = deque()
        self._lost = False
        self._fault_told = False
        self._sending: int | None = None  # opcode of the message under way, None between two
        self.receive_data(trailing_data)

    @property
    def state(self) -> ConnectionState:
        """Where the connection stands."""
        return self._state

    def send(self, event: Event) -> bytes:
        """The bytes to write for `event`.

        Raises LocalProtocolError if the event cannot be sent in this state, TypeError if a message changes its type
        half-way, ValueError for a ping or pong over 125 bytes.
        """
        for kind, encode in self._ENCODERS:
            if isinstance(event, kind):
                if self._state is ConnectionState.OPEN or (
                    kind is CloseConnection and self._state is ConnectionState.REMOTE_CLOSING
                ):
                    return encode(self, event)
                break
        raise LocalProtocolError(f"Event {event} cannot be sent in state {self._state}.")

    def _send_message(self, event: Message) -> bytes:  # type: ignore[type-arg]
        if isinstance(event.data, str):
            opcode, data = OPCODE_TEXT, event.data.encode()
        else:
            opcode, data = OPCODE_BINARY, event.data
        if self._sending is not None and self._sending != opcode:
            raise TypeError(
                "a message is text or binary throughout: its continuation has the other type (RFC 6455 5.4)"
            )
        wire_opcode = opcode if self._sending is None else OPCODE_CONTINUATION
        frame = self._encoder.frame(wire_opcode, data, event.message_finished)
        self._sending = None if event.message_finished else opcode
        return frame

    def _send_ping(self, event: Ping) -> bytes:
        return self._encoder.frame(OPCODE_PING, event.payload)

    def _send_pong(self, event: Pong) -> bytes:
        return self._encoder.frame(OPCODE_PONG, event.payload)

    def _send_close(self, event: CloseConnection) -> bytes:
        data = self._encoder.frame(OPCODE_CLOSE, close_payload(event.code, event.reason))
        self._state = after(self._state, Happening.SENT_CLOSE)
        return data

    _ENCODERS: Final[tuple[tuple[type[Event], Callable[[Connection, object], bytes]], ...]] = (
        (Message, _send_message),
        (Ping, _send_ping),
        (Pong, _send_pong),
        (CloseConnection, _send_close),
    )  # type: ignore[assignment]  # each is called with its own kind of event only

    def receive_data(self, data: bytes | None) -> None:
        """Takes what was read; None when the transport has ended (code 1006, RFC 6455 7.1.5).

        Raises LocalProtocolError if the connection is closed already.
        """
        if data is None:
            self._lost = True
            self._state = after(self._state, Happening.LOST)
        elif self._state is ConnectionState.CLOSED:
            raise LocalProtocolError("Connection already closed.")
        elif self._state is not ConnectionState.REMOTE_CLOSING and data:
            self._chunks.append(bytes(data))

    def events(self) -> Generator[Event, None, None]:
        """Gives what the received bytes mean, in the order they came. An iteration may be given up: the next goes on
        where it stopped.
        """
        while self._parsed or self._chunks:
            if not self._parsed:
                chunks, self._chunks = self._chunks, []
                self._parsed.extend(self._decoder.feed(b"".join(chunks)))
            else:
                yield self._event(self._parsed.popleft())
        fault = self._decoder.fault
        if fault is not None and not self._fault_told:
            self._fault_told = True
            yield CloseConnection(code=_named(fault.code), reason=fault.text)
        if self._lost:
            self._lost = False
            yield CloseConnection(code=CloseReason.ABNORMAL_CLOSURE)

    def _event(self, item: str | bytes | Control | Fragment) -> Event:
        if isinstance(item, Fragment):
            data, frame, message = item.data, item.frame_finished, item.message_finished
            if isinstance(data, str):
                return TextMessage(data=data, frame_finished=frame, message_finished=message)
            return BytesMessage(data=data, frame_finished=frame, message_finished=message)
        assert isinstance(item, Control)  # a decoder of pieces assembles no messages
        if item.opcode == OPCODE_PING:
            return Ping(payload=item.payload)
        if item.opcode == OPCODE_PONG:
            return Pong(payload=item.payload)
        if self._state is not ConnectionState.CLOSED:  # the transport may be gone by now
            self._state = after(self._state, Happening.GOT_CLOSE)
        return CloseConnection(code=_named(item.code), reason=item.reason)


class WSConnection:
    """One end of a connection from its first byte: wsproto's handshake, then a `Connection`."""

    def __init__(self, connection_type: ConnectionType) -> None:
        self.client = connection_type is ConnectionType.CLIENT
        self.handshake = Handshake(connection_type)
        self.connection: Connection | None = None

    @property
    def state(self) -> ConnectionState:
        """Where the connection stands, its handshake included."""
        return self.handshake.state if self.connection is None else self.connection.state

    def initiate_upgrade_connection(self, headers: list[tuple[bytes, bytes]], path: bytes | str) -> None:
        """For a server whose HTTP part has read the request already."""
        self.handshake.initiate_upgrade_connection(headers, path)

    def send(self, event: Event) -> bytes:
        """The bytes to write for `event`; LocalProtocolError if it cannot be sent now."""
        if self.connection is not None:
            return self.connection.send(event)
        data = self.handshake.send(event)
        self._take_over()
        return data

    def receive_data(self, data: bytes | None) -> None:
        """Takes what was read; None when the transport has ended.

        Raises RemoteProtocolError (with `event_hint`, the refusal to send) for a bad handshake.
        """
        if self.connection is not None:
            self.connection.receive_data(data)
        else:
            self.handshake.receive_data(data)
            self._take_over()

    def events(self) -> Generator[Event, None, None]:
        """Gives what the received bytes mean."""
        yield from self.handshake.events()
        if self.connection is not None:
            yield from self.connection.events()

    def _take_over(self) -> None:
        if self.handshake.state is ConnectionState.OPEN:
            kind = ConnectionType.CLIENT if self.client else ConnectionType.SERVER
            self.connection = Connection(kind, self.handshake.extensions, self.handshake.trailing_data)
