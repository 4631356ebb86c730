"""What a connection is, and what it refuses: the half of it that answers, and decides nothing.

`Wire` moves a connection from state to state; whoever asks how it stands, waits to send, or asks for what it cannot do
is answered here.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Final

from wsproto.connection import ConnectionState

from trunkline._link import Link
from trunkline.protocol.errors import (
    ConnectionClosed,
    ConnectionClosedOK,
    LocalProtocolError,
    SendTimeout,
    SlowConsumer,
    WrongThread,
)

if TYPE_CHECKING:
    import logging

    from trunkline._frames import Decoder
    from trunkline.net.listener import Listener
    from trunkline.net.settings import Settings
    from trunkline.protocol.deflate import Deflate

__all__ = ["Standing"]

KEPT_EXTRA: Final = ("peername", "sockname", "peercert", "cipher")  # told when the transport is gone


class Standing(Link):
    """How a connection stands, and the errors for what it cannot do."""

    __slots__ = ("_decoder_view", "_kept", "_listener", "_make_error", "_settings", "_state", "_writers")

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._state = ConnectionState.CONNECTING
        self._listener: Listener | None = None
        self._decoder_view: Decoder | None = None
        self._make_error: Callable[[], ConnectionClosed] | None = None  # for whoever uses it when it has ended
        self._kept: tuple[Any, ...] | None = None  # what of the transport's extra information outlives it
        self._writers: deque[asyncio.Future[None]] | None = None

    @property
    def state(self) -> ConnectionState:
        """Where the connection stands: wsproto's ConnectionState."""
        return self._state

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Return what asyncio's `get_extra_info` has of the transport, `default` if there is no such thing.

        "peername", "sockname", "peercert" and "cipher" are kept when the transport is gone.
        """
        transport = self.transport  # once: another thread may ask while it goes
        known = None if transport is None else transport.get_extra_info(name)
        if known is None and self._kept is not None and name in KEPT_EXTRA:
            known = self._kept[KEPT_EXTRA.index(name)]
        return default if known is None else known

    @property
    def remote_address(self) -> Any:
        """The peer's socket address, also when the connection has ended; None before the transport is there."""
        return self.get_extra_info("peername")

    @property
    def local_address(self) -> Any:
        """Our socket address, also when the connection has ended; None before the transport is there."""
        return self.get_extra_info("sockname")

    @property
    def is_client(self) -> bool:
        """Whether we are the client of this connection."""
        return self._decoder_view is not None and self._decoder_view.client

    @property
    def deflate(self) -> Deflate | None:
        """What is wanted of compression here; `agreement` says what was agreed on."""
        return self._settings.deflate

    @property
    def logger(self) -> logging.Logger:
        """Where this connection logs."""
        return self._settings.logger

    async def _wait_wakened(self) -> None:
        """Waits until something has changed for those who want to send."""
        if self._writers is None:
            self._writers = deque()
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._writers.append(waiter)
        try:
            await waiter
        except BaseException:
            if self._writers is not None and waiter in self._writers:
                self._writers.remove(waiter)  # else they would pile up as long as the peer does not read
            raise

    @property
    def is_writable(self) -> bool:
        """Whether `wait_writable` would return at once."""
        return self._state is ConnectionState.OPEN and not self._writing_paused and not self._is_overdue

    async def wait_writable(self) -> None:
        """Waits until fewer bytes wait to be sent than the low-water mark, if more do than the high-water mark.

        Lets the loop run if 64 KiB have been sent since it last did. Raises ConnectionClosed if the connection is not
        open, or closes meanwhile; SendTimeout after `send_timeout` seconds.
        """
        self._check_thread()
        # Whoever asks in the same turn must do the same: what it sends goes behind, and waiting for room takes a turn.
        if self._is_overdue and not self._writing_paused:
            await asyncio.sleep(0)
        if self._writing_paused and self._state is ConnectionState.OPEN:
            await self._in_time(self._wait_room())
        self._start_turn()
        if self._state is not ConnectionState.OPEN:
            raise self._refusal()

    async def _wait_room(self) -> None:
        while self._writing_paused and self._state is ConnectionState.OPEN:
            await self._wait_wakened()

    async def _in_time(self, sending: Coroutine[Any, Any, None]) -> None:
        """Waits for it for `send_timeout` seconds at most, and cancels it then."""
        limit = self._settings.send_timeout
        if limit is None:
            await sending
            return
        try:
            async with asyncio.timeout(limit) as deadline:
                await sending
        except TimeoutError as error:
            if isinstance(error, SendTimeout) or not deadline.expired():
                raise
            raise SendTimeout(self._waiting, limit) from None

    @property
    def is_writing_paused(self) -> bool:
        """Whether more than the high-water mark (64 KiB) waits to be sent: `send` would wait."""
        return self._writing_paused

    def _keep_extra(self) -> None:
        if self._kept is None and self.transport is not None:
            self._kept = tuple(self.transport.get_extra_info(name) for name in KEPT_EXTRA)

    # What the link asks

    def _on_writable(self) -> None:
        writers, self._writers = self._writers, None
        for waiter in writers or ():
            if not waiter.done():
                waiter.set_result(None)

    def _refusal(self) -> Exception:
        if self._make_error is not None:
            return self._make_error().of(self)
        if self._is_unfinished:
            return LocalProtocolError(
                "a fragmented message is being sent: another must wait for its end (RFC 6455 5.4)"
            )
        return LocalProtocolError(f"cannot send in state {self._state.name}: the opening handshake is not done")

    def _wrong_thread(self) -> Exception:
        return WrongThread(repr(self))

    def _slow_consumer(self, pending: int) -> Exception:
        return SlowConsumer(pending, self._settings.write_limit)

    def _bad_text(self, error: UnicodeEncodeError) -> Exception:
        return LocalProtocolError(f"text is not Unicode at index {error.start}: {error.reason} (RFC 6455 8.1)")

    def _conclusion(self, iterating: bool) -> Exception:
        error = self._refusal()
        return StopAsyncIteration() if iterating and isinstance(error, ConnectionClosedOK) else error

    def _busy(self) -> Exception:
        return LocalProtocolError("another task waits for a message of this connection already: one may")

    def _no_inbox(self) -> Exception:
        if self._listener is not None:
            return LocalProtocolError("messages of this connection go to its listener, not to recv")
        return self._refusal()
