"""The opening handshake of a live server: `Handshake` without events, which reads with llhttp (`reading`)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from wsproto.extensions import Extension
from wsproto.handshake import server_extensions_handshake
from wsproto.utilities import generate_accept_token

from trunkline.protocol.asked import Asked, PlainRequest, judge_request
from trunkline.protocol.head import HeadLimits, HeadReader
from trunkline.protocol.reading import read_request

__all__ = ["ServerHandshake", "write_fields"]

# What every 101 begins with. wsproto writes the fields in this order, too.
_SWITCHING: Final = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "
)


class ServerHandshake:
    """Reads one request, judges it, and writes the answer.

    Args:
        limits: limits on the head of the request.

    Attributes:
        asked: the request, valid or not; None before it.
    """

    __slots__ = ("_heads", "_trailing", "asked")

    def __init__(self, limits: HeadLimits) -> None:
        self._heads = HeadReader(limits, strict=True)
        self._trailing: bytes | bytearray = b""
        self.asked: Asked | None = None

    @property
    def is_head(self) -> bool:
        """Whether the request is a HEAD, valid or not. Its answer has no body (RFC 9110 9.3.2)."""
        return self._heads.is_head

    @property
    def plain_request(self) -> PlainRequest | None:
        """A request that does not ask for a WebSocket, such as a health check. It is refused, too, but a program may
        want to answer it.
        """
        return None if self.asked is None else self.asked.plain

    @property
    def trailing_data(self) -> bytes:
        """What was received after the request: the first frames."""
        return bytes(self._trailing)

    def receive_data(self, data: bytes) -> Asked | None:
        """Feed received bytes. Return a request for a WebSocket once it is whole.

        Raises RemoteProtocolError for any other request; its `event_hint` is the refusal to send.
        """
        if self.asked is not None:
            if not isinstance(self._trailing, bytearray):
                self._trailing = bytearray(self._trailing)  # it may come byte by byte while the program decides
            self._trailing += data
            return None
        found = self._heads.feed(data)
        if found is None:
            return None
        head, self._trailing = found
        request = read_request(head)
        asked = self.asked = judge_request(request, head)
        if asked.fault is not None:
            raise asked.fault
        return asked

    def accept(self, subprotocol: str | None, extensions: Sequence[Extension], more: bytes) -> bytes:
        """Return the bytes of the 101.

        Args:
            subprotocol: the chosen one, of those asked for; None for none.
            extensions: the ones supported; they answer the client's offers.
            more: the program's own fields, from `write_fields`.
        """
        asked = self.asked
        assert asked is not None
        assert asked.key is not None  # else it was refused
        answer = _SWITCHING + generate_accept_token(asked.key)
        if subprotocol is not None:
            answer += b"\r\nSec-WebSocket-Protocol: " + subprotocol.encode("ascii")
        if extensions and asked.extensions:
            agreed = server_extensions_handshake(asked.extensions, list(extensions))
            if agreed:
                answer += b"\r\nSec-WebSocket-Extensions: " + agreed
        return answer + more


def write_fields(fields: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Return fields, valid in HTTP, as they stand between a first line, or another field, and the body."""
    return b"".join([b"\r\n%s: %s" % pair for pair in fields]) + b"\r\n\r\n"
