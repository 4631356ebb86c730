"""The opening handshake of a live client: writes the request, and reads the answer with llhttp (`reading`)."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any, Final

from wsproto.events import AcceptConnection, Event, RejectConnection, RejectData, Request
from wsproto.handshake import client_extensions_handshake
from wsproto.utilities import RemoteProtocolError as WsprotoRemoteProtocolError
from wsproto.utilities import generate_accept_token, generate_nonce, split_comma_header

from trunkline.protocol.answers import SINGLE_ANSWERS, check_answer, check_single, check_version
from trunkline.protocol.errors import LocalProtocolError, RemoteProtocolError
from trunkline.protocol.head import HeadLimits, HeadReader, pieces, refused
from trunkline.protocol.reading import AnswerHead, AnswerReader
from trunkline.protocol.server_handshake import write_fields

__all__ = ["ClientHandshake"]

_NAME: Final = re.compile(rb"[-!#$%&'*+.^_`|~0-9A-Za-z]+")  # RFC 9110 5.1
_VALUE: Final = re.compile(rb"([^\0\s]([^\0\r\n\v\f]*[^\0\s])?)?")  # RFC 9110 5.5
_TARGET: Final = re.compile(rb"[!-~]+")
_OWN: Final = frozenset({b"connection", *SINGLE_ANSWERS})  # of a 101: what the handshake reads itself


class ClientHandshake:
    """Writes one request, and reads the answer: as wsproto's events, a 101 is accepted, all else rejected.

    Args:
        limits: limits on the head of the answer.

    Attributes:
        trailing_data: what was received after a 101: the first frames.
    """

    def __init__(self, limits: HeadLimits) -> None:
        self._heads = HeadReader(limits, strict=False)
        self._answer: AnswerReader | None = None  # the final one; it reads the body
        self._is_open = False
        self._events: deque[Event] = deque()
        self._asked: Request | None = None
        self._nonce = generate_nonce()
        self.trailing_data = b""

    @property
    def has_switched(self) -> bool:
        """Whether the server answered 101, valid or not."""
        return self._heads.has_switched

    def send(self, event: Request) -> bytes:
        """Return the bytes of the request. Raise LocalProtocolError if a part of it is not valid in HTTP."""
        self._asked = event
        try:
            fields = self._fields(event)
            target = event.target.encode("ascii")
        except UnicodeError as error:
            raise LocalProtocolError(f"not allowed in a handshake: {error} (RFC 9110 5.5)") from None
        if _TARGET.fullmatch(target) is None:
            raise LocalProtocolError("not allowed in a handshake: Illegal target characters (RFC 9112 3.2)")
        for name, value in fields:  # neither is quoted: both may be a secret
            if _NAME.fullmatch(name) is None:
                raise LocalProtocolError("not allowed in a handshake: Illegal header name (RFC 9110 5.1)")
            if _VALUE.fullmatch(value) is None:
                raise LocalProtocolError("not allowed in a handshake: Illegal header value (RFC 9110 5.5)")
        return b"GET %s HTTP/1.1" % target + write_fields(fields)

    def _fields(self, event: Request) -> list[tuple[bytes, bytes]]:
        """Return the fields of the request, in wsproto's order."""
        fields = [
            (b"Host", event.host.encode("idna")),
            (b"Upgrade", b"websocket"),
            (b"Connection", b"Upgrade"),
            (b"Sec-WebSocket-Key", self._nonce),
            (b"Sec-WebSocket-Version", b"13"),
        ]
        if event.subprotocols:
            fields.append((b"Sec-WebSocket-Protocol", ", ".join(event.subprotocols).encode("ascii")))
        offered: Sequence[Any] = event.extensions
        offers = [f"{one.name}; {one.offer()}" for one in offered]
        if offers:
            fields.append((b"Sec-WebSocket-Extensions", ", ".join(offers).encode("ascii")))
        return fields + list(event.extra_headers)

    def events(self) -> Iterator[Event]:
        """Yield the events in the received bytes."""
        while self._events:
            yield self._events.popleft()

    def receive_data(self, data: bytes) -> None:
        """Feed received bytes; then take `events()`. Raise RemoteProtocolError if the answer is malformed or not valid;
        `detail` says what is wrong.
        """
        for piece in pieces(self._heads, data, self._expects_head):
            if self._expects_head():
                self._read_head(piece)
            elif self._answer is None:
                self.trailing_data += piece
            else:
                self._read_body(self._answer, piece)

    def _expects_head(self) -> bool:
        return self._answer is None and not self._is_open

    def _read_head(self, head: bytes) -> None:
        reader = AnswerReader(head)
        answer = reader.head
        if answer.status_code == 101:
            self._events.append(self._accept(answer))
            self._is_open = True
            return
        is_final = answer.status_code >= 200  # else the answer follows (RFC 9110 15.2)
        self._events.append(RejectConnection(answer.status_code, answer.headers, has_body=is_final))
        if is_final:
            self._answer = reader
            if reader.is_whole:
                self._events.append(RejectData(b"", body_finished=True))

    def _read_body(self, answer: AnswerReader, data: bytes) -> None:
        if answer.is_whole:
            return
        parts: list[bytes] = []
        try:
            answer.feed(data, parts)
        finally:
            self._events.extend(RejectData(part, body_finished=False) for part in parts)
        if answer.is_whole:
            self._events.append(RejectData(b"", body_finished=True))

    def _accept(self, answer: AnswerHead) -> AcceptConnection:
        asked = self._asked
        assert asked is not None  # there is no answer before a request
        fields = answer.headers
        check_version(answer.http_version)
        check_single(fields)
        offered: Sequence[Any] = asked.extensions
        fault = check_answer(fields, generate_accept_token(self._nonce), asked.subprotocols, offered)
        if fault is not None:
            raise refused(fault)
        given = {name: value for name, value in fields if name in SINGLE_ANSWERS}
        subprotocol, names = given.get(b"sec-websocket-protocol"), given.get(b"sec-websocket-extensions")
        try:
            return AcceptConnection(
                None if subprotocol is None else subprotocol.decode("ascii"),
                [] if names is None else client_extensions_handshake(split_comma_header(names), offered),
                [pair for pair in fields if pair[0] not in _OWN],
            )
        except UnicodeError as error:
            raise refused(f"cannot read a field of the handshake: {type(error).__name__}") from error
        except WsprotoRemoteProtocolError as error:  # an empty name in the list, or an extension's own
            raise error if isinstance(error, RemoteProtocolError) else refused(str(error)) from None
