"""wsproto's opening handshake, with trunkline's limits and checks."""

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
    """A `Handshake` that ends with a `connection`. A server's decodes the host from IDNA, as wsproto's does.

    The host is limited to 255 bytes, so decoding it takes microseconds.

    Args:
        connection_type: which end this is.
        max_size: the limit of the `connection`; see `Connection`.
        limits: limits on the head of the request or the answer.
    """

    def __init__(
        self, connection_type: ConnectionType, *, max_size: int | None = None, limits: HeadLimits | None = None
    ) -> None:
        super().__init__(connection_type, limits=limits)
        self._max_size = max_size
        self._established: Connection | None = None

    @property
    def connection(self) -> Connection | None:  # type: ignore[override]  # ours has wsproto's surface
        """The open connection; None until the handshake is done."""
        if self._established is None and self.state is ConnectionState.OPEN:
            kind = ConnectionType.CLIENT if self.client else ConnectionType.SERVER
            self._established = Connection(kind, self._agreed, self.trailing_data, max_size=self._max_size)
        return self._established

    def _read_host(self, asked: Asked) -> str:
        try:
            host = asked.host.encode("ascii").decode("idna")
            host.encode("idna")
        except Exception as error:  # whatever Python's codec raises, the peer's bytes caused it
            raise refused(f"the host cannot be read: {type(error).__name__} (RFC 5891)") from error
        return host
