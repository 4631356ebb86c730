"""How a server answers opening handshakes; checked when `serve` is called."""

from __future__ import annotations

import functools
import re
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from trunkline.net.http import Headers, HeadersLike, Request, Response, as_fields, check_subprotocols, header_pairs
from trunkline.protocol.authority import DEFAULT_PORTS, Authority, parse_authority, parse_origin
from trunkline.protocol.head import HeadLimits
from trunkline.protocol.server_handshake import write_fields

if TYPE_CHECKING:
    from trunkline.net.listener import Listener
    from trunkline.net.websocket import WebSocket

__all__ = ["Acceptance", "Origins", "ProcessRequest", "make_acceptance"]

ProcessRequest = Callable[["WebSocket", Request], Response | Awaitable[Response | None] | None]
Origins = Sequence[str | None] | str | None

# The handshake sets these itself, or a 101 must not have them (RFC 6455 4.2.2, RFC 9110 8.6).
OWN_FIELDS: Final = frozenset(
    {
        "connection",
        "content-length",
        "sec-websocket-accept",
        "sec-websocket-extensions",
        "sec-websocket-protocol",
        "transfer-encoding",
        "upgrade",
    }
)

# The Origin of pages whose scheme is not the web's: Chromium sends "file://" for a file, Electron "app://.".
_PROGRAM: Final = re.compile(rb"([a-z][a-z0-9+.-]*)://[a-z0-9._~-]*", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)  # no repr: fields may be cookies
class Acceptance:
    """How a server answers opening handshakes.

    Attributes:
        process_request: called first; None to skip it.
        origins: the origins allowed, in the form of `_canonical` (None among them: requests without an Origin); "*" for
            any; None for the server's own origin and requests without an Origin.
        subprotocols: the ones supported, best first.
        fields: what follows in every 101: the program's fields, in bytes.
        response: the `response` of every WebSocket.
        make_listener: makes a connection's listener; None for a server with a handler.
        head: limits on the head of a request.
    """

    process_request: Callable[[Any, Request], Response | Awaitable[Response | None] | None] | None
    origins: frozenset[str | None] | str | None
    subprotocols: Sequence[str]
    fields: bytes
    response: Response
    make_listener: Callable[[], Listener] | None
    head: HeadLimits

    def welcomes(self, origin: bytes | None, host: str) -> bool:
        """Return whether a page with this Origin may connect to this Host."""
        if self.origins == "*":
            return True
        if self.origins is None:
            return origin is None or _is_same(origin, host.encode())
        return (None if origin is None else _canonical(origin) or "") in self.origins


def make_acceptance(
    *,
    process_request: ProcessRequest | None,
    origins: Origins,
    subprotocols: Sequence[str] | None,
    headers: HeadersLike | None,
    listener: Callable[[], Listener] | None,
    head: HeadLimits,
) -> Acceptance:
    """Return the acceptance for the arguments of `serve`. Raise TypeError, ValueError or LocalProtocolError, naming the
    parameter, if one of them could never work.
    """
    if process_request is not None and not callable(process_request):
        raise TypeError(f"process_request is {type(process_request).__name__}, must be a callable or None")
    pairs = header_pairs(headers, "additional_headers")
    return Acceptance(
        process_request=process_request,
        origins=_check_origins(origins),
        subprotocols=tuple(check_subprotocols(() if subprotocols is None else subprotocols)),
        fields=write_fields(as_fields(pairs, OWN_FIELDS, "additional_headers")),
        response=Response(101, Headers(pairs)),
        make_listener=None if listener is None else _wrap(listener),
        head=head,
    )


def _check_origins(origins: Origins) -> frozenset[str | None] | str | None:
    if origins is None or (isinstance(origins, str) and origins == "*"):
        return origins
    if isinstance(origins, str):
        raise ValueError(f'origins is {origins!r}, must be "*", a list, or None')
    if isinstance(origins, (bytes, bytearray)) or not isinstance(origins, Iterable):
        raise TypeError(f'origins is {type(origins).__name__}, must be "*", a list of str, or None')
    return frozenset(_check_origin(origin) for origin in origins)


def _check_origin(origin: object) -> str | None:
    if origin is None:
        return None
    if not isinstance(origin, str):
        raise TypeError(f"origins holds {type(origin).__name__}, must hold str or None")
    canonical = _canonical(origin.encode("ascii")) if origin.isascii() else None
    if canonical is None or "*" in canonical:
        raise ValueError(
            f'origins holds {origin!r}, must hold "scheme://host" or "scheme://host:port", in ASCII, '
            'without a path or a pattern, or "null", or None (origins, RFC 6454 6.2)'
        )
    return canonical


def _canonical(origin: bytes) -> str | None:
    """Return an Origin as browsers write it: in lower case, without the scheme's default port. None if malformed."""
    if origin == b"null":
        return "null"
    parsed = parse_origin(origin)
    if parsed is None:
        program = _PROGRAM.fullmatch(origin)
        is_web = program is None or program[1].decode("ascii").lower() in DEFAULT_PORTS
        return None if is_web else origin.decode("ascii").lower()
    scheme, (host, port) = parsed
    return f"{scheme}://{host}" if port is None else f"{scheme}://{host}:{port}"


def _is_same(origin: bytes, host: bytes) -> bool:
    """Return whether a page of `origin` came from the host that it connects to, whatever the scheme."""
    parsed, target = parse_origin(origin), parse_authority(host)
    if parsed is None or target is None:
        return False
    scheme, page = parsed
    return _with_port(page, scheme) == _with_port(target, scheme)


def _with_port(authority: Authority, scheme: str) -> Authority:
    return authority if authority.port is not None else Authority(authority.host, DEFAULT_PORTS.get(scheme))


def _wrap(listener: object) -> Callable[[], Listener]:
    """Return a callable that makes a listener, and checks it. Raise TypeError if `listener` cannot be called."""
    if not callable(listener):
        raise TypeError(
            f"listener is {type(listener).__name__}, must be a Listener class or a callable that returns a Listener"
        )
    return functools.partial(_make, listener)


def _make(factory: Callable[[], Listener]) -> Listener:
    made = factory()
    if not hasattr(made, "on_message") and not hasattr(made, "on_batch"):
        raise TypeError(f"listener returned {type(made).__name__}, must return an object with on_message or on_batch")
    return made
