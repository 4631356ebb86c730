"""A server's answers other than 101: the program's own, and fixed texts for the rest."""

from __future__ import annotations

from collections.abc import Iterable
from email.utils import formatdate
from typing import Final, NamedTuple

from trunkline.net.http import Response, as_fields

__all__ = ["Answer", "make_answer", "refusal"]

# What a refused client is told; any other status gets the text of 400. No text quotes what the client sent.
FIXED_TEXTS: Final = {
    400: "this is not a valid WebSocket handshake (RFC 6455 4.2.1)",
    403: "this origin is not allowed",
    405: "only GET and HEAD are allowed",
    414: "the request target is too long",
    426: "this is a WebSocket server: use a WebSocket client (RFC 6455 4.1)",
    431: "there are too many header fields, or they are too long",
    500: "internal error",
    505: "only HTTP/1.1 is supported",
}
ANOTHER_VERSION: Final = "only WebSocket version 13 is supported"
BODILESS: Final = frozenset({204, 205, 304})  # RFC 9110 15.3.5, 15.3.6, 15.4.5


class Answer(NamedTuple):
    """An answer to send.

    Attributes:
        status: the HTTP status.
        fields: all fields, including those that frame the body.
        body: the body of an answer to GET; an answer to HEAD has none.
    """

    status: int
    fields: list[tuple[bytes, bytes]]
    body: bytes


def refusal(status: int, fields: Iterable[tuple[bytes, bytes]] = ()) -> Answer:
    """Return our own answer, with a fixed text, to a request that does not open a connection."""
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
    """Return what to send for a program's Response.

    Raises:
        TypeError, ValueError, LocalProtocolError: the Response is not valid.
    """
    status, body = response.status, response.body
    if isinstance(status, bool) or not isinstance(status, int):
        raise TypeError(f"the Response's status is {type(status).__name__}, must be int")
    if not 200 <= status <= 599:
        raise ValueError(f"the Response's status is {status}, must be 200 to 599 (RFC 9110 15)")
    if not isinstance(body, (bytes, bytearray, memoryview)):
        raise TypeError(f"the Response's body is {type(body).__name__}, must be bytes")
    body = bytes(body)
    if body and status in BODILESS:
        raise ValueError(f"the Response has a body of {len(body)} bytes, but {status} cannot have one (RFC 9110 6.4.1)")
    if isinstance(response.headers, (str, bytes)) or not isinstance(response.headers, Iterable):
        raise TypeError(f"the Response's headers are {type(response.headers).__name__}, must be a mapping or pairs")
    return Answer(int(status), _framed(status, as_fields(response.headers), body), body)


def _framed(status: int, given: list[tuple[bytes, bytes]], body: bytes) -> list[tuple[bytes, bytes]]:
    """Return the fields with Date, Content-Length (unless the status has no body) and Connection: close added."""
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
            raise ValueError("the Response has Transfer-Encoding, but its body is sent with a length (RFC 9112 6.1)")
        else:
            dated = dated or lower == b"date"
            fields.append((name, value))
    fields.append((b"Connection", b", ".join(option.strip() for option in reversed(options))))
    if not dated:  # RFC 9110 6.6.1
        fields.append((b"Date", formatdate(usegmt=True).encode()))
    if status not in BODILESS:
        if length not in (None, b"%d" % len(body)):
            raise ValueError(f"the Response's Content-Length does not fit its body of {len(body)} bytes (RFC 9110 8.6)")
        fields.append((b"Content-Length", b"%d" % len(body)))
    elif status == 205:
        fields.append((b"Content-Length", b"0"))
    return fields
