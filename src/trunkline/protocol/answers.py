"""A server's answer to our opening handshake, judged by RFC 6455 4.1: what was seen, and what should have been.

wsproto judges it as well, but says only which field it misses. Nothing that may be a secret is quoted: a subprotocol
may carry a token.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from wsproto.extensions import Extension

from trunkline.protocol.errors import printable

__all__ = ["check_answer", "join_fields", "without_quotes"]

MAX_QUOTED: Final = 100  # characters of a field
Fields = Sequence[tuple[bytes, bytes]]


def join_fields(fields: Fields, name: bytes) -> list[tuple[bytes, bytes]]:
    """The fields with all of one name joined to one list, in the place of the first (RFC 9110 5.3)."""
    values = [value for one, value in fields if one == name]
    if len(values) < 2:
        return list(fields)
    others = [pair for pair in fields if pair[0] != name]
    return [(name, b", ".join(values)), *others]


def check_answer(fields: Fields, accept: bytes, offered: Sequence[str], extensions: Iterable[Extension]) -> str | None:
    """What is wrong with the fields of a 101; None if nothing is.

    fields: names in lower case. accept: what proves that our request was read. offered, extensions: what we have named.
    """
    upgrade = _value(fields, b"upgrade")
    if upgrade.lower() != "websocket":
        return f"Upgrade {_seen(fields, b'upgrade')}, must be 'websocket' (RFC 6455 4.1)"
    if "upgrade" not in _tokens(_value(fields, b"connection").lower()):
        return f"Connection {_seen(fields, b'connection')}, must have 'Upgrade' in it (RFC 6455 4.1)"
    proof = _value(fields, b"sec-websocket-accept")
    if proof != accept.decode():
        seen = _seen(fields, b"sec-websocket-accept")
        return f"Sec-WebSocket-Accept {seen}, must be {accept.decode()!r} for our key (RFC 6455 4.1)"
    chosen = _value(fields, b"sec-websocket-protocol")
    if any(name == b"sec-websocket-protocol" for name, _ in fields) and chosen not in offered:
        return f"the subprotocol it chose, of {len(chosen)} characters, was not offered (RFC 6455 4.1)"
    known = {extension.name for extension in extensions}
    for token in _tokens(_value(fields, b"sec-websocket-extensions")):
        name = token.partition(";")[0].strip()
        if name not in known:
            return f"extension {printable(name[:MAX_QUOTED])!r} was not offered (RFC 6455 4.1)"
    return None


def without_quotes(error: Exception) -> str:
    """What h11 says, without the bytes that it quotes: they may be somebody's credentials."""
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
