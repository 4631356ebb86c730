"""The route to a server and the request to it, from the arguments of `connect` and after a redirect.

A redirect is followed only if it is allowed, and reveals nothing (RFC 9110 15.4): it never leads from TLS to plain TCP,
and another origin gets neither the URL's user and password nor any field or subprotocol that the program named, since
any of them may be a credential. The same host, now over TLS where it was plain TCP before, gets them all.
"""

from __future__ import annotations

import base64
import dataclasses
import re
import socket
import ssl as ssl_module
import urllib.parse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from wsproto.events import Request as RequestEvent

from trunkline.net.checks import check_kinds, check_whole, is_whole
from trunkline.net.http import Headers, HeadersLike, as_fields, check_subprotocols
from trunkline.net.proxy import Proxy, find_proxy
from trunkline.net.route import Route
from trunkline.net.unix import check_unix
from trunkline.net.uri import URI, ascii_host, parse_uri, split_url
from trunkline.protocol.errors import HandshakeError, InvalidURI, LocalProtocolError

if TYPE_CHECKING:
    import os

__all__ = ["MAX_REDIRECTS", "REDIRECTS", "Plan", "check_dialling", "check_fields", "check_options", "check_redirects"]

MAX_REDIRECTS: Final = 5
FAMILIES: Final = (socket.AF_UNSPEC, socket.AF_INET, socket.AF_INET6)
_KINDS: Final = ("host", "origin", "proxy", "proxy_ssl", "server_hostname", "sock", "ssl", "unix")
REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})  # RFC 9110 15.4

# The handshake sets these itself, each of them once (RFC 6455 4.1).
OWN_FIELDS: Final = frozenset(
    {
        "connection",
        "sec-websocket-extensions",
        "sec-websocket-key",
        "sec-websocket-protocol",
        "sec-websocket-version",
        "upgrade",
    }
)
# CONNECT has no body (RFC 9110 9.3.6), and its Host is its target.
OWN_PROXY_FIELDS: Final = frozenset({"content-length", "host", "transfer-encoding"})

_HOST: Final = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[-A-Za-z0-9._~%!$&'()*+,;=]+)(:[0-9]{1,5})?")  # RFC 3986 3.2.2


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)  # it may hold credentials
class Plan:
    """Where to connect, and what to send there. The fields are the parameters of `connect`."""

    uri: URI
    additional_headers: tuple[tuple[str, str], ...] = ()
    subprotocols: Sequence[str] = ()
    origin: str | None = None
    user_agent: str | None = None
    ssl: ssl_module.SSLContext | bool | None = None
    server_hostname: str | None = None
    proxy: str | bool | None = True
    proxy_ssl: ssl_module.SSLContext | None = None
    proxy_headers: tuple[tuple[str, str], ...] = ()
    unix: str | os.PathLike[str] | None = None
    sock: socket.socket | None = None
    host: str | None = None
    port: int | None = None
    family: int = socket.AF_UNSPEC
    local_addr: tuple[str, int] | None = None

    def route(self) -> Route:
        """Return the route to the server.

        Raises:
            ValueError, TypeError: a parameter is out of range, contradicts another, or has the wrong type.
            InvalidURI: a proxy's URL is malformed.
            LocalProtocolError: a field is not valid in HTTP.
        """
        check_dialling(self)
        place = dataclasses.replace(
            self.uri,
            host=self.uri.host if self.host is None else ascii_host(self.host),
            port=self.port or self.uri.port,
        )
        return Route(
            uri=place,
            tls=_tls_context(self.uri, self.ssl),
            server_hostname=self.server_hostname or self.uri.host,
            proxy=self._through(place),
            unix=self.unix,
            sock=self.sock,
            family=self.family,
            local_addr=self.local_addr,
        )

    def _through(self, place: URI) -> Proxy | None:
        if self.unix is not None or self.sock is not None:
            return None
        fields = as_fields(self.proxy_headers, OWN_PROXY_FIELDS, "proxy_headers")
        if self.user_agent is not None and not any(name.lower() == b"user-agent" for name, _ in fields):
            fields = [*as_fields({"User-Agent": self.user_agent}), *fields]
        proxy = find_proxy(place, self.proxy)
        return None if proxy is None else dataclasses.replace(proxy, tls=self.proxy_ssl, fields=fields)

    def request(self) -> RequestEvent:
        """Return the request. Raise LocalProtocolError or TypeError if a part of it is not valid in HTTP."""
        offered = check_subprotocols(self.subprotocols)
        fields = self._fields()
        hosts = [value.decode("latin-1") for name, value in fields if name.lower() == b"host"]
        if len(hosts) > 1:
            raise LocalProtocolError(f"additional_headers has {len(hosts)} Host fields, limit 1 (RFC 9110 7.2)")
        if hosts and not _HOST.fullmatch(hosts[0]):
            raise LocalProtocolError("Host in additional_headers must be a host, with or without a port (RFC 9110 7.2)")
        others = [(name, value) for name, value in fields if name.lower() != b"host"]
        host = hosts[0] if hosts else self.uri.authority
        return RequestEvent(host, self.uri.target, extra_headers=others, subprotocols=offered)

    def _fields(self) -> list[tuple[bytes, bytes]]:
        if self.origin is not None and not self.origin.isascii():
            raise LocalProtocolError(f"origin {self.origin!r} cannot be written in ASCII (origin, RFC 6454 6.2)")
        given = as_fields(self.additional_headers, OWN_FIELDS, "additional_headers")
        names = {name.decode().lower() for name, _ in given}
        own = {"Origin": self.origin, "User-Agent": self.user_agent}
        if self.uri.user is not None:
            pair = f"{self.uri.user}:{self.uri.password or ''}"
            own["Authorization"] = "Basic " + base64.b64encode(pair.encode()).decode()
        added = [(name, value) for name, value in own.items() if value is not None and name.lower() not in names]
        return given + as_fields(added)

    def redirected(self, answer: HandshakeError) -> Plan:
        """Return the plan after a redirect. Raise HandshakeError, with the reason, if it must not be followed."""
        try:
            uri = _resolve(self.uri, Headers(answer.headers).get("location"))
        except InvalidURI as error:
            raise _unfollowed(answer, f"its Location is not a WebSocket URL: {error}") from None
        if self.uri.secure and not uri.secure:
            raise _unfollowed(answer, f"it leads out of TLS, from {self.uri.origin} to {uri.origin}")
        ssl = self.ssl if self.uri.secure else None
        is_raised = uri.secure and not self.uri.secure
        if uri.host == self.uri.host and (is_raised or uri.origin == self.uri.origin):
            # The same host, at the same origin or now over TLS: it may be sent what it was sent over plain TCP.
            port = None if is_raised else self.port
            same = dataclasses.replace(uri, user=self.uri.user, password=self.uri.password)
            return dataclasses.replace(self, uri=same, ssl=ssl, port=port)
        return dataclasses.replace(
            self,
            uri=uri,
            additional_headers=(),
            subprotocols=(),
            ssl=ssl,
            server_hostname=None,
            host=None,
            port=None,
        )

    def refused(self, answer: HandshakeError, most: int) -> HandshakeError:
        """Return the error for a redirect past the limit `most`. It says where the redirect leads."""
        try:
            uri = _resolve(self.uri, Headers(answer.headers).get("location"))
        except InvalidURI:
            return answer
        text = f"it redirects to {uri.shown}, but max_redirects is {most}"
        return HandshakeError(answer.status, answer.headers, answer.body, text)


def check_dialling(plan: Plan) -> None:
    """Raise ValueError or TypeError, naming the parameter, if the plan cannot be dialled."""
    check_kinds({name: getattr(plan, name) for name in _KINDS})
    check_unix(plan.unix)
    if plan.unix is not None or plan.sock is not None:
        way = "unix" if plan.unix is not None else "sock"
        for name in ("host", "port", "local_addr"):
            if getattr(plan, name) is not None:
                raise ValueError(f"{name} cannot be combined with {way} ({name})")
    if plan.port is not None:
        check_whole("port", plan.port, 1, "1 to 65535 (port)", most=65535)
    if plan.family not in FAMILIES:
        raise ValueError(f"family is {plan.family!r}, must be socket.AF_INET, AF_INET6 or AF_UNSPEC (family)")
    if plan.local_addr is not None and not _is_address(plan.local_addr):
        raise ValueError(f"local_addr is {plan.local_addr!r}, must be (host, port), port 0 for any (local_addr)")
    if plan.proxy_ssl is not None and isinstance(plan.proxy, str) and not plan.proxy.lower().startswith("https://"):
        raise ValueError("proxy_ssl is set, but the proxy's URL is not https:// (proxy_ssl)")


def _is_address(value: object) -> bool:
    """Return whether `value` is a pair of a host and a port, which may be 0."""
    if not isinstance(value, (tuple, list)) or len(value) != 2:
        return False
    host, port = value
    return isinstance(host, str) and is_whole(port) and 0 <= port <= 65535


def check_redirects(most: int, *, is_fixed: bool) -> None:
    """Raise ValueError if `max_redirects` is out of range, or more than 0 with unix or sock (`is_fixed`)."""
    check_whole("max_redirects", most, 0, f"0 to {MAX_REDIRECTS}", most=MAX_REDIRECTS)
    if most and is_fixed:
        raise ValueError(f"max_redirects is {most}, must be 0 with unix or sock: a redirect leads to another address")


def check_options(options: Mapping[str, Any]) -> None:
    """Raise what `connect` would raise for these options with any URL. The environment is not looked at, nor is `ssl`,
    which depends on the URL.
    """
    check_kinds(options)
    is_fixed = options.get("unix") is not None or options.get("sock") is not None
    check_redirects(options.get("max_redirects", 0), is_fixed=is_fixed)
    known = {field.name for field in dataclasses.fields(Plan)} - {"uri", "ssl"}
    given = {name: value for name, value in options.items() if name in known}
    if given.get("proxy") is True:
        del given["proxy"]
    if given.get("subprotocols", ()) is None:
        del given["subprotocols"]
    given["user_agent"] = options.get("user_agent_header")
    plan = Plan(uri=parse_uri("ws://localhost/"), **{"proxy": None, **given})
    plan.route()
    plan.request()


def check_fields(headers: HeadersLike) -> None:
    """Raise LocalProtocolError or TypeError if a request cannot have these fields."""
    as_fields(headers, OWN_FIELDS, "headers")


def _tls_context(uri: URI, ssl: ssl_module.SSLContext | bool | None) -> ssl_module.SSLContext | None:
    if not uri.secure:
        if ssl:
            raise ValueError("ssl is set, but the URL is ws://: use wss:// (ssl)")
        return None
    if ssl is False:
        raise ValueError("ssl is False, but the URL is wss:// (ssl)")
    return ssl if isinstance(ssl, ssl_module.SSLContext) else ssl_module.create_default_context()


def _resolve(base: URI, location: str | None) -> URI:
    """Return the URL that Location refers to (RFC 9110 10.2.2), without user and fragment."""
    if location is None:
        raise InvalidURI("it is missing")
    try:
        joined = urllib.parse.urljoin(base.origin.replace("ws", "http", 1) + base.target, location)
    except ValueError:
        raise InvalidURI("its host cannot be read (RFC 3986 3.2.2)") from None
    parts, _ = split_url(joined, "WebSocket")
    scheme = {"http": "ws", "https": "wss"}.get(parts.scheme, parts.scheme)
    # HTTP servers write http and https. A user in the URL would be the server's choice, not the program's.
    parts = parts._replace(scheme=scheme, netloc=parts.netloc.rpartition("@")[2], fragment="")
    return dataclasses.replace(parse_uri(parts.geturl()), user=None, password=None)


def _unfollowed(answer: HandshakeError, why: str) -> HandshakeError:
    return HandshakeError(answer.status, answer.headers, answer.body, f"this redirect is not followed, because {why}")
