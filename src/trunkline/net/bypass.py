"""Which hosts no_proxy excludes.

There is no standard for the variable; this is what curl, Go and Python's urllib and requests have in common, and where
they differ, what most of them do. Entries are separated by commas or spaces:

    *                     every host
    example.com           the host and its subdomains; so does .example.com
    *.example.com         its subdomains alone
    192.0.2.7, ::1        the address
    10.0.0.0/8, fd00::/8  the addresses of the block; names are not looked up for it
    any of these:8080     the same, for this port alone; an IPv6 address is in brackets then

Case does not matter, nor does a dot at the end of a name. An entry that cannot be read excludes nothing.
"""

from __future__ import annotations

import ipaddress
import re

__all__ = ["is_bypassed"]

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def is_bypassed(host: str, port: int, no_proxy: str) -> bool:
    """Whether a connection to `host` and `port` goes past the proxy. no_proxy: what the variable holds."""
    name = host.lower().rstrip(".")
    address = _address(name)
    for entry in re.split(r"[,\s]+", no_proxy.lower()):
        wanted, wanted_port = _split_port(entry)
        if not wanted or wanted_port not in (None, port):
            continue
        if wanted == "*" or (_has_name(name, wanted) if address is None else _has_address(address, wanted)):
            return True
    return False


def _split_port(entry: str) -> tuple[str, int | None]:
    """The entry without its port and brackets, and the port; one that is none makes the entry empty."""
    rest = entry
    if entry.startswith("["):
        entry, bracket, rest = entry[1:].partition("]")
        if not bracket:
            return "", None
    elif entry.count(":") != 1:
        return entry, None  # a name or an address without a port: IPv6 has two colons at least
    else:
        entry = entry.partition(":")[0]
    if rest.startswith("/"):  # [fd00::]/8
        return entry + rest, None
    _, colon, digits = rest.partition(":")
    if not colon:
        return entry, None
    return (entry, int(digits)) if re.fullmatch("[0-9]{1,5}", digits) else ("", None)


def _has_name(name: str, wanted: str) -> bool:
    suffix = _ascii(wanted.removeprefix("*").strip("."))
    if not suffix:
        return False
    return name.endswith(f".{suffix}") or (name == suffix and not wanted.startswith("*"))


def _ascii(name: str) -> str:
    """As hosts of URLs are written here."""
    if name.isascii():
        return name
    try:
        return name.encode("idna").decode()
    except UnicodeError:
        return ""


def _has_address(address: _Address, wanted: str) -> bool:
    if _address(wanted) == address:
        return True
    try:
        return address in ipaddress.ip_network(wanted, strict=False)
    except ValueError:
        return False


def _address(text: str) -> _Address | None:
    """The address, if it is one: an IPv4 address in IPv6 clothes counts as itself, and a zone is not looked at."""
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address
