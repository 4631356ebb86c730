"""Proxies, as their URLs and the environment describe them."""

from __future__ import annotations

import base64
import os
import ssl
import sys
import urllib.parse
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from trunkline.net.bypass import is_bypassed
from trunkline.net.uri import URI, ascii_host, split_url
from trunkline.protocol.errors import InvalidURI

__all__ = ["Proxy", "find_proxy"]


SCHEMES: Final = ("http", "https", "socks4", "socks4a", "socks5", "socks5h")
PORTS: Final = {"http": 80, "https": 443} | dict.fromkeys(SCHEMES[2:], 1080)
MOST_OCTETS: Final = 255  # of a name or a password (RFC 1929 2)


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy to connect through.

    Attributes:
        scheme: "https" for an HTTP proxy that we speak to over TLS. With "socks4a" and "socks5h" the proxy looks up the
            server's name; with "socks4" and "socks5" we do.
        host, port: the proxy's address.
        credentials: name and password; None for none.
        tls: the context for "https"; None for the default one.
        fields: fields to add to CONNECT, besides Host and the credentials.
    """

    scheme: str
    host: str
    port: int
    credentials: tuple[str, str] | None = field(repr=False)
    tls: ssl.SSLContext | None = field(default=None, repr=False)
    fields: Sequence[tuple[bytes, bytes]] = field(default=(), repr=False)

    @property
    def secure(self) -> bool:
        """Whether we speak to the proxy over TLS."""
        return self.scheme == "https"

    @property
    def is_socks(self) -> bool:
        """Whether it is a SOCKS proxy; otherwise it is an HTTP proxy."""
        return self.scheme.startswith("socks")

    @property
    def looks_up(self) -> bool:
        """Whether a SOCKS proxy is sent names, rather than addresses that we looked up."""
        return self.scheme in ("socks4a", "socks5h")

    @property
    def where(self) -> str:
        """The proxy's address for messages, without credentials."""
        return f"{self.host}:{self.port}"

    @property
    def authorization(self) -> bytes | None:
        """The credentials as a Basic authorization (RFC 7617); None for none."""
        if self.credentials is None:
            return None
        return b"Basic " + base64.b64encode(":".join(self.credentials).encode())


def find_proxy(uri: URI, proxy: str | bool | None) -> Proxy | None:
    """Return the proxy for `uri`: the one given; with True the environment's (https_proxy or http_proxy, all_proxy,
    no_proxy); with None, none. Raise InvalidURI, naming the parameter or the variable, if its URL is malformed.
    """
    if proxy is True:
        return _find_in_environment(uri)
    return _parse(proxy, "proxy") if proxy else None


def _find_in_environment(uri: URI) -> Proxy | None:
    if sys.platform not in {"darwin", "win32"} and not any(name.lower().endswith("_proxy") for name in os.environ):
        return None
    import urllib.request  # only here: it imports http.client and email, which most programs can do without

    scheme = "https" if uri.secure else "http"
    known = urllib.request.getproxies_environment()
    if known:
        excluded = is_bypassed(uri.host, uri.port, known.get("no", ""))
    else:  # the system settings of macOS and Windows
        known = urllib.request.getproxies()
        excluded = bool(known) and urllib.request.proxy_bypass(f"{uri.host}:{uri.port}")
    name = scheme if known.get(scheme) else "all"
    if excluded or not known.get(name):
        return None
    return _parse(known[name], _variable(f"{name}_proxy"))


def _variable(name: str) -> str:
    """Return the variable's name as the environment spells it; lower case wins, as in getproxies."""
    written = [one for one in os.environ if one.lower() == name]
    return name if name in written or not written else written[0]


def _parse(text: str, source: str) -> Proxy:
    """Return the proxy of a URL. `source` is the parameter or variable that it comes from, for errors."""
    parts, port = split_url(text if "//" in text else f"http://{text}", f"proxy ({source})")
    if parts.scheme not in SCHEMES or not parts.hostname:
        hint = ": socks5h has the proxy look names up, socks5 does not" if parts.scheme == "socks" else ""
        text = f"proxy scheme is {parts.scheme!r}, must be {', '.join(SCHEMES)}, with a host ({source}){hint}"
        raise InvalidURI(text)
    credentials = None
    if parts.username is not None:
        credentials = urllib.parse.unquote(parts.username), urllib.parse.unquote(parts.password or "")
        if parts.scheme.startswith("socks") and not all(_is_short(part) for part in credentials):
            raise InvalidURI(f"a SOCKS proxy takes a name and a password of at most 255 ASCII characters ({source})")
    return Proxy(parts.scheme, ascii_host(parts.hostname), port or PORTS[parts.scheme], credentials)


def _is_short(text: str) -> bool:
    return text.isascii() and len(text) <= MOST_OCTETS
