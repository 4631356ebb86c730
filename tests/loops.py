"""Event loops that run at the same time, each in a thread of its own, and what looks at them from outside meanwhile."""

import asyncio
import concurrent.futures
import contextlib
import sys
import sysconfig
import threading
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, TypeVar

try:
    import uvloop
except ImportError:  # Windows has none, nor has ThreadSanitizer's environment: it could not look into libuv
    uvloop = None

Gives = TypeVar("Gives")
FACTORIES: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {"asyncio": asyncio.new_event_loop}
if uvloop is not None:
    FACTORIES["uvloop"] = uvloop.new_event_loop
LIMIT = 120  # seconds that anything here may take; it takes a few


class RunningLoop:
    """An event loop, and the thread that runs it."""

    def __init__(self, factory: Callable[[], asyncio.AbstractEventLoop]) -> None:
        self.loop = factory()
        self.errors: list[object] = []  # what nobody caught in it
        self.loop.set_exception_handler(lambda loop, context: self.errors.append(context))
        self._thread = threading.Thread(target=self.loop.run_forever)
        self._thread.start()

    def begin(self, work: Coroutine[Any, Any, Gives]) -> concurrent.futures.Future[Gives]:
        """Start it in the loop."""
        return asyncio.run_coroutine_threadsafe(work, self.loop)

    def do(self, work: Coroutine[Any, Any, Gives]) -> Gives:
        """Run it in the loop, and wait for what it gives."""
        return self.begin(work).result(LIMIT)

    def end(self) -> None:
        """Stop the loop and its thread."""
        self.do(_let_all_go(self.loop))
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(LIMIT)
        self.loop.close()


async def _let_all_go(loop: asyncio.AbstractEventLoop) -> None:
    for _ in range(20):
        await asyncio.sleep(0)  # what was aborted last goes in these turns
    await loop.shutdown_default_executor()


@contextlib.contextmanager
def running(count: int, factory: Callable[[], asyncio.AbstractEventLoop]) -> Iterator[list[RunningLoop]]:
    """So many loops. Raises at the end if something in one of them raised, and nobody caught it."""
    made = [RunningLoop(factory) for _ in range(count)]
    try:
        yield made
    finally:
        for one in made:
            one.end()
    assert [one.errors for one in made] == [[]] * count


@contextlib.contextmanager
def meanwhile(*looks: Callable[[], object]) -> Iterator[None]:
    """Call each again and again in a thread of its own, from before the body begins; raise what one of them raised."""
    over = threading.Event()
    begun = threading.Barrier(len(looks) + 1)

    def look(call: Callable[[], object]) -> None:
        try:
            call()
        finally:
            begun.wait(LIMIT)
        while not over.is_set():
            call()

    with concurrent.futures.ThreadPoolExecutor(len(looks)) as pool:
        looking = [pool.submit(look, call) for call in looks]
        begun.wait(LIMIT)
        try:
            yield
        finally:
            over.set()
        for one in looking:
            one.result(LIMIT)


@contextlib.contextmanager
def hastily() -> Iterator[None]:
    """Threads take turns as often as the interpreter lets them, if it has a lock that they take turns with."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


def has_lock() -> bool:
    """Whether threads of this process take turns: whether there is a GIL, and it is on."""
    return getattr(sys, "_is_gil_enabled", lambda: True)()


def is_free_threaded() -> bool:
    """Whether this Python was built to run without the GIL."""
    return bool(sysconfig.get_config_var("Py_GIL_DISABLED"))
