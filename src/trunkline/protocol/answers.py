"""Check a server's answer to our opening handshake (RFC 6455 4.1), and say what was seen and what was expected.

wsproto checks it too, but names only the field. Nothing that may be a secret is quoted: a subprotocol can carry a
token.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from wsproto.extensions import Extension

from trunkline.protocol.head import refused
from trunkline.protocol.wording import printable

__all__ = ["SINGLE_ANSWERS", "check_answer", "check_single", "check_version", "join_fields", "without_quotes"]

MAX_QUOTED: Final = 100  # characters of a field
Fields = Sequence[tuple[bytes, bytes]]

# RFC 6455 11.3: these may appear only once in a response.
SINGLE_ANSWERS: Final = frozenset(
    {b"sec-websocket-accept", b"sec-websocket-extensions", b"sec-websocket-protocol", b"upgrade"}
)


def check_version(http_version: bytes) -> None:
    """Raise RemoteProtocolError unless a 101 has this version of HTTP or a later one."""
    if http_version < b"1.1":
        raise refused(f"HTTP/{http_version.decode()}, must be 1.1 or later (RFC 6455 4.1)")


def check_single(fields: Fields) -> None:
    """Raise RemoteProtocolError if one of SINGLE_ANSWERS appears twice."""
    seen: set[bytes] = set()
    for name, _ in fields:
        if name in SINGLE_ANSWERS:
            if name in seen:
                raise refused(f"{name.decode()} appears twice (RFC 6455 11.3)")
            seen.add(name)


def join_fields(fields: Fields, name: bytes) -> list[tuple[bytes, bytes]]:
    """Join all fields of one name into one list, and put it first (RFC 9110 5.3)."""
    values = [value for one, value in fields if one == name]
    if len(values) < 2:
        return list(fields)
    others = [pair for pair in fields if pair[0] != name]
    return [(name, b", ".join(values)), *others]


def check_answer(fields: Fields, accept: bytes, offered: Sequence[str], extensions: Iterable[Extension]) -> str | None:
    """Return what is wrong with the fields of a 101; None if nothing is.

    Args:
        fields: the fields, names in lower case.
        accept: the value of Sec-WebSocket-Accept for our key.
        offered: the subprotocols that we offered.
        extensions: the extensions that we offered.
    """
    upgrade = _value(fields, b"upgrade")
    if upgrade.lower() != "websocket":
        return f"Upgrade {_seen(fields, b'upgrade')}, must be 'websocket' (RFC 6455 4.1)"
    if "upgrade" not in _tokens(_value(fields, b"connection").lower()):
        return f"Connection {_seen(fields, b'connection')}, must include 'Upgrade' (RFC 6455 4.1)"
    proof = _value(fields, b"sec-websocket-accept")
    if proof != accept.decode():
        seen = _seen(fields, b"sec-websocket-accept")
        return f"Sec-WebSocket-Accept {seen}, must be {accept.decode()!r} for our key (RFC 6455 4.1)"
    chosen = _value(fields, b"sec-websocket-protocol")
    if any(name == b"sec-websocket-protocol" for name, _ in fields) and chosen not in offered:
        return f"the chosen subprotocol, of {len(chosen)} characters, was not offered (RFC 6455 4.1)"
    known = {extension.name for extension in extensions}
    for token in _tokens(_value(fields, b"sec-websocket-extensions")):
        name = token.partition(";")[0].strip()
        if name not in known:
            return f"extension {printable(name[:MAX_QUOTED])!r} was not offered (RFC 6455 4.1)"
    return None


def without_quotes(error: Exception) -> str:
    """Return h11's text without the bytes that it quotes, which may be credentials."""
    text = str(error)
    for mark in (" b'", ' b"', " bytearray("):
        text = text.partition(mark)[0]
    return text.rstrip(":")


def _value(fields: Fields, wanted: bytes) -> str:
    return b", ".join([value for name, value in fields if name == wanted]).decode("latin-1")


def _tokens(value: str) -> list[str]:
    return [token.strip() for token in value.split(",") if token.strip()]


def _seen(fields: Fields, name: bytes) -> str:
    if not any(one == name for one, _ in fields):
        return "is missing"
    return f"is {printable(_value(fields, name)[:MAX_QUOTED])!r}"
