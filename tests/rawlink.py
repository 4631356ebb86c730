"""A link on a socket of its own, without a loop: what its loop and transport are asked may run code of the test's."""

import contextlib
import socket
from collections.abc import Callable
from typing import Any

from trunkline._frames import Decoder
from trunkline._inflate import Inflater, InflateStream
from trunkline._link import Link
from trunkline._writer import LoopState
from trunkline.protocol.backends import find_backend


def once(do: Callable[[], object]) -> Callable[[], None]:
    """A hook that calls `do` the first time it is called, and then nothing."""
    waiting = [do]
    return lambda: waiting.pop()() if waiting else None


class Loop:
    """What a loop_state asks of a loop."""

    def __init__(self) -> None:
        self.on_is_closed: Callable[[], object] = lambda: None

    def call_soon(self, callback: Callable[[], object]) -> None:
        pass

    def is_running(self) -> bool:
        return False

    def time(self) -> float:
        return 0.0

    def is_closed(self) -> bool:
        self.on_is_closed()
        return False


class Transport:
    """Writes what the socket takes and keeps the rest, as asyncio's does."""

    def __init__(self, sock: socket.socket, *, plain: bool) -> None:
        self.link: Link
        self.plain = plain
        self.aborted = False
        self.on_asked: Callable[[], object] = lambda: None
        self.on_write: Callable[[], object] = lambda: None
        self._sock = sock
        self._rest = b""

    def set_write_buffer_limits(self, high: int, low: int) -> None:
        assert (high, low) == ((0, 0) if self.plain else (2**30, 0))

    def get_extra_info(self, name: str) -> None:
        return None

    def get_write_buffer_size(self) -> int:
        return len(self._rest)

    def is_closing(self) -> bool:
        self.on_asked()
        return self.aborted

    def abort(self) -> None:
        self.aborted = True

    def write(self, data: bytes) -> None:
        self.on_write()
        self._rest += data
        self.flush()
        if self._rest:
            self.link.pause_writing()

    def flush(self) -> None:
        with contextlib.suppress(BlockingIOError):
            self._rest = self._rest[self._sock.send(self._rest) :]


class Life:
    """What a link calls, where nothing is decided; it keeps what broke."""

    broken: BaseException | None = None

    def __init__(self) -> None:
        self.pong_received: Callable[[], object] = lambda: None

    def on_writable(self) -> None:
        pass

    def on_broken(self, error: BaseException) -> None:
        self.broken = error

    def on_pong(self, payload: bytes) -> None:
        self.pong_received()


class Line:
    """A link, and the socket at the other end of its line. plain: it may write to the socket past its transport."""

    def __init__(
        self,
        ours: socket.socket,
        theirs: socket.socket,
        *,
        client: bool = False,
        plain: bool = True,
        link: Any = None,
        life: Any = None,
    ) -> None:
        self.loop = Loop()
        self.loop_state = LoopState(self.loop)
        self.transport = Transport(ours, plain=plain)
        self.life = Life() if life is None else life
        self.link: Any = Link() if link is None else link
        self.transport.link = self.link
        self.link._join(self.loop_state, self.life)
        self.link._attach(self.transport, ours.fileno() if plain else -1, (2**30, 0))
        self.link._open(Decoder(client), None, write_limit=2**30, control_rate=0)
        self._decoder = Decoder(not client, max_size=None)
        self.peer = theirs
        self._items: list[Any] = []

    def inflate(self) -> None:
        """From now on what is received may be compressed."""
        zlib = find_backend("zlib")
        inflater = Inflater(InflateStream(lambda: zlib.decompressor(15), zlib.error, True), max_size=None)
        self._decoder = Decoder(self._decoder.client, max_size=None, inflater=inflater)

    def read(self) -> None:
        """Reads what the socket holds, so that it takes more."""
        with contextlib.suppress(BlockingIOError):
            while True:
                self._items += self._decoder.feed(self.peer.recv(2**20))

    def received(self) -> list[Any]:
        """The messages that arrive until no byte waits on our side."""
        waits = 1
        while waits:
            self.read()
            waits = self.transport.get_write_buffer_size()
            self.transport.flush()
            if waits and not self.transport.get_write_buffer_size():
                self.link.resume_writing()
        assert self._decoder.fault is None
        return self._items
