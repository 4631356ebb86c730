"""From an address to a transport: name look-up, TCP, proxy, TLS.

Every step turns what the system says into a ConnectError that names the step, so that whoever reads it knows where to
look. If a step fails or is cancelled, what the steps before it opened is closed.
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeVar

from trunkline.net.adopting import adopt
from trunkline.net.loops import send_at_once
from trunkline.net.proxy import Proxy, Tunnel
from trunkline.net.socks import open_way
from trunkline.net.uri import URI
from trunkline.net.websocket import WebSocket
from trunkline.protocol.errors import ConnectError

__all__ = ["Route", "dial"]

P = TypeVar("P", bound=asyncio.BaseProtocol)

MIN_SHARE: Final = 1.0  # seconds that one address of several gets at least


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """The way to a server. tls: None for none. unix: a socket's path in place of host and port. sock: one that is
    connected already.
    """

    uri: URI
    tls: ssl.SSLContext | None = None
    server_hostname: str | None = None
    proxy: Proxy | None = None
    unix: str | os.PathLike[str] | None = None
    sock: socket.socket | None = None

    @property
    def where(self) -> str:
        """The server as messages name it."""
        return os.fspath(self.unix) if self.unix is not None else f"{self.uri.host}:{self.uri.port}"


async def dial(route: Route, make: Callable[[], WebSocket], deadline: float | None) -> WebSocket:
    """A WebSocket from `make` on a transport to the server. deadline: in the loop's time, to share it between
    addresses.
    """
    proxy = route.proxy
    if proxy is not None and not proxy.is_socks:
        return await _dial_through(route, proxy, make, deadline)
    if proxy is not None:
        sock = await open_way(proxy, route.uri, lambda: _connect_tcp(proxy.host, proxy.port, deadline))
    elif route.sock is not None:
        sock = route.sock
        sock.setblocking(False)
        send_at_once(sock)
    elif route.unix is not None:
        sock = await _connect_unix(route)
    else:
        sock = await _connect_tcp(route.uri.host, route.uri.port, deadline)
    return await _start(sock, make, route.tls, route.server_hostname or route.uri.host, route.where)


async def _connect_unix(route: Route) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    await _connect(sock, os.fspath(route.unix), route.where)  # type: ignore[arg-type]  # unix is set
    return sock


async def _connect_tcp(host: str, port: int, deadline: float | None) -> socket.socket:
    """A socket connected to the first address that answers; the error of the last otherwise."""
    loop = asyncio.get_running_loop()
    where = f"{host}:{port}"
    try:
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise ConnectError.wrap(error, "dns", where) from error
    failure: ConnectError | None = None
    for index, (family, kind, protocol, _, address) in enumerate(found):
        left = len(found) - index
        share = None if deadline is None or left == 1 else max(MIN_SHARE, (deadline - loop.time()) / left)
        try:
            async with asyncio.timeout(share):
                sock = socket.socket(family, kind, protocol)
                await _connect(sock, address, where)
                return sock
        except TimeoutError as error:
            failure = failure or ConnectError.wrap(error, "tcp", where)
        except ConnectError as error:
            failure = error
    assert failure is not None  # getaddrinfo gives an address or raises
    raise failure


async def _connect(sock: socket.socket, address: object, where: str) -> None:
    try:
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, address)  # type: ignore[arg-type]
    except OSError as error:
        sock.close()
        raise ConnectError.wrap(error, "tcp", where) from error
    except BaseException:
        sock.close()
        raise


async def _start(sock: socket.socket, make: Callable[[], P], tls: ssl.SSLContext | None, name: str, where: str) -> P:
    """A protocol on the socket, over TLS if there is a context for it."""
    try:
        return await adopt(sock, make, ssl=tls, server_hostname=name if tls else None)
    except OSError as error:
        raise ConnectError.wrap(error, "tls" if tls else "tcp", where) from error


async def _dial_through(route: Route, proxy: Proxy, make: Callable[[], WebSocket], deadline: float | None) -> WebSocket:
    loop = asyncio.get_running_loop()
    sock = await _connect_tcp(proxy.host, proxy.port, deadline)
    tls = ssl.create_default_context() if proxy.secure else None
    tunnel = await _start(sock, lambda: Tunnel(proxy, route.uri, loop), tls, proxy.host, proxy.where)
    transport: asyncio.Transport | None = tunnel.transport
    try:
        await tunnel.ready
        ws = make()
        if route.tls is not None:
            name = route.server_hostname or route.uri.host
            transport = await loop.start_tls(tunnel.transport, ws, route.tls, server_hostname=name)
        else:
            tunnel.transport.set_protocol(ws)
        if transport is None:  # start_tls: the line went while TLS began
            raise ConnectError(f"no TLS with {route.where}: the connection ended", phase="tls")
        ws.connection_made(transport)
        if route.tls is None:
            if tunnel.trailing_data:
                ws.data_received(tunnel.trailing_data)
            transport.resume_reading()
    except ConnectError:
        tunnel.transport.abort()
        raise
    except OSError as error:
        tunnel.transport.abort()
        raise ConnectError.wrap(error, "tls", route.where) from error
    except BaseException:
        tunnel.transport.abort()
        raise
    return ws
