"""The two HTTP messages of an opening handshake, as applications see them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, overload

from trunkline.protocol.errors import LocalProtocolError

__all__ = [
    "BODY_WAIT",
    "MAX_BODY",
    "MAX_PARTS",
    "Headers",
    "HeadersLike",
    "Request",
    "Response",
    "as_fields",
    "check_subprotocols",
    "from_fields",
    "header_pairs",
]

TOKEN: Final = re.compile(r"[-!#$%&'*+.^_`|~0-9A-Za-z]+")  # RFC 9110 5.6.2
VALUE: Final = re.compile(r"([^\0\s]([^\0\r\n\v\f]*[^\0\s])?)?", re.ASCII)  # RFC 9110 5.5

# Limits on the body of a refusal. Its status is known by then: the body is an extra, which may be slow or endless.
MAX_BODY: Final = 64 * 1024  # bytes that are kept
MAX_PARTS: Final = 1000  # parts (chunks, reads) that it may come in: a small one takes as long to parse as a large one
BODY_WAIT: Final = 1.0  # seconds that it may take after the head

HeadersLike = Mapping[str, str] | Iterable[tuple[str, str]]


class Headers(Sequence[tuple[str, str]]):
    """Header fields in order. Names are compared without case (RFC 9110 5.1); iterating gives (name, value) pairs."""

    __slots__ = ("_packed", "_unpacked")

    def __init__(self, pairs: HeadersLike = ()) -> None:
        self._packed: bytes | None = None
        self._unpacked: tuple[tuple[str, str], ...] = header_pairs(pairs)

    @classmethod
    def _pack(cls, fields: Iterable[tuple[bytes, bytes]]) -> Headers:
        """Return Headers that keep the fields in one piece until they are first read: most never are, and as pairs they
        would be half the memory of an idle connection.
        """
        made = cls.__new__(cls)
        made._packed = b"\n".join([b"%s:%s" % pair for pair in fields])
        return made

    @property
    def _pairs(self) -> tuple[tuple[str, str], ...]:
        if self._packed is not None:
            # No name has a colon and no value a line end (RFC 9110 5.1, 5.5): the parser has checked that.
            lines = self._packed.decode("latin-1").split("\n") if self._packed else []
            self._unpacked = tuple([(name, value) for name, _, value in [line.partition(":") for line in lines]])
            self._packed = None
        return self._unpacked

    def get_all(self, name: str) -> list[str]:
        """Return the values of all fields with this name, in order."""
        wanted = name.lower()
        return [value for key, value in self._pairs if key.lower() == wanted]

    def get(self, name: str, default: str | None = None) -> str | None:
        """Return the value of a field; of several, joined by commas (RFC 9110 5.3); `default` if there is none."""
        values = self.get_all(name)
        return ", ".join(values) if values else default

    def __contains__(self, name: object) -> bool:
        return bool(self.get_all(name)) if isinstance(name, str) else name in self._pairs

    @overload
    def __getitem__(self, key: str) -> str: ...
    @overload
    def __getitem__(self, key: int) -> tuple[str, str]: ...
    @overload
    def __getitem__(self, key: slice) -> tuple[tuple[str, str], ...]: ...
    def __getitem__(self, key: str | int | slice) -> str | tuple[str, str] | tuple[tuple[str, str], ...]:
        if not isinstance(key, str):
            return self._pairs[key]
        value = self.get(key)
        if value is None:
            raise KeyError(key)
        return value

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self._pairs)

    def __len__(self) -> int:
        return len(self._pairs)

    def __repr__(self) -> str:
        # Names only: values may be cookies and tokens.
        return f"<Headers {', '.join(str(name) for name, _ in self._pairs)}>"


@dataclass(frozen=True, slots=True, repr=False)
class Request:
    """The request of an opening handshake, or a plain HTTP request.

    Attributes:
        path: the path and the query; the rest of a target that is a whole URL (RFC 9112 3.2.2) is left out.
        headers: the fields as received; if the target is a whole URL, Host is that of the URL.
        method: the method; GET for every handshake.
    """

    path: str
    headers: Headers
    method: str = "GET"

    def __repr__(self) -> str:
        # Without the query and the values of fields: these may be cookies and tokens.
        return f"<Request {self.path.partition('?')[0]} {self.headers!r}>"


@dataclass(frozen=True, slots=True, repr=False)
class Response:
    """An answer to a request. A server's `process_request` returns one in place of a 101.

    Attributes:
        status: 200 to 599.
        headers: a mapping or pairs of str. Those that frame the answer (Connection, Content-Length) are added, and Date
            if there is none.
        body: the body; not sent in answer to a HEAD.
    """

    status: int
    headers: HeadersLike = ()
    body: bytes = b""

    def __repr__(self) -> str:
        return f"<Response {self.status} {Headers(self.headers)!r} {len(self.body)} bytes>"


def header_pairs(headers: HeadersLike | None, parameter: str = "headers") -> tuple[tuple[str, str], ...]:
    """Return the (name, value) pairs of a mapping or of an iterable of pairs; none for None.

    Raise TypeError, which names the parameter, for anything else.
    """
    given: object = headers.items() if isinstance(headers, Mapping) else headers
    if given is None:
        return ()
    pairs = None if _is_text(given) or not isinstance(given, Iterable) else tuple(given)
    if pairs is None:
        raise TypeError(f"{parameter} is {type(headers).__name__}, must be a mapping or pairs of str ({parameter})")
    for pair in pairs:
        if _is_text(pair) or not isinstance(pair, Sequence) or len(pair) != 2:
            seen = f"{type(pair).__name__}, which is not a pair"
            raise TypeError(f"{parameter} holds {seen}: it must be a mapping or pairs of str ({parameter})")
    return tuple((name, value) for name, value in pairs)


def _is_text(value: object) -> bool:
    """Return whether `value` is text or bytes, which are sequences, too."""
    return isinstance(value, (str, bytes, bytearray))


def as_fields(
    headers: HeadersLike, reserved: frozenset[str] = frozenset(), parameter: str = ""
) -> list[tuple[bytes, bytes]]:
    """Return the pairs as wsproto takes them, with values in ISO 8859-1, as in HTTP.

    Args:
        headers: a mapping or pairs.
        reserved: names that are not allowed, in lower case.
        parameter: what the errors name. They quote no value, since that may be a secret.

    Raises:
        LocalProtocolError: a field is not valid in HTTP (RFC 9110 5), or its name is reserved.
        TypeError: a name or a value is not str, or `headers` is neither a mapping nor pairs.
    """
    where = f"{parameter}, " if parameter else ""
    pairs = header_pairs(headers, parameter or "headers")
    return [_field(name, value, reserved, where) for name, value in pairs]


def _field(name: str, value: str, reserved: frozenset[str], where: str) -> tuple[bytes, bytes]:
    if not (isinstance(name, str) and isinstance(value, str)):
        kinds = f"{type(name).__name__} and {type(value).__name__}"
        seen = name if isinstance(name, str) and TOKEN.fullmatch(name) else "whose name is not a token"
        raise TypeError(f"header field {seen} is {kinds}, name and value must be str ({where}RFC 9110 5)")
    if not TOKEN.fullmatch(name):
        # It is not quoted: if name and value were swapped, it is the value.
        raise LocalProtocolError(
            f"the name of a header field, of {len(name)} characters, is not a token ({where}RFC 9110 5.1)"
        )
    if name.lower() in reserved:
        raise LocalProtocolError(f"header field {name} is set by the handshake itself ({where}RFC 6455 4)")
    if not VALUE.fullmatch(value):
        raise LocalProtocolError(
            f"header field {name} begins or ends with white space, or has a line end or NUL ({where}RFC 9110 5.5)"
        )
    # Checked here, since the codec's error would quote the value.
    if value and max(value) > "\xff":
        raise LocalProtocolError(f"header field {name} cannot be written in latin-1 ({where}RFC 9110 5.5)")
    return name.encode("ascii"), value.encode("latin-1")


def check_subprotocols(names: Sequence[str]) -> list[str]:
    """Return the names as a list. Raise LocalProtocolError unless each is a token and none is repeated (RFC 6455 4.1),
    or TypeError if they are not a sequence of str; a single str is not one.
    """
    if _is_text(names) or not isinstance(names, Iterable):
        raise TypeError(f"subprotocols is {type(names).__name__}, must be a sequence of str")
    # No name is quoted: it may be a credential, which browsers cannot send in any other way.
    checked: list[str] = []
    for name in names:
        which = f"subprotocol {len(checked) + 1}"
        if not isinstance(name, str):
            raise TypeError(f"{which} is {type(name).__name__}, must be str (subprotocols)")
        if not TOKEN.fullmatch(name):
            raise LocalProtocolError(f"{which} is not a token (subprotocols, RFC 6455 4.1)")
        if name in checked:
            raise LocalProtocolError(f"{which} repeats an earlier one (subprotocols, RFC 6455 4.1)")
        checked.append(name)
    return checked


def from_fields(fields: Iterable[tuple[bytes, bytes]]) -> Headers:
    """Return Headers of fields as they were received."""
    return Headers._pack(fields)
