"""Connections through SOCKS proxies (RFC 1928, RFC 1929; SOCKS 4 and 4a), made with python-socks."""

from __future__ import annotations

import asyncio
import importlib
import ipaddress
import socket
from typing import Any, Final

from trunkline.net.addresses import AddressInfo, Runners, connect_tcp, look_up, race
from trunkline.net.proxy import Proxy
from trunkline.net.route import Progress, Route
from trunkline.protocol.errors import ConnectError, ProxyError

__all__ = ["open_way"]

LONG: Final = 1_000_000.0  # seconds: python-socks requires a timeout, but open_timeout is the one that counts


async def open_way(proxy: Proxy, route: Route, progress: Progress) -> socket.socket:
    """Return a socket that is connected to the host and port of `route` through the proxy.

    If we look up the name and it has several addresses, they are tried in a race, as without a proxy. If this is
    cancelled, it closes what it opened.

    Raises:
        ProxyError: the proxy refused, or its answer is not SOCKS.
        ConnectError: a step failed; `phase` says which.
        ImportError: python-socks is not installed.
    """
    library = _import()
    host, port = route.uri.host, route.uri.port
    found = [] if proxy.looks_up or _is_address(host) else await _look_up_here(proxy, route, progress)
    sock = await connect_tcp(proxy.host, proxy.port, route, progress, role="proxy ")
    progress.begin("proxy", f"no answer from proxy {proxy.where} about {route.where}")
    try:
        if len(found) > 1:
            return await race(found, _Tunnels(library, proxy, route, sock), route.where)
        await _ask(library, proxy, sock, (str(found[0][4][0]) if found else host, port))
    except BaseException:
        sock.close()
        raise
    return sock


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


async def _look_up_here(proxy: Proxy, route: Route, progress: Progress) -> list[AddressInfo]:
    progress.begin("dns", f"looking up {route.uri.host}")
    family = socket.AF_INET if proxy.scheme == "socks4" else 0  # its requests have no room for IPv6
    return list(await look_up(route.uri.host, route.uri.port, route.where, family))


class _Tunnels(Runners):
    """Runners that ask the proxy for one address of the server each, on connections of their own."""

    def __init__(self, library: Any, proxy: Proxy, route: Route, first: socket.socket) -> None:
        """Set up the runners. `first` is connected to the proxy, and serves for the first address."""
        super().__init__()
        self._library = library
        self._proxy = proxy
        self._first = first
        self._is_begun = False
        self._kind = first.family, first.type, first.proto
        self._there = first.getpeername()
        self._local = None if route.local_addr is None else (first.getsockname()[0], 0)

    def make_socket(self, info: AddressInfo) -> socket.socket:
        if self._is_begun:
            return socket.socket(*self._kind)
        self._is_begun = True
        return self._first

    async def connect(self, sock: socket.socket, address: Any) -> None:
        if sock is not self._first:
            if self._local is not None:
                sock.bind(self._local)
            try:
                await asyncio.get_running_loop().sock_connect(sock, self._there)
            except OSError as error:
                raise ConnectError.wrap(error, "tcp", f"proxy {self._proxy.where}") from error
        await _ask(self._library, self._proxy, sock, address)


async def _ask(library: Any, proxy: Proxy, sock: socket.socket, place: tuple[Any, ...]) -> None:
    """Have the proxy connect `sock` to a host and port (`place`). Raise ProxyError if it refuses."""
    way = library.async_.asyncio.Proxy(
        library.ProxyType.SOCKS4 if proxy.scheme in ("socks4", "socks4a") else library.ProxyType.SOCKS5,
        proxy.host,
        proxy.port,
        *(proxy.credentials or (None, None)),
        rdns=proxy.looks_up,
        forward=_Ready(sock),
    )
    host, port, *_ = place
    try:
        await way.connect(host, port, timeout=LONG)
    except library.ProxyError as error:
        text = f"proxy {proxy.where} would not connect to {host}:{port}: {error}"
        # python-socks has no error code for credentials that are refused or missing.
        raise ProxyError(text, error.error_code, refuses_us="authentication" in str(error)) from error
    except OSError as error:
        raise ConnectError.wrap(error, "proxy", proxy.where) from error
    except ValueError as error:  # a malformed address in the answer
        raise ProxyError(f"the answer of proxy {proxy.where} is not valid SOCKS: {error}") from error


class _Ready:
    """What python-socks takes for another proxy to go through first: it hands out the socket that we have connected."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock

    async def connect(self, **_: object) -> socket.socket:
        return self._sock


def _import() -> Any:
    try:
        importlib.import_module("python_socks.async_.asyncio")
        return importlib.import_module("python_socks")
    except ImportError as error:
        raise ImportError("a SOCKS proxy needs python-socks: pip install 'trunkline[socks]' (proxy)") from error
