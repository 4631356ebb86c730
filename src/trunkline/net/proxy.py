"""Proxies, as URLs and the environment name them, and tunnels through those of HTTP (CONNECT, RFC 9110 9.3.6)."""

from __future__ import annotations

import asyncio
import base64
import urllib.parse
import urllib.request
from dataclasses import dataclass, field
from typing import Final

import h11

from trunkline.net.uri import URI, split_url
from trunkline.protocol.errors import InvalidURI, ProxyError

__all__ = ["Proxy", "Tunnel", "find_proxy"]


SCHEMES: Final = ("http", "https", "socks4", "socks4a", "socks5", "socks5h")
PORTS: Final = {"http": 80, "https": 443} | dict.fromkeys(SCHEMES[2:], 1080)
MOST_OCTETS: Final = 255  # of a name or a password (RFC 1929 2)


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy to connect through.

    scheme: "https" for TLS to an HTTP proxy itself; "socks4a" and "socks5h" have the proxy look the name up, "socks4"
    and "socks5" have it looked up here. credentials: name and password.
    """

    scheme: str
    host: str
    port: int
    credentials: tuple[str, str] | None = field(repr=False)

    @property
    def secure(self) -> bool:
        """Whether the proxy is spoken to over TLS."""
        return self.scheme == "https"

    @property
    def is_socks(self) -> bool:
        """Whether it speaks SOCKS, not HTTP."""
        return self.scheme.startswith("socks")

    @property
    def where(self) -> str:
        """The proxy as messages name it, without credentials."""
        return f"{self.host}:{self.port}"

    @property
    def authorization(self) -> bytes | None:
        """The credentials as HTTP wants them (RFC 7617)."""
        if self.credentials is None:
            return None
        return b"Basic " + base64.b64encode(":".join(self.credentials).encode())


def find_proxy(uri: URI, proxy: str | bool | None) -> Proxy | None:
    """The proxy for `uri`: the one given, with True the environment's (https_proxy or http_proxy, all_proxy, no_proxy),
    with None none.
    """
    if proxy is True:
        known = urllib.request.getproxies()
        found = known.get("https" if uri.secure else "http") or known.get("all")
        if not found or urllib.request.proxy_bypass(f"{uri.host}:{uri.port}"):
            return None
        proxy = found
    return _parse(proxy) if proxy else None


def _parse(text: str) -> Proxy:
    parts, port = split_url(text if "//" in text else f"http://{text}", "proxy")
    if parts.scheme not in SCHEMES or not parts.hostname:
        raise InvalidURI(f"proxy scheme is {parts.scheme!r}, must be {', '.join(SCHEMES)}, with a host (proxy)")
    credentials = None
    if parts.username is not None:
        credentials = urllib.parse.unquote(parts.username), urllib.parse.unquote(parts.password or "")
        if parts.scheme.startswith("socks") and not all(_is_short(part) for part in credentials):
            raise InvalidURI("a SOCKS proxy takes a name and a password of at most 255 ASCII characters (proxy)")
    return Proxy(parts.scheme, parts.hostname, port or PORTS[parts.scheme], credentials)


def _is_short(text: str) -> bool:
    return text.isascii() and len(text) <= MOST_OCTETS


class Tunnel(asyncio.Protocol):
    """Asks the proxy for a way to `uri`; `ready` is done when there is one. Reading is then paused, and nothing read is
    lost.
    """

    def __init__(self, proxy: Proxy, uri: URI, loop: asyncio.AbstractEventLoop) -> None:
        self._proxy = proxy
        self._uri = uri
        self._http = h11.Connection(h11.CLIENT)
        self.ready: asyncio.Future[None] = loop.create_future()
        self.transport: asyncio.Transport

    @property
    def trailing_data(self) -> bytes:
        """What came behind the proxy's answer."""
        return bytes(self._http.trailing_data[0])

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Sends the request."""
        self.transport = transport  # type: ignore[assignment]  # a stream's transport is one
        host = f"[{self._uri.host}]" if ":" in self._uri.host else self._uri.host
        target = f"{host}:{self._uri.port}".encode()
        headers = [(b"Host", target)]
        if self._proxy.authorization is not None:
            headers.append((b"Proxy-Authorization", self._proxy.authorization))
        request = h11.Request(method=b"CONNECT", target=target, headers=headers)
        self.transport.write((self._http.send(request) or b"") + (self._http.send(h11.EndOfMessage()) or b""))

    def data_received(self, data: bytes) -> None:
        """Takes a piece of the answer."""
        try:
            self._http.receive_data(data)
            event = self._http.next_event()
            while isinstance(event, h11.InformationalResponse):
                event = self._http.next_event()
        except h11.RemoteProtocolError as error:
            self._end(ProxyError(f"proxy {self._proxy.where} answered no HTTP: {error}"))
            return
        if isinstance(event, h11.Response):
            if 200 <= event.status_code < 300:
                self.transport.pause_reading()
                self._end(None)
            else:
                self._end(self._refused(event.status_code))

    def _refused(self, status: int) -> ProxyError:
        return ProxyError(
            f"proxy {self._proxy.where} answered {status} to CONNECT {self._uri.host}:{self._uri.port}", status
        )

    def connection_lost(self, exc: Exception | None) -> None:
        """The proxy went away."""
        self._end(ProxyError(f"proxy {self._proxy.where} ended the connection without an answer"))

    def _end(self, error: Exception | None) -> None:
        if self.ready.done():
            return
        if error is None:
            self.ready.set_result(None)
        else:
            self.ready.set_exception(error)
            self.ready.exception()  # seen: whoever waited may have been cancelled
            self.transport.abort()
