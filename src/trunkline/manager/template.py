"""URL templates with parameters: `wss://host/chat/{room}`."""

from __future__ import annotations

import string
from collections.abc import Iterable, Mapping, Sequence
from typing import Final
from urllib.parse import quote, urlsplit

from trunkline.net.uri import parse_uri
from trunkline.protocol.errors import InvalidURI

__all__ = ["RESERVED", "check_value", "fill", "origins", "parameters_of", "parameters_of_all"]

# Names of parameters of `ConnectionManager.connect`, `find` and `lease`.
RESERVED: Final = frozenset({"wait", "key"})


def parameters_of_all(urls: Sequence[str]) -> frozenset[str]:
    """Return the names of the parameters. Raise InvalidURI if they differ between the URLs."""
    if not urls:
        raise InvalidURI("a service needs at least one URL, but was given none")
    sets = [parameters_of(url) for url in urls]
    if any(names != sets[0] for names in sets):
        raise InvalidURI(f"the URLs of {origins(urls)} have different parameters; all must have the same")
    return sets[0]


def parameters_of(url: str) -> frozenset[str]:
    """Return the names of the parameters. Raise InvalidURI if the URL or a parameter is malformed."""
    parse_uri(url)
    names = set()
    try:
        fields = [field for field in string.Formatter().parse(url) if field[1] is not None]
    except ValueError as error:
        raise InvalidURI(f"the URL of {origins([url])} is not a template: {error}") from None
    for _, name, spec, conversion in fields:
        if not name or not name.isidentifier() or spec or conversion or name in RESERVED:
            raise InvalidURI(
                f"the URL of {origins([url])} has a parameter {{{name}}}, "
                f"wanted a plain name other than {sorted(RESERVED)}"
            )
        names.add(name)
    if "{" in urlsplit(url).netloc:
        raise InvalidURI("a URL has a parameter in its host; parameters are allowed in the path and the query only")
    return frozenset(names)


def origins(urls: Sequence[str]) -> str:
    """Return the URLs as messages show them, without users, passwords and queries."""
    return ", ".join(parse_uri(url).origin for url in urls)


def fill(url: str, parameters: Mapping[str, object], later: Iterable[str] = ()) -> str:
    """Return the URL with these parameters, each fully quoted: a "/" in one is not a "/" in the path.

    The parameters in `later` stay as they are, for another call to fill in.
    """
    values = {name: quote(str(value), safe="") for name, value in parameters.items()}
    return url.format_map(values | {name: f"{{{name}}}" for name in later})


def check_value(name: str, value: object) -> None:
    """Raise TypeError if a value is neither str nor int, ValueError if it could lead to another path."""
    if not isinstance(value, (str, int)):
        raise TypeError(f"{name} is a {type(value).__name__}, wanted str or int")
    if str(value) in ("", ".", ".."):
        # RFC 3986 5.2.4: servers and proxies remove dot segments, quoted or not, and may remove empty ones.
        raise ValueError(f"{name} is {value!r}, which is not a path segment (RFC 3986 3.3)")
