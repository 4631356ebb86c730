"""Nothing is left behind: after a test no task, no descriptor and no object of trunkline's connections is alive.

A plugin of pytest for the folders in CHECKED, so no test can forget it. Tasks are counted before the loop of a test
ends, which would cancel them; objects and descriptors when all fixtures of the test are gone. What fixtures of a wider
scope hold is not counted, nor is a test that failed: its traceback holds what it had.

What there was before a module's first test is frozen, so that a collection looks at what a test made, and no more.
Objects that refer to nothing (batches, masking keys, histograms) are not seen by Python's collector: whoever owns one
is, and tests/net/test_growth.py and `benchmarks.soak` hold the number of allocated blocks flat.
"""

import asyncio
import functools
import gc
import importlib
import inspect
import pkgutil
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Generator
from typing import Any

import pytest

import trunkline
from loops import uvloop
from trunkline.manager.lifecycle import Lifecycle
from trunkline.net import loops
from trunkline.testing.flow import Flow
from turns import open_files, settle

FOLDERS = "frames fuzz hostile interop manager metrics native net observe promises protocol testing"
CHECKED = tuple(f"tests/{folder}/" for folder in FOLDERS.split())  # the others test other processes, or files
HOLDERS = {"program"}  # fixtures that end what runs in a test when they end themselves
TRACKED = 1 << 14  # Py_TPFLAGS_HAVE_GC: the collector knows objects of the type
COMPILED = [
    importlib.import_module(f"trunkline.{module.name}")
    for module in pkgutil.iter_modules(trunkline.__path__)
    if module.name.startswith("_") and module.name != "__main__"
]
KINDS = (
    *(
        kind
        for module in COMPILED
        for kind in vars(module).values()
        if isinstance(kind, type) and kind.__module__ == module.__name__ and kind.__flags__ & TRACKED
    ),
    Flow,
    Lifecycle,
    trunkline.Connection,
    trunkline.ConnectionManager,
    trunkline.Server,
)
TRIES = 20  # collections, and waits of a growing time between them, before something counts as left
BEFORE = pytest.StashKey[tuple[dict[str, str], Counter[str]]]()
FAILED = pytest.StashKey[bool]()
FOUND = pytest.StashKey[list[str]]()  # what was left in the test's loop
ENDINGS = pytest.StashKey[list[Callable[[], Awaitable[object]]]]()  # by which fixtures end what a test made with them

is_kind: dict[type, bool] = {}
modules: set[str] = set()  # those whose first test has begun


def alive() -> Counter[str]:
    """How many objects of each kind there are."""
    count: Counter[str] = Counter()
    for one in gc.get_objects():
        kind = type(one)
        known = is_kind.get(kind)
        if known is None:
            known = is_kind[kind] = issubclass(kind, KINDS)
        if known:
            count[f"{kind.__module__}.{kind.__qualname__}"] += 1
    return count


def forget_closed_loops() -> None:
    """What the connections of a loop shared is kept until the next loop asks for its own: as if one had asked."""
    for loop in [loop for loop in loops._states if loop.is_closed()]:
        del loops._states[loop]


def left(files: dict[str, str], objects: Counter[str]) -> list[str]:
    """What there is now and was not before."""
    more = alive() - objects
    found = [f"{count} of {name}" for name, count in sorted(more.items())]
    return found + [f"descriptor {name}: {what}" for name, what in open_files().items() if name not in files]


async def tasks_left(before: set[asyncio.Task[Any]]) -> list[str]:
    """The tasks that do not end by themselves soon."""
    for attempt in range(TRIES):
        for _ in range(20):
            await settle(5)  # what was aborted last goes in these turns
            there = asyncio.all_tasks() - before
            if not there:
                return []
        await asyncio.sleep(0.001 * attempt)
    return [f"task {task.get_coro()!r}" for task in there]


def watched(
    test: Callable[..., Awaitable[object]], endings: list[Callable[[], Awaitable[object]]], found: list[str]
) -> Callable[..., Awaitable[None]]:
    """The test and its endings, and behind them a look at the tasks that they leave in its loop."""

    @functools.wraps(test)
    async def run(**arguments: object) -> None:
        before = asyncio.all_tasks()
        await test(**arguments)
        async with asyncio.timeout(20):
            while endings:
                await endings.pop()()
        found.extend(await tasks_left(before))

    return run


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, object, object]:
    test = pyfuncitem.obj
    is_checked = pyfuncitem.nodeid.startswith(CHECKED) and HOLDERS.isdisjoint(pyfuncitem.fixturenames)
    if inspect.iscoroutinefunction(test) and is_checked:
        found = pyfuncitem.stash[FOUND] = []
        pyfuncitem.obj = watched(test, pyfuncitem.stash.get(ENDINGS, []), found)
    try:
        return (yield)
    finally:
        pyfuncitem.obj = test
        pyfuncitem.stash.get(ENDINGS, []).clear()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.failed:
        item.stash[FAILED] = True
    return report


def pytest_sessionstart() -> None:
    if uvloop is not None:
        uvloop.new_event_loop().close()  # the first loop of a process opens a pipe that libuv keeps


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None, None, None]:
    module = item.nodeid.partition("::")[0]
    if module.startswith(CHECKED) and module not in modules:
        modules.add(module)
        forget_closed_loops()
        gc.collect()
        gc.freeze()
    return (yield)


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish() -> None:
    gc.unfreeze()  # others look for referrers at the end


@pytest.fixture(autouse=True)
def _before(request: pytest.FixtureRequest) -> None:
    """Counts what there is when the fixtures of a wider scope are made, and the test's own are not."""
    if request.node.nodeid.startswith(CHECKED):
        request.node.stash[BEFORE] = open_files(), alive()


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None, None, None]:
    """Around all others: what fixtures and captured logs held is let go."""
    yield
    before = item.stash.get(BEFORE, None)
    if before is None or item.stash.get(FAILED, False):
        return
    if isinstance(item, pytest.Function):
        item.funcargs.clear()  # fixtures that pytest lets go in a moment
    found = item.stash.get(FOUND, [])
    for attempt in range(TRIES):
        forget_closed_loops()
        gc.collect()
        there = left(*before)
        if not there:
            break
        time.sleep(0.001 * attempt)
    if found + there:
        raise AssertionError("the test leaves behind: " + "; ".join(found + there))
