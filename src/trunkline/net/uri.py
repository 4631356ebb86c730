"""WebSocket URLs (RFC 6455 3)."""

from __future__ import annotations

import ipaddress
import urllib.parse
from dataclasses import dataclass, field
from typing import Final

from trunkline.protocol.authority import MAX_HOST
from trunkline.protocol.errors import InvalidURI

__all__ = ["URI", "ascii_host", "parse_uri", "split_url"]

DEFAULT_PORTS: Final = {"ws": 80, "wss": 443, "http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class URI:
    """The parts of a WebSocket URL. `host` has no brackets; `user` and `password` are decoded."""

    secure: bool
    host: str
    port: int
    target: str = field(repr=False)  # its query may be a secret
    user: str | None = field(repr=False)
    password: str | None = field(repr=False)

    @property
    def authority(self) -> str:
        """The value of the Host field: the host, and the port unless it is the scheme's default (RFC 9110 7.2)."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.secure else 80) else f"{host}:{self.port}"

    @property
    def origin(self) -> str:
        """Scheme, host and port, for messages: no path, no credentials."""
        return f"{'wss' if self.secure else 'ws'}://{self.authority}"

    @property
    def shown(self) -> str:
        """The URL for messages: no credentials, and "?..." for a query, which may be a secret."""
        path, query, _ = self.target.partition("?")
        return self.origin + path + ("?..." if query else "")


def parse_uri(text: str) -> URI:
    """Return the parts of a WebSocket URL. Raise InvalidURI, which never quotes a password, if it is malformed."""
    if not isinstance(text, str):
        raise InvalidURI(f"a WebSocket URL must be a str, not {type(text).__name__}")
    if any(ord(char) <= 32 or ord(char) == 127 for char in text):
        raise InvalidURI("a WebSocket URL cannot contain spaces or control characters (RFC 3986 2)")
    if not text.isascii() and any("\ud800" <= char <= "\udfff" for char in text):
        raise InvalidURI("a WebSocket URL cannot contain lone surrogates: they are not Unicode text (RFC 3629 3)")
    parts, port = split_url(text, "WebSocket")
    if parts.scheme not in ("ws", "wss"):
        raise InvalidURI(f"scheme is {parts.scheme!r}, must be ws or wss (RFC 6455 3)")
    if not parts.hostname:
        raise InvalidURI("the URL has no host (RFC 6455 3)")
    if parts.fragment or text.endswith("#"):
        raise InvalidURI("a WebSocket URL cannot have a fragment (RFC 6455 3)")
    if port == 0:
        raise InvalidURI("port is 0, must be 1 to 65535")
    target = parts.path or "/"
    if parts.query:
        target += "?" + parts.query
    return URI(
        secure=parts.scheme == "wss",
        host=ascii_host(parts.hostname),
        port=port or DEFAULT_PORTS[parts.scheme],
        target=urllib.parse.quote(target, safe="!#$%&'()*+,/:;=?@[]~"),
        user=None if parts.username is None else urllib.parse.unquote(parts.username),
        password=None if parts.password is None else urllib.parse.unquote(parts.password),
    )


def split_url(text: str, kind: str) -> tuple[urllib.parse.SplitResult, int | None]:
    """Return the parts of a URL, and its port. Raise InvalidURI if it is malformed.

    Python's own errors quote the malformed part. That is the password, if it has a "/" that was not escaped.
    """
    fault = "its host cannot be read (RFC 3986 3.2.2)"
    try:
        parts = urllib.parse.urlsplit(text)
        fault = "its port is not a number from 1 to 65535 (RFC 3986 3.2.3)"
        return parts, parts.port
    except ValueError:
        pass
    raise InvalidURI(f"not a {kind} URL: {fault}")


def ascii_host(host: str) -> str:
    """Return the host as DNS and HTTP want it (RFC 3490). Raise InvalidURI if it is malformed."""
    if any(ord(char) <= 32 or char in "/@?#[]\\" for char in host):
        raise InvalidURI(f"host {host!r} is not a host name (RFC 3986 3.2.2)")
    if len(host) > MAX_HOST:  # before IDNA, which takes quadratic time: the host may come from a redirect
        raise InvalidURI(f"the host has {len(host)} characters, limit {MAX_HOST} (RFC 1035 2.3.4)")
    try:
        if ":" in host:
            ipaddress.IPv6Address(host)
            return host
        return host.encode("idna").decode()
    except (UnicodeError, ValueError) as error:
        raise InvalidURI(f"host {host!r} is not a host name: {error}") from None
