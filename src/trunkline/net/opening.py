"""The server's side of the opening handshake, between a transport and `ServerHandshake`."""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, Any

from wsproto.connection import ConnectionState
from wsproto.events import RejectConnection
from wsproto.extensions import Extension
from wsproto.utilities import RemoteProtocolError

from trunkline.net.acceptance import Acceptance
from trunkline.net.answers import Answer, make_answer, refusal
from trunkline.net.faults import watch
from trunkline.net.http import Request, Response, from_fields
from trunkline.net.logs import log_fields
from trunkline.protocol.asked import Asked
from trunkline.protocol.deflate import PerMessageDeflate, agreement_of
from trunkline.protocol.head import quote
from trunkline.protocol.server_handshake import ServerHandshake, write_fields
from trunkline.protocol.wording import printable

if TYPE_CHECKING:
    from trunkline.net.health import Tally
    from trunkline.net.lifecycle import Lifecycle
    from trunkline.net.listener import Listener

__all__ = ["ServerOpening"]


class ServerOpening:
    """The server's opening handshake: reads a request and answers it. `done` is called once, with whether it opened."""

    def __init__(self, acceptance: Acceptance, done: Callable[[Any, bool], None], tally: Tally) -> None:
        self._acceptance = acceptance
        self._tally = tally
        self._done: Callable[[Any, bool], None] | None = done
        self._handshake = ServerHandshake(acceptance.head)
        self._deciding: asyncio.Task[None] | None = None
        self._received = 0
        self._is_refused = False

    def begin(self, life: Lifecycle) -> None:
        """Do nothing: a server waits for the request."""

    def receive(self, life: Lifecycle, data: bytes) -> None:
        """Process bytes of the request or, while `process_request` decides, of what follows it."""
        if self._is_refused:
            return  # read and discarded, so that no reset takes the answer away
        self._received += len(data)
        if self._handshake.plain_request is None:  # else this is its body, which nobody needs
            self._parse(life, data)
        transport = life.link.transport
        if self._deciding is not None and self._received > self._acceptance.head.max_head and transport is not None:
            transport.pause_reading()

    def _parse(self, life: Lifecycle, data: bytes) -> None:
        try:
            asked = self._handshake.receive_data(data)
            if asked is not None:
                self._consider(life, asked)
        except RemoteProtocolError as error:
            self._judge(life, error)

    def is_answering(self) -> bool:
        """Return whether `process_request` has yet to decide."""
        return self._deciding is not None

    def lose(self, life: Lifecycle, error: Exception | None) -> None:
        """Stop deciding: the client is gone."""
        deciding, self._deciding = self._deciding, None
        if deciding is not None:
            deciding.cancel()
        self._finish(life, False)

    def _judge(self, life: Lifecycle, error: RemoteProtocolError) -> None:
        """Handle a request that is not a WebSocket handshake. If it is HTTP, `process_request` may answer it."""
        hint = error.event_hint if isinstance(error.event_hint, RejectConnection) else RejectConnection()
        why = getattr(error, "detail", "") or str(error)
        refuse = functools.partial(self._refuse, life, hint.status_code, why, hint.headers)
        plain = self._handshake.plain_request
        if plain is None:
            refuse()
        elif life.request is None:
            life.request = Request(plain.target, from_fields(plain.fields), plain.method)
            self._ask(life, life.request, refuse)

    def _consider(self, life: Lifecycle, asked: Asked) -> None:
        life.request = Request(asked.target, from_fields(asked.fields))
        if not self._acceptance.welcomes(asked.origin, asked.host):
            self._refuse(life, 403, f"origin {quote(asked.origin or b'')} is not allowed (origins)")
        elif self._acceptance.process_request is None:
            self._accept(life, asked)
        else:
            self._ask(life, life.request, functools.partial(self._accept, life, asked))

    def _refuse(self, life: Lifecycle, status: int, why: str, fields: Iterable[tuple[bytes, bytes]] = ()) -> None:
        """Refuse with a fixed text: what was wrong is for our log, not for a stranger."""
        self._tally.refused += 1
        extra = log_fields("handshake.refused", code=status, remote=life.remote_address)
        life.logger.info("a handshake was refused with %d: %s", status, printable(why), extra=extra)
        self._reject(life, refusal(status, fields))

    def _ask(self, life: Lifecycle, request: Request, go_on: Callable[[], None]) -> None:
        """Let process_request answer. If it is not set or returns None, call `go_on`."""
        if self._acceptance.process_request is None:
            go_on()
            return
        try:
            answer = self._acceptance.process_request(life.link, request)
        except (Exception, asyncio.CancelledError) as error:  # the latter from a future that it looked at
            self._break(life, error)
            return
        if inspect.isawaitable(answer):
            self._deciding = asyncio.ensure_future(self._decide(life, go_on, answer))
            watch(self._deciding, life.logger, "answering a request", functools.partial(self._give_up, life))
        else:
            self._answer(life, go_on, answer)

    async def _decide(self, life: Lifecycle, go_on: Callable[[], None], answer: Awaitable[Response | None]) -> None:
        response: Response | None = None
        fault: BaseException | None = None
        try:
            response = await answer
        except (Exception, asyncio.CancelledError) as error:  # the latter from whatever it waited for
            fault = error
        if self._deciding is None:
            return  # the client has gone
        self._deciding = None
        if life.link.transport is not None:
            life.link.transport.resume_reading()
        if fault is not None:
            self._break(life, fault)
        elif life.link.transport is not None:
            self._answer(life, go_on, response)

    def _give_up(self, life: Lifecycle) -> None:
        """End the connection: an error of our own came between the decision and the answer."""
        self._deciding = None
        try:
            life.fail(1011, "internal error")
            self._reject(life, refusal(500))
        finally:
            if life.state is ConnectionState.CONNECTING and not self._is_refused:
                life.abort()
            self._finish(life, life.state is not ConnectionState.CONNECTING and not self._is_refused)

    def _answer(self, life: Lifecycle, go_on: Callable[[], None], response: Response | None) -> None:
        if life.state is not ConnectionState.CONNECTING:
            return  # process_request has aborted it
        if response is None:
            go_on()
            return
        try:
            if not isinstance(response, Response):
                raise TypeError(f"process_request returned {type(response).__name__}, must return None or a Response")
            answer = make_answer(response)
        except Exception as error:
            self._break(life, error)
        else:
            self._reject(life, answer)

    def _break(self, life: Lifecycle, error: BaseException) -> None:
        path = "" if life.request is None else life.request.path.partition("?")[0]
        extra = log_fields("request.failed", path=path, remote=life.remote_address)
        life.logger.error("process_request failed for %s", path, exc_info=error, extra=extra)
        self._reject(life, refusal(500))

    def _accept(self, life: Lifecycle, asked: Asked) -> None:
        try:
            listener = self._make_listener()
        except (Exception, asyncio.CancelledError) as error:
            extra = log_fields("listener.failed", remote=life.remote_address)
            life.logger.error("the listener could not be made", exc_info=error, extra=extra)
            self._reject(life, refusal(500))
            return
        if life.link.transport is None or life.state is not ConnectionState.CONNECTING:
            return  # making the listener has aborted it
        chosen = next((name for name in self._acceptance.subprotocols if name in asked.subprotocols), None)
        wanted = life.settings.deflate
        extensions: list[Extension] = [] if wanted is None else [PerMessageDeflate(wanted)]
        try:
            life.link.transport.write(self._handshake.accept(chosen, extensions, self._acceptance.fields))
        except Exception as error:
            self._break(life, error)
            return
        self._open(life, chosen, extensions, listener)

    def _make_listener(self) -> Listener | None:
        make = self._acceptance.make_listener
        return None if make is None else make()

    def _open(
        self, life: Lifecycle, subprotocol: str | None, extensions: list[Extension], listener: Listener | None
    ) -> None:
        assert life.request is not None
        trailing = self._handshake.trailing_data
        try:
            life.open(
                client=False,
                request=life.request,
                response=self._acceptance.response,
                subprotocol=subprotocol,
                agreement=agreement_of(extensions),
                listener=listener,
            )
        finally:  # the server is told, whatever the listener raises
            self._finish(life, life.state is not ConnectionState.CONNECTING)
        if trailing:
            life.link._feed(trailing)

    def _reject(self, life: Lifecycle, answer: Answer) -> None:
        if life.link.transport is None or self._is_refused or life.state is not ConnectionState.CONNECTING:
            return
        self._is_refused = True
        life.link.transport.write(self._render(answer))
        life.linger(at_once=life.request is not None)
        self._finish(life, False)

    def _render(self, answer: Answer) -> bytes:
        head = b"HTTP/1.1 %d " % answer.status + write_fields(answer.fields)
        return head if self._handshake.is_head else head + answer.body

    def _finish(self, life: Lifecycle, opened: bool) -> None:
        done, self._done = self._done, None
        if done is not None:
            done(life.link, opened)
