"""wsproto's opening handshake, with trunkline's bounds and checks."""

from __future__ import annotations

from wsproto.connection import ConnectionState, ConnectionType
from wsproto.handshake import (
    WEBSOCKET_UPGRADE,
    WEBSOCKET_VERSION,
    client_extensions_handshake,
    server_extensions_handshake,
)

from trunkline.protocol.asked import Asked
from trunkline.protocol.handshake import Handshake
from trunkline.protocol.head import HeadLimits, refused
from trunkline.protocol.wsproto.connection import Connection

__all__ = [
    "WEBSOCKET_UPGRADE",
    "WEBSOCKET_VERSION",
    "H11Handshake",
    "client_extensions_handshake",
    "server_extensions_handshake",
]


class H11Handshake(Handshake):
    """A `Handshake` that leads to a `connection`, and whose server gives the host as a person reads it.

    The host may have 255 bytes, so that to decode it takes microseconds.

    Args:
        connection_type: whose end it is.
        max_size: that of the `connection`; see `Connection`.
        limits: on the head of the request, or of the answer.
    """

    def __init__(
        self, connection_type: ConnectionType, *, max_size: int | None = None, limits: HeadLimits | None = None
    ) -> None:
        super().__init__(connection_type, limits=limits)
        self._max_size = max_size
        self._established: Connection | None = None

    @property
    def connection(self) -> Connection | None:  # type: ignore[override]  # ours has wsproto's surface
        """The connection that the handshake has led to; None before it is done."""
        if self._established is None and self.state is ConnectionState.OPEN:
            kind = ConnectionType.CLIENT if self.client else ConnectionType.SERVER
            self._established = Connection(kind, self._agreed, self.trailing_data, max_size=self._max_size)
        return self._established

    def _read_host(self, asked: Asked) -> str:
        try:
            host = asked.host.encode("ascii").decode("idna")
            host.encode("idna")
        except Exception as error:  # whatever Python's codec raises, it was a peer's bytes that made it
            raise refused(f"the host cannot be read: {type(error).__name__} (RFC 5891)") from error
        return host
