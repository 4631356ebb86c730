"""URLs with parameters: `wss://host/chat/{room}`."""

from __future__ import annotations

import string
from collections.abc import Iterable, Mapping, Sequence
from typing import Final
from urllib.parse import quote, urlsplit

from trunkline.net.uri import parse_uri
from trunkline.protocol.errors import InvalidURI

__all__ = ["RESERVED", "check_value", "fill", "origins", "parameters_of", "parameters_of_all"]

# Names that `ConnectionManager.connect`, `find` and `lease` keep for themselves.
RESERVED: Final = frozenset({"wait", "key"})


def parameters_of_all(urls: Sequence[str]) -> frozenset[str]:
    """The names of the parameters, which must be the same in each URL. Raises InvalidURI."""
    if not urls:
        raise InvalidURI("a service has one URL or more, given none")
    sets = [parameters_of(url) for url in urls]
    if any(names != sets[0] for names in sets):
        raise InvalidURI(f"the URLs of {origins(urls)} have different parameters; wanted the same in each")
    return sets[0]


def parameters_of(url: str) -> frozenset[str]:
    """The names of the parameters. Raises InvalidURI for a URL that is none, or has a parameter out of place."""
    parse_uri(url)
    names = set()
    try:
        fields = [field for field in string.Formatter().parse(url) if field[1] is not None]
    except ValueError as error:
        raise InvalidURI(f"the URL of {origins([url])} is no template: {error}") from None
    for _, name, spec, conversion in fields:
        if not name or not name.isidentifier() or spec or conversion or name in RESERVED:
            raise InvalidURI(
                f"the URL of {origins([url])} has a parameter {{{name}}}, "
                f"wanted a plain name other than {sorted(RESERVED)}"
            )
        names.add(name)
    if "{" in urlsplit(url).netloc:
        raise InvalidURI("a URL has a parameter in its host; parameters stand in the path and the query")
    return frozenset(names)


def origins(urls: Sequence[str]) -> str:
    """The URLs as messages name them: without users, passwords and queries."""
    return ", ".join(parse_uri(url).origin for url in urls)


def fill(url: str, parameters: Mapping[str, object], later: Iterable[str] = ()) -> str:
    """The URL with these parameters, each quoted whole: a "/" in one is not a "/" in the path.

    The parameters `later` stay as they are, to be filled in by another call.
    """
    values = {name: quote(str(value), safe="") for name, value in parameters.items()}
    return url.format_map(values | {name: f"{{{name}}}" for name in later})


def check_value(name: str, value: object) -> None:
    """Raises TypeError for a value that is neither str nor int, ValueError for one that could lead elsewhere."""
    if not isinstance(value, (str, int)):
        raise TypeError(f"{name} is a {type(value).__name__}, wanted str or int")
    if str(value) in ("", ".", ".."):
        # RFC 3986 5.2.4: dot segments are removed on the way, quoted or not, and an empty one may be.
        raise ValueError(f"{name} is {value!r}, which is no path segment (RFC 3986 3.3)")
