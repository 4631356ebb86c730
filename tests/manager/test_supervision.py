"""No line dies in silence: a fault at any call and at any wait of a line's tasks and timers, and what becomes of it.

A scenario runs on the fake clock and the fake network: a line comes up with a hook, sends, receives, loses its link and
comes back. It is run again and again, with an exception raised at its first call, at its second, and so on, until a run
has fewer calls than that; then the same with the waits. After each, the line is up or has failed with that reason, the
fault was logged, and closing leaves nothing behind.
"""

import asyncio
import dis
import functools
import itertools
import sys
import types
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from wsproto.connection import ConnectionState

import trunkline.manager
from trunkline.manager.codecs import JsonCodec
from trunkline.manager.errors import NotConnected
from trunkline.manager.failure.retry import RetryPolicy
from trunkline.manager.policies import BatchPolicy, OutboxPolicy
from trunkline.manager.states import ConnectionStatus as Status
from trunkline.protocol.errors import ConnectError

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    """One loop: the clock and the network are the test's own."""
    return "asyncio"


FOLDER = str(Path(trunkline.manager.__file__).parent)
REFUSED = ConnectError.wrap(ConnectionRefusedError(111, "refused"), "tcp", "host.example:80")


class Fault(Exception):
    """What is raised where nobody expects it."""


class BaseFault(BaseException):
    """The same, not even an Exception."""


class Note(msgspec.Struct):
    text: str


class Seen:
    """What the event loop and the log were told."""

    def __init__(self, caplog: pytest.LogCaptureFixture, clock: Any) -> None:
        self.contexts: list[dict[str, Any]] = []
        self._caplog = caplog
        self.tasks = asyncio.all_tasks()  # those that were there before
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: self.contexts.append(context))
        # What a timer raises is told to the loop's exception handler, as in real loops, and not to who moves the clock.
        call_later = type(clock).call_later

        def run(callback: Callable[..., object], *args: object) -> None:
            try:
                callback(*args)
            except BaseException as error:
                self.contexts.append({"exception": error})

        clock.call_later = lambda delay, callback, *args: call_later(clock, delay, run, callback, *args)

    def has(self, fault: BaseException) -> bool:
        """Whether somebody was told of the fault."""
        for record in self._caplog.records:
            if (record.exc_info and record.exc_info[1] is fault) or str(fault) in record.getMessage():
                return True
            if isinstance(fault, asyncio.CancelledError) and "cancelled" in record.getMessage().lower():
                return True
        return any(context.get("exception") is fault for context in self.contexts)


class Calls:
    """Raises at the n-th call of a function of the manager's in a task or a callback of the line's."""

    def __init__(self, number: int, fault: BaseException) -> None:
        self.left = number
        self.where = ""
        self._fault = fault

    def __enter__(self) -> "Calls":
        sys.settrace(self._trace)
        return self

    def __exit__(self, *exc_info: object) -> None:
        sys.settrace(None)

    def _trace(self, frame: types.FrameType, event: str, arg: object) -> None:
        code = frame.f_code
        if event != "call" or not code.co_filename.startswith(FOLDER) or not is_new(frame):
            return
        if not in_timer(frame) and not in_line():
            return
        if code.co_qualname.startswith("Guard."):
            return  # it is what catches
        self.left -= 1
        if not self.left:
            self.where = f"{Path(code.co_filename).name}: {code.co_qualname}"
            raise self._fault


@functools.lru_cache
def start_of(code: types.CodeType) -> int:
    """Where in the code a call begins; a coroutine that goes on does so further down."""
    return next(step.offset for step in dis.get_instructions(code) if step.opname == "RESUME" and not step.arg)


def is_new(frame: types.FrameType) -> bool:
    """Whether a call begins, and no coroutine goes on."""
    return frame.f_lasti <= start_of(frame.f_code)


def in_line() -> bool:
    """Whether a task of the line's runs, or a callback."""
    try:
        task = asyncio.current_task()
    except RuntimeError:
        return False
    return task is None or task.get_name().startswith("trunkline")


def in_timer(frame: types.FrameType) -> bool:
    """Whether it is the fake clock that calls."""
    outer = frame.f_back
    while outer is not None:
        if outer.f_code.co_qualname == "Clock.advance":
            return True
        outer = outer.f_back
    return False


class Waits:
    """Throws into the n-th wait of the line's tasks."""

    def __init__(self, number: int, fault: BaseException) -> None:
        self.left = number
        self.where = ""
        self._fault = fault

    def __call__(self, loop: Any, coroutine: Any, **more: Any) -> asyncio.Task[Any]:
        if coroutine.cr_code.co_filename.startswith(FOLDER):
            coroutine = self._watch(coroutine)
        return asyncio.Task(coroutine, loop=loop, **more)

    async def _watch(self, inner: Coroutine[Any, Any, Any]) -> Any:
        return await self._drive(inner)  # type: ignore[misc]

    @types.coroutine
    def _drive(self, inner: Coroutine[Any, Any, Any]) -> Iterator[Any]:
        thrown: BaseException | None = None
        while True:
            try:
                future = inner.send(None) if thrown is None else inner.throw(thrown)
            except StopIteration as end:
                return end.value
            thrown = None
            try:
                yield future
            except BaseException as error:  # it is the inner's business
                thrown = error
            self.left -= 1
            if not self.left and thrown is None:
                self.where = innermost(inner)
                thrown = self._fault


def innermost(coroutine: Any) -> str:
    while getattr(coroutine, "cr_await", None) is not None and hasattr(coroutine.cr_await, "cr_code"):
        coroutine = coroutine.cr_await
    return str(coroutine.cr_code.co_qualname)


async def hook(session: Any) -> None:
    await session.send(Note("hello"))
    await session.request(Note("ask"), timeout=1)


def find_id(note: Any) -> str | None:
    return note.text if note.text.startswith("ask") else None


def answer(net: Any) -> None:
    """The peer answers all that it was sent."""
    for link in net.links:
        if link.state is ConnectionState.OPEN:
            link.deliver('{"text":"ask"}', "no json", '{"text":"news"}')


def fresh(clock: Any, net: Any, caplog: pytest.LogCaptureFixture) -> Seen:
    """Nothing is left of the run before."""
    caplog.clear()
    net.links.clear()
    net.dials.clear()
    return Seen(caplog, clock)


class Scenario:
    """A line's life, with everything in it that a line does."""

    def __init__(self, make_line: Callable[..., Any], **options: Any) -> None:
        self.line = make_line(
            note=Note,
            url="ws://host.example/",
            retry=RetryPolicy(base=0.1, cap=0.2, reset_after=0.0, attempt_timeout=5.0, probe=(0.1, 0.2)),
            outbox=OutboxPolicy(max_messages=2, confirm=0.05, max_age=1.0),
            hook_timeout=2.0,
            on_connected=hook,
            correlate=(find_id, find_id),
            **options,
        )
        self.connection: Any = None

    async def run(self) -> None:
        line, clock, net = self.line, self.line.clock, self.line.net
        net.script = [REFUSED]
        self.connection = await line.manager.connect(line.service, wait=False)
        for step in range(6):
            await clock.advance(0.3)
            if net.links:
                answer(net)
                await clock.advance(0.1)
            if step in (1, 3) and net.links:
                net.link.set_writable(False)
            senders = [asyncio.create_task(self.send(number)) for number in range(4)]
            await clock.advance(0.1)
            if net.links:
                net.link.set_writable(True)
            if step == 2:
                line.manager.network_changed()
            if step in (2, 4) and net.links and net.link.state is ConnectionState.OPEN:
                net.link.lose(1011)
            await clock.advance(0.5)
            for sender in senders:
                sender.cancel()  # nothing, unless the fault was in its own timer
            await asyncio.gather(*senders, return_exceptions=True)

    async def send(self, number: int) -> None:
        try:
            await self.connection.send(Note(str(number)), timeout=0.2)
        except (trunkline.TrunklineError, Fault):
            return

    async def finish(self) -> None:
        """Long after everything that might still be waited for."""
        for _ in range(5):
            await self.line.clock.advance(1)
            answer(self.line.net)


async def check(scenario: Scenario, fault: BaseException, where: str, seen: Seen) -> None:
    line, connection = scenario.line, scenario.connection
    in_quarantine = any(str(fault) in str(error) for error in connection.quarantine)
    await scenario.finish()
    assert connection.status in (Status.CONNECTED, Status.FAILED), where
    if connection.status is Status.FAILED:
        assert connection.last_error is not None, where  # the fault, or what followed of it
    else:
        assert connection.websocket.state is ConnectionState.OPEN, where
        delivery = connection.send_nowait(Note("at last"))
        await line.clock.advance(1)
        assert delivery.outcome == "confirmed", where
    assert seen.has(fault) or in_quarantine, where
    closing = asyncio.create_task(line.manager.close())
    await line.clock.advance(3)
    assert closing.done(), where
    await closing
    assert connection.status is Status.CLOSED, where
    assert all(link.state is ConnectionState.CLOSED for link in line.net.links), where
    assert asyncio.all_tasks() == seen.tasks, where
    assert line.clock.pending == 0, where


@pytest.mark.parametrize(("make_fault", "step"), [(Fault, 1), (BaseFault, 13), (asyncio.CancelledError, 13)])
async def test_a_fault_at_each_call(
    make_line: Callable[..., Any], clock: Any, net: Any, caplog: pytest.LogCaptureFixture, make_fault: Any, step: int
) -> None:
    """Each, and with what is no Exception each thirteenth: the ways out are the same."""
    for number in itertools.count(1, step):
        fault = make_fault(f"number {number}")
        seen = fresh(clock, net, caplog)
        scenario = Scenario(make_line)
        with Calls(number, fault) as calls:
            await scenario.run()
        if calls.left > 0:
            break
        await check(scenario, fault, f"{number}: {calls.where}", seen)
    await scenario.line.manager.close()
    assert number > 100


@pytest.mark.parametrize("make_fault", [Fault, BaseFault, asyncio.CancelledError])
async def test_a_fault_at_each_wait(
    make_line: Callable[..., Any], clock: Any, net: Any, caplog: pytest.LogCaptureFixture, make_fault: Any
) -> None:
    loop = asyncio.get_running_loop()
    for number in itertools.count(1):
        fault = make_fault(f"number {number}")
        seen = fresh(clock, net, caplog)
        scenario = Scenario(make_line)
        waits = Waits(number, fault)
        loop.set_task_factory(waits)
        try:
            await scenario.run()
        finally:
            loop.set_task_factory(None)
        if waits.left > 0:
            break
        await check(scenario, fault, f"{number}: {waits.where}", seen)
    await scenario.line.manager.close()
    assert number > 10


# What user code does


class Stopped(BaseException):
    """What a program may raise to stop something of its own."""


@pytest.mark.parametrize("kind", [KeyError, Stopped, asyncio.CancelledError])
async def test_callbacks_that_raise_harm_nobody(
    make_line: Callable[..., Any], caplog: pytest.LogCaptureFixture, kind: type[BaseException]
) -> None:
    def fail(news: object) -> None:
        raise kind("boom")

    line = make_line(on_undelivered=fail, outbox=OutboxPolicy(confirm=10))
    line.manager.subscribe(fail)
    line.manager.subscribe_undelivered(fail)
    connection = await line.start()
    await connection.send(line.note("a"))
    line.net.link.lose()
    await line.clock.advance(10)
    assert connection.status is Status.CONNECTED
    assert line.path == "connecting connected waiting connecting connected"
    assert connection.health().faults == 5 + 1 + 1  # changes, and both listeners of what was not delivered
    assert caplog.text.count("a subscriber of connection events raised") >= 6
    assert caplog.text.count("a service's on_undelivered raised") == 1
    (report,) = line.manager.service_health()
    assert report.counters["faults"] == 7


async def test_a_hook_that_is_cancelled_by_what_it_waits_for(make_line: Callable[..., Any]) -> None:
    async def wait(session: Any) -> None:
        waited = asyncio.get_running_loop().create_future()
        if len(line.net.links) == 1:
            waited.cancel()
            await waited

    line = make_line(on_connected=wait)
    connection = await line.start()
    await line.clock.advance(10)
    assert connection.status is Status.CONNECTED
    assert "on_connected was cancelled" in line.changes[1].issue.message


async def test_credentials_that_are_cancelled_by_what_they_wait_for(make_line: Callable[..., Any]) -> None:
    async def ask() -> dict[str, str]:
        asked.append(1)
        waited = asyncio.get_running_loop().create_future()
        if len(asked) == 1:
            waited.cancel()
            await waited
        return {}

    asked: list[int] = []
    line = make_line(headers=ask)
    connection = await line.start()
    await line.clock.advance(10)
    assert connection.status is Status.CONNECTED
    assert line.path == "connecting waiting connecting connected"


async def test_a_hook_that_will_not_be_cancelled_is_left_alone(make_line: Callable[..., Any]) -> None:
    """It keeps neither the line nor the manager from going on."""
    released = asyncio.Event()

    async def cling(session: Any) -> None:
        while not released.is_set():
            try:
                await released.wait()
            except asyncio.CancelledError:
                continue

    line = make_line(on_connected=cling, hook_timeout=2.0)
    connection = await line.start()
    closing = asyncio.create_task(connection.close())
    await line.clock.advance(3)
    assert closing.done()
    assert connection.status is Status.CLOSED
    released.set()


async def test_a_codec_that_raises_what_it_likes(make_line: Callable[..., Any]) -> None:
    class Wild(JsonCodec[Any, Any]):
        def decode(self, payload: Any) -> Any:
            raise Stopped("boom")

        def split(self, payload: Any) -> Any:
            raise Stopped("boom")

    line = make_line(codec=Wild)
    connection = await line.start()
    line.net.link.deliver("a")
    await line.clock.advance(1)
    assert (connection.status, connection.health().undecodable) == (Status.CONNECTED, 1)
    await line.manager.close()

    line = make_line(codec=Wild, batch=BatchPolicy(envelope=True))
    connection = await line.start()
    line.net.link.deliver("a")
    await line.clock.advance(1)
    assert (connection.status, connection.health().undecodable) == (Status.CONNECTED, 1)


async def test_a_task_that_is_cancelled_from_outside(make_line: Callable[..., Any]) -> None:
    line = make_line()
    connection = await line.start()
    reader = asyncio.create_task(anext(connection))
    for task in asyncio.all_tasks():
        if task.get_name().startswith("trunkline"):
            task.cancel()
    await line.clock.advance(1)
    assert connection.status is Status.FAILED
    assert "its task was cancelled" in connection.last_error.message
    assert reader.done()
    with pytest.raises(NotConnected, match="its task was cancelled"):
        await reader
    assert line.net.link.aborted
    connection.reconnect()
    await line.clock.advance(1)
    assert connection.status is Status.CONNECTED


@pytest.mark.parametrize("where", ["hook", "subscriber"])
def test_a_program_that_exits_in_a_callback_can_still_close(
    make_line: Callable[..., Any], clock: Any, net: Any, where: str
) -> None:
    """SystemExit goes through the event loop; the line has failed by then, and its link is dropped."""

    def leave(news: object) -> None:
        if connection is not None and where == "subscriber" and connection.generation == 2 and not left:
            left.append(True)
            raise SystemExit(3)

    async def hook(session: Any) -> None:
        if where == "hook" and not session.is_first and not left:
            left.append(True)
            raise SystemExit(3)

    async def begin() -> None:
        nonlocal connection, line
        line = make_line(on_connected=hook)
        line.manager.subscribe(leave)
        connection = await line.start()
        net.link.lose()
        await clock.advance(10)

    async def end() -> None:
        await clock.advance(10)
        statuses.append(connection.status)
        await line.manager.close()
        rest = asyncio.all_tasks() - {asyncio.current_task()}  # what the exit has left of `begin`
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)

    left: list[bool] = []
    connection: Any = None
    line: Any = None
    statuses: list[Status] = []
    loop = asyncio.new_event_loop()
    try:
        with pytest.raises(SystemExit):
            loop.run_until_complete(begin())
        loop.run_until_complete(end())
    finally:
        loop.close()
    assert statuses in ([Status.FAILED], [Status.CONNECTED])
    assert connection.status is Status.CLOSED
    assert all(link.state is ConnectionState.CLOSED for link in net.links)
