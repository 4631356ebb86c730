"""The hosts that no_proxy excludes.

There is no standard for the variable. This is what curl, Go and Python's urllib and requests have in common; where they
differ, it is what most of them do. Entries are separated by commas or spaces:

    *                     every host
    example.com           the host and its subdomains; .example.com is the same
    *.example.com         only its subdomains
    192.0.2.7, ::1        the address
    10.0.0.0/8, fd00::/8  the addresses in the block; host names are not looked up
    any of these:8080     the same, for this port only; an IPv6 address needs brackets then

Case is ignored, and so is a dot at the end of a name. A malformed entry excludes nothing.
"""

from __future__ import annotations

import ipaddress
import re

__all__ = ["is_bypassed"]

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def is_bypassed(host: str, port: int, no_proxy: str) -> bool:
    """Return whether connections to `host` and `port` bypass the proxy. `no_proxy` is the variable's value."""
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
    """Return the entry without its port and brackets, and the port. If that is malformed, return an empty entry."""
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
    """Return the name as `URI.host` has it, in ASCII; "" if it is malformed."""
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
    """Return the text as an address, or None. An IPv4-mapped address becomes the IPv4 one, and a zone is ignored."""
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address
