"""A server's answers that are no 101: what a program gives, and the fixed texts for the rest."""

from __future__ import annotations

from collections.abc import Iterable
from email.utils import formatdate
from typing import Final, NamedTuple

from trunkline.net.http import Response, as_fields

__all__ = ["INTERNAL", "Answer", "make_answer", "refusal"]

# What a refused client is told (with 400 for any other status): fixed texts, that hold nothing of what it sent.
FIXED_TEXTS: Final = {
    400: "this is no WebSocket handshake (RFC 6455 4.2.1)",
    403: "this origin is not allowed",
    405: "the methods allowed here are GET and HEAD",
    414: "the request target is too long",
    426: "this is a WebSocket server: a handshake is wanted (RFC 6455 4.1)",
    431: "the header fields are too many or too long",
    500: "internal error",
    505: "the HTTP version spoken here is 1.1",
}
ANOTHER_VERSION: Final = "the WebSocket version spoken here is 13"
# For when no other answer can be made.
INTERNAL: Final = b"HTTP/1.1 500 Internal Server Error\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
BODILESS: Final = frozenset({204, 205, 304})  # RFC 9110 15.3.5, 15.3.6, 15.4.5


class Answer(NamedTuple):
    """What is sent. fields: all of them, those that frame the body included. body: that of an answer to GET."""

    status: int
    fields: list[tuple[bytes, bytes]]
    body: bytes


def refusal(status: int, fields: Iterable[tuple[bytes, bytes]] = ()) -> Answer:
    """Our own answer to a request that leads to no connection, in fixed words."""
    given = list(fields)
    names = {name.lower() for name, _ in given}
    text = (
        ANOTHER_VERSION
        if status == 426 and b"sec-websocket-version" in names
        else FIXED_TEXTS.get(status, FIXED_TEXTS[400])
    )
    if status == 426 and b"upgrade" not in names:
        given += [(b"Upgrade", b"websocket"), (b"Connection", b"Upgrade")]  # RFC 9110 15.5.22
    body = f"{text}\n".encode()
    return Answer(status, _framed(status, [(b"Content-Type", b"text/plain; charset=utf-8"), *given], body), body)


def make_answer(response: Response) -> Answer:
    """What to send for a program's Response; TypeError, ValueError or LocalProtocolError for one that cannot be."""
    status, body = response.status, response.body
    if isinstance(status, bool) or not isinstance(status, int):
        raise TypeError(f"the Response's status is {type(status).__name__}, must be int")
    if not 200 <= status <= 599:
        raise ValueError(f"the Response's status is {status}, must be 200 to 599 (RFC 9110 15)")
    if not isinstance(body, (bytes, bytearray, memoryview)):
        raise TypeError(f"the Response's body is {type(body).__name__}, must be bytes")
    body = bytes(body)
    if body and status in BODILESS:
        raise ValueError(f"the Response has a body of {len(body)} bytes, and {status} has none (RFC 9110 6.4.1)")
    if isinstance(response.headers, (str, bytes)) or not isinstance(response.headers, Iterable):
        raise TypeError(f"the Response's headers are {type(response.headers).__name__}, must be a mapping or pairs")
    return Answer(int(status), _framed(status, as_fields(response.headers), body), body)


def _framed(status: int, given: list[tuple[bytes, bytes]], body: bytes) -> list[tuple[bytes, bytes]]:
    """The fields with those that say when it was made, and how it ends: by its length, and the connection with it."""
    fields: list[tuple[bytes, bytes]] = []
    options = [b"close"]
    length = None
    dated = False
    for name, value in given:
        lower = name.lower()
        if lower == b"connection":
            options += [
                option for option in value.split(b",") if option.strip().lower() not in (b"close", b"keep-alive")
            ]
        elif lower == b"content-length":
            length = value
        elif lower == b"transfer-encoding":
            raise ValueError("the Response has Transfer-Encoding: its body goes whole, with a length (RFC 9112 6.1)")
        else:
            dated = dated or lower == b"date"
            fields.append((name, value))
    fields.append((b"Connection", b", ".join(option.strip() for option in reversed(options))))
    if not dated:  # RFC 9110 6.6.1
        fields.append((b"Date", formatdate(usegmt=True).encode()))
    if status not in BODILESS:
        if length not in (None, b"%d" % len(body)):
            raise ValueError(f"the Response's Content-Length is not that of its body, {len(body)} bytes (RFC 9110 8.6)")
        fields.append((b"Content-Length", b"%d" % len(body)))
    elif status == 205:
        fields.append((b"Content-Length", b"0"))
    return fields
