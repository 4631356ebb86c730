"""Parse hosts, request targets and origins from a stranger's bytes.

Nothing here decodes IDNA or uses a parser that is not made for hostile input: Python's codec takes more than a second
for one label of 8 KiB, and urllib guesses. Each pattern takes linear time.
"""

from __future__ import annotations

import functools
import ipaddress
import re
from typing import Final, NamedTuple

__all__ = [
    "DEFAULT_PORTS",
    "MAX_HOST",
    "MAX_LABEL",
    "Authority",
    "Target",
    "parse_authority",
    "parse_origin",
    "parse_target",
]

MAX_HOST: Final = 255  # bytes of a name (RFC 1035 2.3.4)
MAX_LABEL: Final = 63  # bytes of a label, between two dots
DEFAULT_PORTS: Final = {"http": 80, "https": 443, "ws": 80, "wss": 443}

# RFC 3986 3.2.2: reg-name, and an IPv6 address in brackets, with a zone or without (RFC 6874).
_AUTHORITY: Final = re.compile(
    rb"(?:\[(?P<address>[0-9A-Fa-f:.]{2,45})(?:%[0-9A-Za-z._~%-]{1,64})?\]|(?P<name>(?:[0-9A-Za-z._~!$&'()*+,;=-]|%[0-9A-Fa-f]{2})+))"
    rb"(?::(?P<port>[0-9]{0,5}))?"
)
_ABSOLUTE: Final = re.compile(rb"(?:https?|wss?)://([^/?]*)(.*)", re.IGNORECASE)
_ORIGIN: Final = re.compile(rb"([a-z][a-z0-9+.-]*)://([^\s/?#@\\]+)", re.IGNORECASE)


class Authority(NamedTuple):
    """A host and its port.

    host: in lower case; an IPv6 address in brackets, in its shortest form. port: None if absent.
    """

    host: str
    port: int | None


class Target(NamedTuple):
    """The target of a request.

    path: with the query; "*" for the server as a whole. authority: that of the absolute form; None otherwise.
    """

    path: str
    authority: bytes | None


def parse_authority(value: bytes) -> Authority | None:
    """Parse `uri-host[:port]` (RFC 9110 7.2); return None if malformed."""
    return None if len(value) > MAX_HOST + 6 else _parse_authority(value)


@functools.lru_cache(maxsize=256)  # a server has few names, and a key is at most 261 bytes
def _parse_authority(value: bytes) -> Authority | None:
    match = _AUTHORITY.fullmatch(value)
    if match is None:
        return None
    port = int(match["port"]) if match["port"] else None
    if port is not None and not 0 < port <= 65535:
        return None
    host = value[: match.start("port") - 1] if match["port"] is not None else value
    text = host.decode("ascii").lower()
    if match["name"] is not None:
        return Authority(text, port) if _is_name(match["name"]) else None
    address = _canonical_address(match["address"].decode("ascii"))
    return None if address is None else Authority(f"[{address}{text[match.end('address') :]}", port)


def _is_name(name: bytes) -> bool:
    labels = name.removesuffix(b".").split(b".")
    return len(name) <= MAX_HOST and all(0 < len(label) <= MAX_LABEL for label in labels)


def _canonical_address(text: str) -> str | None:
    """Return an IPv6 address as browsers write it (RFC 5952 4, never with a dotted part); None if malformed."""
    try:
        address = ipaddress.IPv6Address(text)
    except ValueError:
        return None
    if address.ipv4_mapped is None:
        return address.compressed
    low = int(address.ipv4_mapped)  # newer versions of Python write it with dots
    return f"::ffff:{low >> 16:x}:{low & 0xFFFF:x}"


def parse_target(method: bytes, target: bytes) -> Target | None:
    """Parse a request target in origin, absolute or asterisk form (RFC 9112 3.2); return None if malformed.

    Only OPTIONS may use the asterisk. The authority form, which is CONNECT's, is not accepted.
    """
    if b"#" in target:
        return None
    if target[:1] == b"/":
        return Target(target.decode("ascii"), None)
    if target == b"*":
        return Target("*", None) if method == b"OPTIONS" else None
    match = _ABSOLUTE.fullmatch(target)
    if match is None or parse_authority(match[1]) is None:
        return None
    path = match[2].decode("ascii")
    if path[:1] != "/":
        path = "*" if method == b"OPTIONS" and not path else "/" + path
    return Target(path, match[1])


def parse_origin(value: bytes) -> tuple[str, Authority] | None:
    """Parse a serialized origin (RFC 6454 6.2) into its scheme and authority, in lower case, without a default port.

    Return None for anything else, including "null".
    """
    match = _ORIGIN.fullmatch(value)
    authority = None if match is None else parse_authority(match[2])
    if match is None or authority is None:
        return None
    scheme = match[1].decode("ascii").lower()
    if authority.port is not None and authority.port == DEFAULT_PORTS.get(scheme):
        authority = Authority(authority.host, None)
    return scheme, authority
