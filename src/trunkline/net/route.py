"""The route to a server, and how far an attempt has got."""

from __future__ import annotations

import os
import socket
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING

from trunkline.net.proxy import Proxy
from trunkline.net.uri import URI

if TYPE_CHECKING:
    from trunkline.protocol.categories import Phase

__all__ = ["Progress", "Route"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """The route to a server.

    Attributes:
        uri: its host and port are the ones to dial.
        tls: the context; None for no TLS.
        server_hostname: the name that the certificate must have; None for the host of `uri`.
        proxy: the proxy to go through; None to connect directly.
        unix: the path of a unix socket, in place of host and port.
        sock: a socket that is already connected.
        family: the address family of new sockets; 0 for any.
        local_addr: host and port that new sockets connect from; None for any.
    """

    uri: URI
    tls: ssl.SSLContext | None = None
    server_hostname: str | None = None
    proxy: Proxy | None = None
    unix: str | os.PathLike[str] | None = None
    sock: socket.socket | None = None
    family: int = 0
    local_addr: tuple[str, int] | None = None

    @property
    def where(self) -> str:
        """The server's address for messages."""
        return os.fspath(self.unix) if self.unix is not None else f"{self.uri.host}:{self.uri.port}"

    @property
    def certified(self) -> str:
        """The name that the server's certificate must have."""
        return self.server_hostname or self.uri.host


@dataclass(slots=True)
class Progress:
    """What an attempt is doing, so that an error can say where it stopped."""

    phase: Phase = "dns"
    doing: str = ""

    def begin(self, phase: Phase, doing: str) -> None:
        """Enter a phase. `doing` describes it in words that can follow "was not open after 10 s: "."""
        self.phase, self.doing = phase, doing
