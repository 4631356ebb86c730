"""A service is a kind of connection: where it goes, what it carries, how it comes back."""

from __future__ import annotations

import logging
import os
import ssl as ssl_module
from collections.abc import Awaitable, Callable, Mapping, Sequence
from types import UnionType
from typing import Any, Generic, Literal, TypedDict, TypeVar, Unpack, cast
from urllib.parse import urlencode

from trunkline.manager.codecs import Codec, EnvelopeCodec, JsonCodec, Payload
from trunkline.manager.correlation import Correlate, Correlation, field_getter
from trunkline.manager.delivery import Delivery
from trunkline.manager.failure.retry import RetryPolicy
from trunkline.manager.failure.rules import Rule, RuleKey, Rules
from trunkline.manager.guard import FATAL
from trunkline.manager.kinds import kinds_of, name_of
from trunkline.manager.policies import BatchPolicy, OutboxPolicy, PoolPolicy
from trunkline.manager.session import Session
from trunkline.manager.template import check_value, fill, origins, parameters_of_all
from trunkline.net.checks import check_seconds
from trunkline.net.http import HeadersLike, header_pairs
from trunkline.net.plan import check_fields, check_options
from trunkline.net.settings import Limits, make_settings
from trunkline.protocol.deflate import Deflate
from trunkline.protocol.errors import DecodeError, InvalidURI

__all__ = ["ConnectOptions", "FreshSource", "HeaderSource", "Service"]

Sends = TypeVar("Sends")
Receives = TypeVar("Receives")

HeaderSource = Mapping[str, str] | Callable[[], Awaitable[Mapping[str, str]]]
FreshSource = Mapping[str, Callable[[], Awaitable[str | int]]]


class ConnectOptions(TypedDict, total=False):
    """What a service passes to `trunkline.connect` for each link, with the same names and defaults."""

    ssl: ssl_module.SSLContext | bool | None
    server_hostname: str | None
    subprotocols: Sequence[str]
    origin: str | None
    proxy: str | bool | None
    proxy_ssl: ssl_module.SSLContext | None
    proxy_headers: HeadersLike | None
    host: str | None
    port: int | None
    family: int
    local_addr: tuple[str, int] | None
    unix: str | os.PathLike[str] | None
    open_timeout: float | None
    close_timeout: float
    ping_interval: float | None
    ping_timeout: float | None
    max_line: int
    max_head: int
    max_fields: int
    max_size: int | None
    max_queue: int | tuple[int, int] | None
    max_fragments: int | None
    max_control_rate: int | None
    write_limit: int
    send_timeout: float | None
    compression: Deflate | Literal["deflate"] | None
    user_agent_header: str | None
    max_redirects: int
    logger: logging.Logger


class Service(Generic[Sends, Receives]):
    """A kind of connection. It is immutable, and several managers may use it.

    Args:
        name: unique within a manager; the first part of a connection's id.
        url: a ws or wss URL. `{name}` in its path or query is a parameter, which `connect` quotes and fills in. A
            sequence of URLs with the same parameters are endpoints in order of preference (`urls`).
        sends, receives: the types of its messages, any that the codec supports. Sending a message of another class
            raises TypeError; its contents are up to the codec.
        codec: `JsonCodec` (the default), `MessagePackCodec`, `RawCodec`, or your own class with the methods of `Codec`,
            called with the two types.
        retry: when to try again.
        rules: the service's own rules for failures, by close code, HTTP status, category or exception class.
        headers: header fields of the opening handshake, or an async callable that returns them for each attempt.
        fresh: URL parameters with a new value for each attempt, such as tokens, each from an async callable. They are
            not part of a connection's id.
        outbox: what happens to messages that cannot be written at once.
        batch: how to join messages; None to join those of one turn of the event loop.
        pool: several connections for each set of parameters; None for one.
        correlate: where `Connection.request` finds the correlation id, in a request and in a reply. Each is the name of
            a field, or a callable that takes the message.
        position: the name of a field, or a callable that takes a received message, for the position in a stream.
            `on_connected` gets the last one that was not None.
        on_connected: an async callable that takes the `Session` of each new link before anything else is sent on it. If
            it raises or takes longer than `hook_timeout` seconds, the attempt has failed.
        on_undelivered: a callable that takes the `Delivery` of each undelivered message; it must not block.
        idle_timeout: seconds after the last lease when the connection closes; None to keep it open.
        options: other parameters of `trunkline.connect`.

    Raises:
        InvalidURI: the URL or a parameter in it is malformed.
        TypeError: the codec does not support the types or envelopes, `headers` has the wrong type, or an option does
            not exist.
        ValueError: a limit or a timeout is out of range, or a rule's number is neither a close code nor an HTTP status.
        and what `trunkline.connect` raises for invalid options.
    """

    def __init__(
        self,
        name: str,
        url: str | Sequence[str],
        *,
        sends: type[Sends] | UnionType,
        receives: type[Receives] | UnionType,
        codec: Callable[[Any, Any], Codec[Any, Any]] = JsonCodec,
        retry: RetryPolicy | None = None,
        rules: Mapping[RuleKey, Rule] | None = None,
        headers: HeaderSource | None = None,
        fresh: FreshSource | None = None,
        outbox: OutboxPolicy | None = None,
        batch: BatchPolicy | None = None,
        pool: PoolPolicy | None = None,
        correlate: Correlate | None = None,
        position: str | Callable[[Receives], Any] | None = None,
        on_connected: Callable[[Session[Sends, Receives]], Awaitable[None]] | None = None,
        hook_timeout: float = 10.0,
        on_undelivered: Callable[[Delivery[Sends]], object] | None = None,
        idle_timeout: float | None = None,
        **options: Unpack[ConnectOptions],
    ) -> None:
        self.name = name
        self.urls: tuple[str, ...] = (url,) if isinstance(url, str) else tuple(url)
        self.sends, self.receives = sends, receives
        self.kinds = kinds_of(sends)  # the classes of its messages; None for any
        self.codec: Codec[Sends, Receives] = codec(sends, receives)
        self.retry = retry if retry is not None else RetryPolicy()
        self.rules = Rules(rules)
        self.headers = headers
        self.fresh = dict(fresh or {})
        self.outbox = outbox if outbox is not None else OutboxPolicy()
        self.batch, self.pool = batch, pool
        self.correlation = None if correlate is None else Correlation(correlate)
        self.position = None if position is None else field_getter(position)
        self.on_connected, self.hook_timeout, self.on_undelivered = on_connected, hook_timeout, on_undelivered
        self.idle_timeout = idle_timeout
        self.options = options
        if "proxy_headers" in options:
            # Each attempt iterates over them.
            options["proxy_headers"] = header_pairs(options["proxy_headers"], "proxy_headers")
        self.url = self.urls[0] if self.urls else ""
        self.parameters: frozenset[str] = self._check_made()

    def __repr__(self) -> str:
        return f"<Service {self.name} {origins(self.urls[:1])}>"

    @property
    def refreshes_headers(self) -> bool:
        """Whether each attempt asks for its headers or some parameters anew."""
        return callable(self.headers) or bool(self.fresh)

    @property
    def seeks_opinions(self) -> bool:
        """Whether a link that has gone silent is compared with another one; never where pings are off."""
        return self.retry.second_opinion and self.options.get("ping_interval", 0.0) is not None

    async def ask_headers(self) -> Mapping[str, str]:
        """Return the headers for the next attempt."""
        if self.headers is None:
            return {}
        if isinstance(self.headers, Mapping):
            return self.headers
        return await self.headers()

    async def ask_url(self, url: str) -> str:
        """Return the URL for the next attempt: `url` with the fresh parameters filled in."""
        if not self.fresh:
            return url
        values = {name: await ask() for name, ask in self.fresh.items()}
        for name, value in values.items():
            check_value(name, value)
        return fill(url, values)

    def encode(self, message: Sends) -> Payload:
        """Return the payload of a message: str for a text message, bytes for a binary one.

        Raises TypeError if the message is not of the type `sends`, and what the codec raises.
        """
        if self.kinds is not None and not isinstance(message, self.kinds):
            raise self.refusal(message)
        return self.codec.encode(message)

    def refusal(self, message: object) -> TypeError:
        """Return the error for a message that is not of the type `sends`."""
        seen = name_of(type(message))
        return TypeError(f"service {self.name} sends {name_of(self.sends)}, but was given a {seen} (sends)")

    def decode(self, payload: Payload) -> Receives:
        """Return the message in a payload. Raise DecodeError, with the payload, if it does not fit `receives`."""
        try:
            return self.codec.decode(payload)
        except DecodeError as error:
            raise DecodeError(f"{self.name}: {error}", payload) from error.__cause__ or error
        except FATAL:
            raise
        # Invalid UTF-8, nesting deeper than the stack, a type's own __post_init__.
        except BaseException as error:
            raise DecodeError(f"{self.name}: {error}", payload) from error

    def unpack(self, payload: Payload) -> list[Payload]:
        """Return the payloads in an envelope, or the payload itself. Raise DecodeError if the codec raises."""
        try:
            parts = self.codec.split(payload) if isinstance(self.codec, EnvelopeCodec) else None
        except FATAL:
            raise
        except BaseException as error:
            raise DecodeError(f"{self.name}: {error!r}", payload) from error
        return [payload] if parts is None else parts

    def identify(self, parameters: Mapping[str, object]) -> str:
        """Return the id of the connection with these parameters. Equal parameters give equal ids.

        Raises TypeError if a parameter is missing, unknown or neither str nor int, ValueError if it could lead to
        another path.
        """
        self._check(parameters)
        return f"{self.name}?{urlencode(sorted(parameters.items()))}" if parameters else self.name

    def locate(self, parameters: Mapping[str, object]) -> str:
        """Return the URL with these parameters filled in, fully quoted, but not the fresh ones."""
        return self.locate_all(parameters)[0]

    def locate_all(self, parameters: Mapping[str, object]) -> list[str]:
        """Return the same for each of the service's endpoints."""
        self._check(parameters)
        return [fill(url, parameters, self.fresh) for url in self.urls]

    def _check_made(self) -> frozenset[str]:
        """Return the parameters that `connect` takes. Raise if the arguments do not fit together."""
        unknown = self.options.keys() - ConnectOptions.__annotations__.keys()
        if unknown:
            raise TypeError(f"Service() got an unexpected keyword argument {min(unknown)!r}")
        # Report what no attempt could use now, and not with each attempt.
        make_settings("Service", cast("Limits", {k: v for k, v in self.options.items() if k in Limits.__annotations__}))
        check_options(self.options)
        if self.headers is not None and not callable(self.headers):
            if not isinstance(self.headers, Mapping):
                seen = type(self.headers).__name__
                raise TypeError(f"headers is {seen}, must be a mapping, an async callable or None (headers)")
            check_fields(self.headers)
        for name in ("hook_timeout", "idle_timeout"):
            value = getattr(self, name)
            if value is not None:
                check_seconds(f"{name} of {self.name}", value)
        named = parameters_of_all(self.urls)
        if not self.fresh.keys() <= named:
            unknown_names = ", ".join(sorted(self.fresh.keys() - named))
            raise InvalidURI(f"the URL of {origins([self.url])} has no parameter {unknown_names} (fresh)")
        if self.batch is not None and self.batch.envelope and not isinstance(self.codec, EnvelopeCodec):
            seen = type(self.codec).__name__
            raise TypeError(f"{seen} does not support envelopes, which the batches of {self.name} need")
        return named - self.fresh.keys()

    def _check(self, parameters: Mapping[str, object]) -> None:
        if parameters.keys() != self.parameters:
            wanted = ", ".join(sorted(self.parameters)) or "none"
            raise TypeError(f"service {self.name} takes {wanted}; given {', '.join(sorted(parameters)) or 'none'}")
        for name, value in parameters.items():
            check_value(name, value)
