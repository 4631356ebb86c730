"""Tunnels through HTTP proxies (CONNECT, RFC 9110 9.3.6)."""

from __future__ import annotations

import asyncio
from typing import Final

from trunkline.net.http import BODY_WAIT, MAX_BODY, MAX_PARTS, from_fields
from trunkline.net.proxy import Proxy
from trunkline.net.uri import URI
from trunkline.protocol.errors import ProxyError, RemoteProtocolError
from trunkline.protocol.head import HeadLimits, HeadReader, pieces, refused
from trunkline.protocol.reading import AnswerHead, AnswerReader
from trunkline.protocol.server_handshake import write_fields
from trunkline.protocol.wording import printable

__all__ = ["Tunnel"]

MAX_BEGINNING: Final = 64  # bytes that ProxyError quotes of an answer that is not HTTP
SLICE: Final = 4096  # bytes of an answer that are parsed at a time, so that MAX_PARTS ends a read early
MAX_QUOTED: Final = 100  # characters that ProxyError quotes of the reason phrase and of the challenge


class Tunnel(asyncio.Protocol):
    """A request to the proxy for a tunnel to `uri`. `ready` is done once the tunnel is open; reading is then paused,
    and `trailing_data` holds what was read behind the answer.
    """

    def __init__(self, proxy: Proxy, uri: URI, loop: asyncio.AbstractEventLoop) -> None:
        self._proxy = proxy
        self._uri = uri
        self._loop = loop
        self._heads = HeadReader(HeadLimits(), strict=False)
        self._refusal: AnswerHead | None = None
        self._answer: AnswerReader | None = None  # the refusal's
        self._beginning = b""  # of the answer
        self._body = bytearray()
        self._parts = 0  # that the body came in
        self._patience: asyncio.TimerHandle | None = None
        self.ready: asyncio.Future[None] = loop.create_future()
        self.trailing_data = b""
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the request."""
        self.transport = transport  # type: ignore[assignment]  # a stream's transport is one
        host = f"[{self._uri.host}]" if ":" in self._uri.host else self._uri.host
        target = f"{host}:{self._uri.port}".encode()
        headers = [(b"Host", target), *self._proxy.fields]
        if self._proxy.authorization is not None and not any(
            name.lower() == b"proxy-authorization" for name, _ in headers
        ):
            headers.append((b"Proxy-Authorization", self._proxy.authorization))
        self.transport.write(b"CONNECT %s HTTP/1.1" % target + write_fields(headers))

    def data_received(self, data: bytes) -> None:
        """Process bytes of the answer."""
        self._beginning += data[: max(0, MAX_BEGINNING - len(self._beginning))]
        try:
            for start in range(0, len(data), SLICE):
                for piece in pieces(self._heads, data[start : start + SLICE], self._expects_head):
                    self._take(piece)
        except RemoteProtocolError as error:
            text = f"the answer of proxy {self._proxy.where} is not valid HTTP: {self._tell(error)}"
            self._end(self._refused() or ProxyError(text))

    def _expects_head(self) -> bool:
        return self._answer is None and not self.ready.done()

    def _take(self, piece: bytes) -> None:
        """Process a head, or what follows the last one."""
        if self._expects_head():
            self._take_head(AnswerReader(piece))
        elif self._answer is None:
            self.trailing_data += piece
        elif not self.ready.done():
            self._take_body(self._answer, piece)

    def _take_head(self, answer: AnswerReader) -> None:
        status = answer.head.status_code
        if status == 101:
            raise refused("it switches protocols, which nobody asked for (RFC 9110 15.2.2)")
        if 200 <= status < 300:
            self.transport.pause_reading()
            self._end(None)
        elif status >= 300:  # else the answer follows (RFC 9110 15.2)
            self._answer, self._refusal = answer, answer.head
            self._patience = self._loop.call_later(BODY_WAIT, self._run_out)
            if answer.is_whole:
                self._give_up()

    def _take_body(self, answer: AnswerReader, data: bytes) -> None:
        parts: list[bytes] = []
        try:
            answer.feed(data, parts)
        finally:
            self._body += b"".join(parts)
        self._parts += len(parts)
        if answer.is_whole or len(self._body) > MAX_BODY or self._parts >= MAX_PARTS:
            self._give_up()

    def _run_out(self) -> None:
        """Stop waiting for the body of a refusal. An error of our own goes to whoever waits for the answer."""
        try:
            self._give_up()
        except Exception as error:
            self._end(error)

    def _give_up(self) -> None:
        """Fail with what was received of the refusal."""
        self._end(self._refused())

    def _refused(self) -> ProxyError | None:
        answer = self._refusal
        if answer is None:
            return None
        headers = from_fields(answer.headers)
        reason = answer.reason.decode("latin-1")
        seen = f"{answer.status_code} {printable(reason[:MAX_QUOTED])}".rstrip()
        text = f"proxy {self._proxy.where} answered {seen} to CONNECT {self._uri.host}:{self._uri.port}"
        challenge = headers.get("proxy-authenticate")
        if challenge is not None:
            text += f", Proxy-Authenticate: {printable(challenge[:MAX_QUOTED])}"
        body = bytes(self._body[:MAX_BODY])
        return ProxyError(text, answer.status_code, reason=reason, headers=headers, body=body)

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail with what was received of the answer: the proxy has ended the connection."""
        self._end(self._refused() or ProxyError(f"proxy {self._proxy.where} ended the connection without an answer"))

    def _end(self, error: Exception | None) -> None:
        if self._patience is not None:
            self._patience.cancel()
        if self.ready.done():
            return
        if error is None:
            self.ready.set_result(None)
        else:
            self.ready.set_exception(error)
            self.ready.exception()  # retrieved: whoever waited may have been cancelled
            self.transport.abort()

    def _tell(self, error: RemoteProtocolError) -> str:
        """Return what is wrong with the answer, without quoting fields: they may hold credentials."""
        if not self._beginning.startswith(b"HTTP/"):
            return f"it begins with {self._beginning!r}, must be HTTP/1.1"
        return error.detail or str(error)
