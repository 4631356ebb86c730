"""A network that a test writes down, beside the clock of `clocks`: no sleep, no socket, no chance."""

import asyncio
import functools
import random
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import msgspec
import pytest
from wsproto.connection import ConnectionState

import leaks
import turns
from clocks import Clock
from trunkline.manager.connection import Connection
from trunkline.manager.events import StateChange
from trunkline.manager.manager import ConnectionManager
from trunkline.manager.service import Service
from trunkline.net.stats import Stats
from trunkline.protocol.errors import ConnectError, connection_closed


class FakeLink:
    """The part of a WebSocket that the manager uses, with its peer's side in the test's hand."""

    def __init__(self) -> None:
        self.state = ConnectionState.OPEN
        self.traffic = (0, 0)  # bytes received and sent
        self.record_latency: Callable[[float], object] | None = None
        self.sent: list[Any] = []
        self.writes: list[list[Any]] = []  # what came in one call of send_many
        self.closed_with: tuple[int, str] | None = None
        self.aborted = False
        self.send_raises: Exception | None = None
        self.answers_close = True
        self.is_writable = True
        self.answers_pings = True
        self.pings: list[asyncio.Future[float]] = []  # those that wait for their pong
        self._writable = asyncio.Event()
        self.pinged = 0
        self.questions = 0  # pings that nothing waits for in a coroutine
        self.bytes_received = 0
        self._batches: asyncio.Queue[list[Any] | Exception] = asyncio.Queue()
        self._end: Exception | None = None

    def watch_latency(self, record: Callable[[float], object]) -> None:
        self.record_latency = record

    def moved(self) -> tuple[int, int]:
        return self.traffic

    def deliver(self, *messages: Any) -> None:
        self._batches.put_nowait(list(messages))

    def lose(self, code: int = 1006, reason: str = "", initiator: Any = None) -> None:
        """The link ends, after what was delivered."""
        self.state = ConnectionState.CLOSED
        self._writable.set()
        self._batches.put_nowait(connection_closed(code, reason, initiator))

    def send_nowait(self, message: Any) -> None:
        self._check_open()
        self.sent.append(message)

    def send_many(self, messages: Any) -> None:
        self._check_open()
        self.writes.append(list(messages))
        self.sent.extend(messages)

    async def wait_closed(self) -> None:
        while self.state is not ConnectionState.CLOSED:
            self._writable.clear()
            await self._writable.wait()

    async def wait_writable(self) -> None:
        while not self.is_writable and self.state is ConnectionState.OPEN:
            self._writable.clear()
            await self._writable.wait()
        self._check_open()

    def set_writable(self, is_writable: bool) -> None:
        self.is_writable = is_writable
        self._writable.set()

    def ping_nowait(self) -> asyncio.Future[float]:
        self._check_open()
        self.questions += 1
        ping = asyncio.get_running_loop().create_future()
        if self.answers_pings:
            ping.set_result(0.01)
        else:
            self.pings.append(ping)
        return ping

    def pong(self) -> None:
        """The peer answers the oldest ping."""
        self.pings.pop(0).set_result(0.01)

    def _check_open(self) -> None:
        if self.send_raises is not None:
            raise self.send_raises
        if self.state is not ConnectionState.OPEN:
            raise connection_closed(1006)

    async def batches(self):
        while True:
            batch = await self._batches.get()
            if isinstance(batch, Exception):
                self._end = batch
                if batch.code in (1000, 1001):
                    return
                raise batch
            yield batch

    async def recv(self) -> Any:
        assert self._end is not None
        raise self._end

    async def ping(self) -> float:
        self.pinged += 1
        if not self.answers_pings:
            await asyncio.get_running_loop().create_future()
        return 0.001

    def stats(self) -> Stats:
        return Stats(bytes_received=self.bytes_received)

    async def close(self, code: int = 1000, reason: str = "") -> None:
        self.start_closing(code, reason)
        if not self.answers_close:
            await asyncio.get_running_loop().create_future()

    def start_closing(self, code: int = 1000, reason: str = "") -> None:
        self.closed_with = (code, reason)
        self.state = ConnectionState.LOCAL_CLOSING
        if self.answers_close:
            self.lose(code, reason, "local")

    def abort(self) -> None:
        self.aborted = True
        if self.state is ConnectionState.OPEN:
            self.lose()
        self._writable.set()


class FakeNet:
    """Answers each dial with the next of `script`: an exception, or a link when the script is empty. Hosts that are
    `down` refuse.
    """

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.times: list[float] = []  # when each dial began
        self.down: set[str] = set()
        self.script: list[Exception] = []
        self.raised: list[Exception] = []
        self.links: list[FakeLink] = []
        self.dials: list[tuple[str, dict[str, Any]]] = []
        self.hangs = False
        self.given_up = 0  # dials that were cancelled
        self._held: asyncio.Future[None] | None = None

    @property
    def link(self) -> FakeLink:
        return self.links[-1]

    def let_through(self) -> None:
        """The dial that hangs goes on."""
        self.hangs = False
        assert self._held is not None
        self._held.set_result(None)

    async def __call__(self, uri: str, /, **options: Any) -> FakeLink:
        self.dials.append((uri, options))
        self.times.append(self.clock.time())
        if self.hangs:
            self._held = asyncio.get_running_loop().create_future()
            try:
                await self._held
            except asyncio.CancelledError:
                self.given_up += 1
                raise
        host = urlsplit(uri).netloc
        if host in self.down:
            raise ConnectError.wrap(ConnectionRefusedError(111, "refused"), "tcp", host)
        if self.script:
            self.raised.append(self.script.pop(0))
            raise self.raised[-1]
        self.links.append(FakeLink())
        return self.link


@pytest.fixture
def clock() -> Clock:
    return Clock(1000.0)


@pytest.fixture
def net(clock: Clock) -> Iterator[FakeNet]:
    net = FakeNet(clock)
    yield net
    for error in net.raised:  # modules keep theirs, which would keep all that they passed through
        error.__traceback__ = error.__context__ = None


@pytest.fixture
def settle() -> Callable[[], Any]:
    return turns.settle


class Note(msgspec.Struct):
    text: str


URL = "ws://host.example/{book}"


class Line:
    """A manager with one service, on the fake clock and the fake network, and all that it told."""

    note = Note

    def __init__(
        self, clock: Any, net: Any, *, manager: Any = None, url: Any = URL, note: Any = Note, **options: Any
    ) -> None:
        """manager: options of the manager; note: the type of the messages; the others are the service's."""
        self.clock, self.net = clock, net
        self.service = Service("notes", url, sends=note, receives=note, **options)
        self.manager = ConnectionManager([self.service], clock=clock, rng=random.Random(1), dial=net, **(manager or {}))
        self.changes: list[StateChange] = []
        self.manager.subscribe(self.changes.append)

    async def start(self, book: str = "b") -> Connection[Note, Note]:
        connection = await self.manager.connect(self.service, wait=False, book=book)
        await self.clock.advance(0)
        return connection

    @property
    def path(self) -> str:
        return " ".join(change.after for change in self.changes)

    @property
    def last(self) -> StateChange:
        return self.changes[-1]


@pytest.fixture
def close_behind(clock: Clock, request: pytest.FixtureRequest) -> Callable[[ConnectionManager], None]:
    """Has a manager closed behind the test, where it must leave no timer."""
    endings = request.node.stash.setdefault(leaks.ENDINGS, [])

    def close_later(manager: ConnectionManager) -> None:
        async def end() -> None:
            await manager.close()
            assert clock.pending == 0

        endings.append(end)

    return close_later


@pytest.fixture
def make(clock: Clock, net: FakeNet, close_behind: Callable[[ConnectionManager], None]) -> Callable[..., Any]:
    """Makes a Line, or what else is given, on the fakes; its manager is closed behind the test."""

    def make_one(kind: Callable[..., Any], **options: Any) -> Any:
        made = kind(clock, net, **options)
        close_behind(made.manager)
        return made

    return make_one


@pytest.fixture
def make_line(make: Callable[..., Any]) -> Callable[..., Line]:
    """Makes a Line with the given options of its service."""
    return functools.partial(make, Line)


@pytest.fixture
def line(make_line: Callable[..., Line]) -> Line:
    return make_line()
