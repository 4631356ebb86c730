"""A kind of connection: where it goes, what it carries, how it comes back."""

from __future__ import annotations

import logging
import os
import ssl as ssl_module
import string
from collections.abc import Awaitable, Callable, Mapping, Sequence
from types import UnionType
from typing import Final, Generic, TypedDict, TypeVar, Unpack
from urllib.parse import quote, urlencode, urlsplit

import msgspec

from trunkline.manager.retry import RetryPolicy
from trunkline.manager.rules import Rule, RuleKey, Rules
from trunkline.net.uri import parse_uri
from trunkline.protocol.errors import DecodeError, InvalidURI

__all__ = ["ConnectOptions", "HeaderSource", "Service"]

Sends = TypeVar("Sends")
Receives = TypeVar("Receives")

HeaderSource = Mapping[str, str] | Callable[[], Awaitable[Mapping[str, str]]]

# Names that `ConnectionManager.connect` and `find` keep for themselves.
_RESERVED: Final = frozenset({"wait"})


class ConnectOptions(TypedDict, total=False):
    """What a service hands on to `trunkline.connect` for each link; the names and defaults are that function's."""

    ssl: ssl_module.SSLContext | bool | None
    server_hostname: str | None
    subprotocols: Sequence[str]
    origin: str | None
    proxy: str | bool | None
    unix: str | os.PathLike[str] | None
    open_timeout: float | None
    close_timeout: float
    ping_interval: float | None
    ping_timeout: float | None
    max_size: int | None
    max_queue: int | tuple[int, int] | None
    write_limit: int
    user_agent_header: str | None
    logger: logging.Logger


class Service(Generic[Sends, Receives]):
    """A kind of connection. Immutable; one may serve many managers.

    name: unique in a manager; the first part of a connection's id.
    url: a ws or wss URL. `{name}` in its path or query is a parameter, which `connect` fills in and quotes. Several,
        with the same parameters, are the endpoints of the service in order of preference: `urls`, `url` is the first.
    sends, receives: the types of its messages, anything that msgspec knows; JSON in text messages on the wire.
    retry: when to try again.
    rules: the service's own rows of the taxonomy: by close code, HTTP status, category or exception class.
    headers: HTTP headers of the opening handshake, or an async callable that is asked for them at each attempt.
    options: what else `trunkline.connect` takes.

    Raises InvalidURI for a URL that is none or has a parameter elsewhere, TypeError for types that JSON cannot carry,
    ValueError for a rule about a number that is neither a close code nor a status.
    """

    def __init__(
        self,
        name: str,
        url: str | Sequence[str],
        *,
        sends: type[Sends] | UnionType,
        receives: type[Receives] | UnionType,
        retry: RetryPolicy | None = None,
        rules: Mapping[RuleKey, Rule] | None = None,
        headers: HeaderSource | None = None,
        **options: Unpack[ConnectOptions],
    ) -> None:
        self.name = name
        self.urls: tuple[str, ...] = (url,) if isinstance(url, str) else tuple(url)
        self.sends = sends
        self.receives = receives
        self.retry = retry if retry is not None else RetryPolicy()
        self.rules = Rules(rules)
        self.headers = headers
        self.options = options
        self.parameters: frozenset[str] = _parameters_of_all(self.urls)
        self.url = self.urls[0]
        self._encoder = msgspec.json.Encoder()
        self._decoder: msgspec.json.Decoder[Receives] = msgspec.json.Decoder(receives)

    def __repr__(self) -> str:
        return f"<Service {self.name} {self.url}>"

    @property
    def refreshes_headers(self) -> bool:
        """Whether each attempt asks for its headers anew."""
        return callable(self.headers)

    async def ask_headers(self) -> Mapping[str, str]:
        """The headers for the next attempt."""
        if self.headers is None:
            return {}
        if isinstance(self.headers, Mapping):
            return self.headers
        return await self.headers()

    def encode(self, message: Sends) -> str:
        """The text message for `message`. Raises TypeError if it holds what JSON cannot carry."""
        return self._encoder.encode(message).decode()

    def decode(self, payload: str | bytes) -> Receives:
        """The message in `payload`. Raises DecodeError, with the payload, if it does not fit `receives`."""
        try:
            return self._decoder.decode(payload)
        # Beside msgspec's own: bytes that are not UTF-8, nesting deeper than the stack, a type's own __post_init__.
        except Exception as error:
            raise DecodeError(f"{self.name}: {error}", payload) from error

    def identify(self, parameters: Mapping[str, object]) -> str:
        """The id of the connection with these parameters; equal parameters give equal ids.

        Raises TypeError for a parameter that is missing, unknown or neither str nor int; ValueError for one that could
        lead to another place than its own in the path.
        """
        self._check(parameters)
        return f"{self.name}?{urlencode(sorted(parameters.items()))}" if parameters else self.name

    def locate(self, parameters: Mapping[str, object]) -> str:
        """The URL of the connection with these parameters, each quoted whole: a "/" in one is not a "/" in the path."""
        return self.locate_all(parameters)[0]

    def locate_all(self, parameters: Mapping[str, object]) -> list[str]:
        """The same at each of the service's endpoints."""
        self._check(parameters)
        quoted = {name: quote(str(value), safe="") for name, value in parameters.items()}
        return [url.format_map(quoted) for url in self.urls]

    def _check(self, parameters: Mapping[str, object]) -> None:
        if parameters.keys() != self.parameters:
            wanted = ", ".join(sorted(self.parameters)) or "none"
            raise TypeError(f"service {self.name} takes {wanted}; given {', '.join(sorted(parameters)) or 'none'}")
        for name, value in parameters.items():
            if not isinstance(value, (str, int)):
                raise TypeError(f"{name} is a {type(value).__name__}, wanted str or int")
            if str(value) in ("", ".", ".."):
                # RFC 3986 5.2.4: dot segments are removed on the way, quoted or not, and an empty one may be.
                raise ValueError(f"{name} is {value!r}, which is no path segment (RFC 3986 3.3)")


def _parameters_of_all(urls: Sequence[str]) -> frozenset[str]:
    if not urls:
        raise InvalidURI("a service has one URL or more, given none")
    sets = [_parameters_of(url) for url in urls]
    if any(names != sets[0] for names in sets):
        raise InvalidURI(f"the URLs {', '.join(urls)} have different parameters; wanted the same in each")
    return sets[0]


def _parameters_of(url: str) -> frozenset[str]:
    parse_uri(url)
    names = set()
    try:
        fields = [field for field in string.Formatter().parse(url) if field[1] is not None]
    except ValueError as error:
        raise InvalidURI(f"{url!r} is no template: {error}") from None
    for _, name, spec, conversion in fields:
        if not name or not name.isidentifier() or spec or conversion or name in _RESERVED:
            raise InvalidURI(f"{url!r} has a parameter {{{name}}}, wanted a plain name other than {sorted(_RESERVED)}")
        names.add(name)
    if "{" in urlsplit(url).netloc:
        raise InvalidURI(f"{url!r} has a parameter in its host; parameters stand in the path and the query")
    return frozenset(names)
