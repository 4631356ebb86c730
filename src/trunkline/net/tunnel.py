"""Tunnels through HTTP proxies (CONNECT, RFC 9110 9.3.6)."""

from __future__ import annotations

import asyncio
from typing import Final

import h11

from trunkline.net.http import BODY_WAIT, MAX_BODY, MAX_PARTS, from_fields
from trunkline.net.proxy import Proxy
from trunkline.net.uri import URI
from trunkline.protocol.answers import without_quotes
from trunkline.protocol.errors import ProxyError, RemoteProtocolError
from trunkline.protocol.head import HeadLimits, HeadReader, pieces
from trunkline.protocol.wording import printable

__all__ = ["Tunnel"]

MAX_BEGINNING: Final = 64  # bytes that ProxyError quotes of an answer that is not HTTP
MAX_QUOTED: Final = 100  # characters that ProxyError quotes of the reason phrase and of the challenge


class Tunnel(asyncio.Protocol):
    """A request to the proxy for a tunnel to `uri`. `ready` is done once the tunnel is open; reading is then paused,
    and `trailing_data` holds what was read behind the answer.
    """

    def __init__(self, proxy: Proxy, uri: URI, loop: asyncio.AbstractEventLoop) -> None:
        self._proxy = proxy
        self._uri = uri
        self._loop = loop
        self._http = h11.Connection(h11.CLIENT)
        self._heads = HeadReader(HeadLimits(), strict=False)
        self._refusal: h11.Response | None = None
        self._beginning = b""  # of the answer
        self._body = bytearray()
        self._parts = 0  # that the body came in
        self._patience: asyncio.TimerHandle | None = None
        self.ready: asyncio.Future[None] = loop.create_future()
        self.transport: asyncio.Transport

    @property
    def trailing_data(self) -> bytes:
        """The bytes read behind the proxy's answer."""
        return bytes(self._http.trailing_data[0])

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
        request = h11.Request(method=b"CONNECT", target=target, headers=headers)
        self.transport.write((self._http.send(request) or b"") + (self._http.send(h11.EndOfMessage()) or b""))

    def data_received(self, data: bytes) -> None:
        """Process bytes of the answer."""
        self._beginning += data[: max(0, MAX_BEGINNING - len(self._beginning))]
        try:
            for piece in pieces(self._heads, data, lambda: self._http.their_state is h11.SEND_RESPONSE):
                self._http.receive_data(piece)
                while not self.ready.done() and self._take(self._http.next_event()):
                    pass
        except (h11.RemoteProtocolError, RemoteProtocolError) as error:
            text = f"the answer of proxy {self._proxy.where} is not valid HTTP: {self._tell(error)}"
            self._end(self._refused() or ProxyError(text))

    def _take(self, event: object) -> bool:
        """Process one event. Return whether there may be another."""
        if isinstance(event, h11.Response):
            if 200 <= event.status_code < 300:
                self.transport.pause_reading()
                self._end(None)
            else:
                self._refusal = event
                self._patience = self._loop.call_later(BODY_WAIT, self._run_out)
        elif isinstance(event, h11.Data):
            self._body += event.data
            self._parts += 1
            if len(self._body) > MAX_BODY or self._parts >= MAX_PARTS:
                self._give_up()
        elif isinstance(event, h11.EndOfMessage):
            self._give_up()
        return isinstance(event, h11.Event)

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

    def _tell(self, error: h11.RemoteProtocolError | RemoteProtocolError) -> str:
        """Return what is wrong with the answer, without quoting fields: they may hold credentials."""
        if not self._beginning.startswith(b"HTTP/"):
            return f"it begins with {self._beginning!r}, must be HTTP/1.1"
        if isinstance(error, RemoteProtocolError):
            return error.detail or str(error)
        return f"{without_quotes(error)} (RFC 9112)"
