"""Ways through a SOCKS proxy (RFC 1928, RFC 1929; SOCKS 4 and 4a), spoken by python-socks."""

from __future__ import annotations

import importlib
import socket
from collections.abc import Awaitable, Callable
from typing import Any, Final

from trunkline.net.proxy import Proxy
from trunkline.net.uri import URI
from trunkline.protocol.errors import ConnectError, ProxyError

__all__ = ["open_way"]

LONG: Final = 1_000_000.0  # seconds: open_timeout ends it, and python-socks wants a figure


async def open_way(proxy: Proxy, uri: URI, connect: Callable[[], Awaitable[socket.socket]]) -> socket.socket:
    """A socket that leads to the host and port of `uri`, through the proxy to which `connect` opens a socket.

    Raises ProxyError, ConnectError, what `connect` raises, and ImportError if python-socks is missing. Cancelled, it
    closes what it opened.
    """
    library = _import()
    way = library.async_.asyncio.Proxy(
        library.ProxyType.SOCKS4 if proxy.scheme in ("socks4", "socks4a") else library.ProxyType.SOCKS5,
        proxy.host,
        proxy.port,
        *(proxy.credentials or (None, None)),
        rdns=proxy.scheme in ("socks4a", "socks5h"),
        forward=_Dialler(connect),
    )
    try:
        sock: socket.socket = await way.connect(uri.host, uri.port, timeout=LONG)
    except library.ProxyError as error:
        text = f"proxy {proxy.where} would not connect to {uri.host}:{uri.port}: {error}"
        # It has no code of its own for credentials that are refused or missing.
        raise ProxyError(text, error.error_code, refuses_us="authentication" in str(error)) from error
    except ConnectError:
        raise
    except socket.gaierror as error:
        raise ConnectError.wrap(error, "dns", f"{uri.host}:{uri.port}") from error
    except OSError as error:
        raise ConnectError.wrap(error, "proxy", proxy.where) from error
    except ValueError as error:  # an address in the answer that is none
        raise ProxyError(f"proxy {proxy.where} answered no SOCKS: {error}") from error
    return sock


class _Dialler:
    """Stands where python-socks takes another proxy to go through first: the way to the first one is ours."""

    def __init__(self, connect: Callable[[], Awaitable[socket.socket]]) -> None:
        self._connect = connect

    async def connect(self, **_: object) -> socket.socket:
        return await self._connect()


def _import() -> Any:
    try:
        importlib.import_module("python_socks.async_.asyncio")
        return importlib.import_module("python_socks")
    except ImportError as error:
        raise ImportError("a SOCKS proxy needs python-socks: pip install 'trunkline[socks]' (proxy)") from error
