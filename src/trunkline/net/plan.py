"""What `connect` was asked for, as the way to the server and the request to it; and the same after a redirect.

A redirect is taken only if it was allowed, and gives nothing away (RFC 9110 15.4): from TLS it does not lead out of
TLS, and another origin gets neither the URL's user and password nor any field that the program added, since any of
them may be a credential.
"""

from __future__ import annotations

import base64
import dataclasses
import ssl as ssl_module
import urllib.parse
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from wsproto.events import Request as RequestEvent

from trunkline.net.dial import Route
from trunkline.net.http import Headers, HeadersLike, as_fields, check_subprotocols
from trunkline.net.proxy import find_proxy
from trunkline.net.uri import URI, parse_uri, split_url
from trunkline.protocol.errors import HandshakeError, InvalidURI, LocalProtocolError

if TYPE_CHECKING:
    import os
    import socket

__all__ = ["MAX_REDIRECTS", "REDIRECTS", "Plan"]

MAX_REDIRECTS: Final = 5
REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})  # RFC 9110 15.4

# Set by the handshake itself: a second one would be another handshake (RFC 6455 4.1).
OWN_FIELDS: Final = frozenset(
    {
        "connection",
        "host",
        "sec-websocket-extensions",
        "sec-websocket-key",
        "sec-websocket-protocol",
        "sec-websocket-version",
        "upgrade",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)  # it may hold credentials
class Plan:
    """Where to, and what to say there. The fields are those of `connect`."""

    uri: URI
    additional_headers: HeadersLike = ()
    subprotocols: Sequence[str] = ()
    origin: str | None = None
    user_agent: str | None = None
    ssl: ssl_module.SSLContext | bool | None = None
    server_hostname: str | None = None
    proxy: str | bool | None = True
    unix: str | os.PathLike[str] | None = None
    sock: socket.socket | None = None

    def route(self) -> Route:
        """The way to the server; ValueError for TLS settings that do not fit the URL."""
        through = None if self.unix is not None or self.sock is not None else find_proxy(self.uri, self.proxy)
        return Route(
            uri=self.uri,
            tls=_tls_context(self.uri, self.ssl),
            server_hostname=self.server_hostname,
            proxy=through,
            unix=self.unix,
            sock=self.sock,
        )

    def request(self) -> RequestEvent:
        """The request; LocalProtocolError for what cannot stand in HTTP."""
        offered = check_subprotocols(self.subprotocols)
        return RequestEvent(self.uri.authority, self.uri.target, extra_headers=self._fields(), subprotocols=offered)

    def _fields(self) -> list[tuple[bytes, bytes]]:
        if self.origin is not None and not self.origin.isascii():
            raise LocalProtocolError(f"origin {self.origin!r} cannot be written in ASCII (origin, RFC 6454 6.2)")
        given = Headers(self.additional_headers)
        own = {"Origin": self.origin, "User-Agent": self.user_agent}
        if self.uri.user is not None:
            pair = f"{self.uri.user}:{self.uri.password or ''}"
            own["Authorization"] = "Basic " + base64.b64encode(pair.encode()).decode()
        added = [(name, value) for name, value in own.items() if value is not None and given.get(name) is None]
        return as_fields(given, OWN_FIELDS) + as_fields(added)

    def redirected(self, answer: HandshakeError) -> Plan:
        """The plan that a redirect asks for; HandshakeError, with the reason, for one that is not followed."""
        location = Headers(answer.headers).get("location")
        try:
            uri = _resolve(self.uri, location)
        except InvalidURI as error:
            raise _unfollowed(answer, f"its Location is no WebSocket URL: {error}") from None
        if self.uri.secure and not uri.secure:
            raise _unfollowed(answer, f"from {self.uri.origin} to {uri.origin} it leads out of TLS")
        if uri.origin == self.uri.origin:
            same = dataclasses.replace(uri, user=self.uri.user, password=self.uri.password)
            return dataclasses.replace(self, uri=same)
        ssl = self.ssl if self.uri.secure else None
        return dataclasses.replace(self, uri=uri, additional_headers=(), ssl=ssl, server_hostname=None)


def _tls_context(uri: URI, ssl: ssl_module.SSLContext | bool | None) -> ssl_module.SSLContext | None:
    if not uri.secure:
        if ssl:
            raise ValueError("ssl is set, but the URL is ws://: use wss:// (ssl)")
        return None
    if ssl is False:
        raise ValueError("ssl is False, but the URL is wss:// (ssl)")
    return ssl if isinstance(ssl, ssl_module.SSLContext) else ssl_module.create_default_context()


def _resolve(base: URI, location: str | None) -> URI:
    """The URL that Location means (RFC 9110 10.2.2), without a user or a fragment."""
    if location is None:
        raise InvalidURI("there is none")
    try:
        joined = urllib.parse.urljoin(base.origin.replace("ws", "http", 1) + base.target, location)
    except ValueError:
        raise InvalidURI("its host cannot be read (RFC 3986 3.2.2)") from None
    parts, _ = split_url(joined, "WebSocket")
    scheme = {"http": "ws", "https": "wss"}.get(parts.scheme, parts.scheme)
    # Servers of HTTP name the place by its HTTP scheme. A user in it would be the server's choice, not the program's.
    parts = parts._replace(scheme=scheme, netloc=parts.netloc.rpartition("@")[2], fragment="")
    return dataclasses.replace(parse_uri(parts.geturl()), user=None, password=None)


def _unfollowed(answer: HandshakeError, why: str) -> HandshakeError:
    return HandshakeError(answer.status, answer.headers, answer.body, f"this redirect is not followed, since {why}")
