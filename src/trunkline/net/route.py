"""The way to a server, and how far along it an attempt has come."""

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
    """The way to a server.

    uri: its host and port are those to dial. tls: None for none. unix: a socket's path in place of host and port. sock:
    one that is connected already. family, local_addr: of the sockets that are made; 0 and None for any.
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
        """The server as messages name it."""
        return os.fspath(self.unix) if self.unix is not None else f"{self.uri.host}:{self.uri.port}"

    @property
    def certified(self) -> str:
        """The name that the server's certificate must have."""
        return self.server_hostname or self.uri.host


@dataclass(slots=True)
class Progress:
    """What an attempt does now, for the error that says where it stopped."""

    phase: Phase = "dns"
    doing: str = ""

    def begin(self, phase: Phase, doing: str) -> None:
        """Enter a phase. doing: the same in words that follow "was not open after 10 s: "."""
        self.phase, self.doing = phase, doing
