"""wsproto's WSConnection: `from trunkline.protocol import WSConnection` replaces `from wsproto import WSConnection`."""

from __future__ import annotations

from collections.abc import Generator

from wsproto.connection import ConnectionState, ConnectionType
from wsproto.events import Event

from trunkline.protocol.wsproto.connection import Connection
from trunkline.protocol.wsproto.handshake import H11Handshake

__all__ = ["WSConnection"]


class WSConnection:
    """One end of a connection, from its first byte: the opening handshake, then a `Connection`.

    Args:
        connection_type: which end this is.
        max_size: the most bytes in a message, all pieces together and inflated; a larger one gives close code 1009.
            None for no limit.
    """

    def __init__(self, connection_type: ConnectionType, *, max_size: int | None = None) -> None:
        self.client = connection_type is ConnectionType.CLIENT
        self.handshake = H11Handshake(connection_type, max_size=max_size)
        self.connection: Connection | None = None

    @property
    def state(self) -> ConnectionState:
        """The state of the connection, including its handshake."""
        return self.handshake.state if self.connection is None else self.connection.state

    def initiate_upgrade_connection(self, headers: list[tuple[bytes, bytes]], path: bytes | str) -> None:
        """Start from a request that another HTTP parser has already read."""
        self.handshake.initiate_upgrade_connection(headers, path)

    def send(self, event: Event) -> bytes:
        """Return the bytes to write for `event`; raise LocalProtocolError if it cannot be sent now."""
        if self.connection is not None:
            return self.connection.send(event)
        data = self.handshake.send(event)
        self.connection = self.handshake.connection
        return data

    def receive_data(self, data: bytes | None) -> None:
        """Feed received bytes, or None when the transport has ended.

        Raises RemoteProtocolError for a bad handshake; its `event_hint` is the refusal to send.
        """
        if self.connection is not None:
            self.connection.receive_data(data)
        else:
            self.handshake.receive_data(data)
            self.connection = self.handshake.connection

    def events(self) -> Generator[Event, None, None]:
        """Yield the events in the received bytes."""
        if self.connection is not None and not self.handshake.has_events:
            return self.connection.events()
        return self._all_events()

    def _all_events(self) -> Generator[Event, None, None]:
        yield from self.handshake.events()
        if self.connection is not None:
            yield from self.connection.events()
