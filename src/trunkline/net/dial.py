"""From an address to a transport: name look-up, TCP, proxy, TLS.

Each step turns the system's error into a ConnectError that names the step. If a step fails or is cancelled, everything
that the steps before it opened is closed.
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections.abc import Callable
from typing import TypeVar

from trunkline._writer import LoopState
from trunkline.net.addresses import connect_tcp
from trunkline.net.adopting import adopt
from trunkline.net.loops import send_at_once, state_of
from trunkline.net.proxy import Proxy
from trunkline.net.route import Progress, Route
from trunkline.net.socks import open_way
from trunkline.net.streams import start_stream
from trunkline.net.tunnel import Tunnel
from trunkline.net.unix import unix_socket
from trunkline.net.websocket import WebSocket
from trunkline.protocol.errors import ConnectError

__all__ = ["dial"]

P = TypeVar("P", bound=asyncio.BaseProtocol)


async def dial(route: Route, make: Callable[[], WebSocket], progress: Progress) -> WebSocket:
    """Connect to the server, and return a WebSocket from `make` on the transport."""
    proxy = route.proxy
    if proxy is not None and not proxy.is_socks:
        return await _dial_through(route, proxy, make, progress)
    if proxy is not None:
        sock = await open_way(proxy, route, progress)
    elif route.sock is not None:
        sock = route.sock
        sock.setblocking(False)
        send_at_once(sock)
    elif route.unix is not None:
        progress.begin("tcp", f"connecting to {route.where}")
        sock = await _connect_unix(route)
    else:
        sock = await connect_tcp(route.uri.host, route.uri.port, route, progress)
    if route.tls is not None:
        progress.begin("tls", f"waiting for the TLS handshake with {route.where}")
    elif (state := state_of(asyncio.get_running_loop())).poller is not None:
        return _start_plain(state, sock, make, route.where)
    return await _start(sock, make, route.tls, route.certified, route.where)


def _start_plain(state: LoopState, sock: socket.socket, make: Callable[[], WebSocket], where: str) -> WebSocket:
    try:
        ws = make()
    except BaseException:
        sock.close()
        raise
    try:
        start_stream(state, sock, ws)
    except OSError as error:
        raise ConnectError.wrap(error, "tcp", where) from error
    return ws


async def _connect_unix(route: Route) -> socket.socket:
    sock = unix_socket()
    try:
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, os.fspath(route.unix))  # type: ignore[arg-type]  # it is set
    except OSError as error:
        sock.close()
        raise ConnectError.wrap(error, "tcp", route.where) from error
    except BaseException:
        sock.close()
        raise
    return sock


async def _start(sock: socket.socket, make: Callable[[], P], tls: ssl.SSLContext | None, name: str, where: str) -> P:
    """Start a protocol on the socket, over TLS if there is a context, and return it."""
    try:
        return await adopt(sock, make, ssl=tls, server_hostname=name if tls else None)
    except OSError as error:
        raise ConnectError.wrap(error, "tls" if tls else "tcp", where) from error


async def _dial_through(route: Route, proxy: Proxy, make: Callable[[], WebSocket], progress: Progress) -> WebSocket:
    loop = asyncio.get_running_loop()
    sock = await connect_tcp(proxy.host, proxy.port, route, progress, role="proxy ")
    tls = None
    if proxy.secure:
        tls = proxy.tls or ssl.create_default_context()
        progress.begin("tls", f"waiting for the TLS handshake with proxy {proxy.where}")
    tunnel = await _start(sock, lambda: Tunnel(proxy, route.uri, loop), tls, proxy.host, f"proxy {proxy.where}")
    progress.begin("proxy", f"no answer from proxy {proxy.where} to CONNECT {route.where}")
    try:
        await tunnel.ready
        return await _enter(tunnel, route, make(), progress)
    except ConnectError:
        tunnel.transport.abort()
        raise
    except OSError as error:
        tunnel.transport.abort()
        raise ConnectError.wrap(error, "tls", route.where) from error
    except BaseException:
        tunnel.transport.abort()
        raise


async def _enter(tunnel: Tunnel, route: Route, ws: WebSocket, progress: Progress) -> WebSocket:
    """Put `ws` in the tunnel's place, over TLS if the route asks for it."""
    transport: asyncio.Transport | None = tunnel.transport
    if route.tls is not None:
        progress.begin("tls", f"waiting for the TLS handshake with {route.where} through the proxy")
        loop = asyncio.get_running_loop()
        transport = await loop.start_tls(tunnel.transport, ws, route.tls, server_hostname=route.certified)
    else:
        tunnel.transport.set_protocol(ws)
    if transport is None:  # start_tls: the connection was lost while TLS began
        raise ConnectError(f"cannot set up TLS with {route.where}: the connection ended", phase="tls")
    ws.connection_made(transport)
    if route.tls is None:
        if tunnel.trailing_data:
            ws.data_received(tunnel.trailing_data)
        transport.resume_reading()
    return ws
