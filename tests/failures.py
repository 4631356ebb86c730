"""A failure over a real socket: what is seen of it, whether it can be mended, and the retries that follow."""

import asyncio
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from trunkline.manager.events import StateChange
from trunkline.manager.manager import ConnectionManager
from trunkline.manager.service import Service
from trunkline.manager.states import ConnectionStatus as Status
from trunkline.protocol.categories import ErrorCategory as C

LIMIT = 20  # seconds, after which a test that waits for what never comes fails

# Where the first retry comes from, in seconds.
Range: TypeAlias = tuple[float, float]
JITTER = (0.0, 0.5)
FAST = (0.0, 0.05)
PROBE = (60.0, 300.0)
NEVER = None

Options: TypeAlias = dict[str, Any]


@dataclass
class Row:
    """A failure. steps: what the server does. first: the pause before the first retry, NEVER for none.

    tries: retries until it fails for good, None for no end. options: the service's.
    """

    name: str
    steps: list[Any]
    category: C
    recoverable: bool
    code: int | None
    first: Range | None
    tries: int | None = None
    phase: str = "handshake"
    initiator: str | None = None
    options: Options = field(default_factory=dict)


class Watched:
    """A connection to `url`, on a clock that the test moves, and what it tells."""

    def __init__(self, url: str, clock: Any, options: Options) -> None:
        self.clock = clock
        self.changes: list[StateChange] = []
        self._told = asyncio.Event()
        self.service = Service("row", url, sends=str, receives=str, **options)
        self.manager = ConnectionManager([self.service], clock=clock)
        self.manager.subscribe(self._take)

    def _take(self, change: StateChange) -> None:
        self.changes.append(change)
        self._told.set()

    async def wait(self, *statuses: Status) -> StateChange:
        """The next change to one of these."""
        while True:
            while self.changes:
                change = self.changes.pop(0)
                if change.after in statuses:
                    return change
            self._told.clear()
            await self._told.wait()

    async def wait_judged(self) -> StateChange:
        """The next change that says how an attempt or a link ended."""
        return await self.wait(Status.WAITING, Status.SUSPENDED, Status.FAILED, Status.CLOSED)


async def check(row: Row, url: str, clock: Any, **options: Any) -> StateChange:
    """Sees the failure, and the retries that follow; gives the first change that told of it."""
    watched = Watched(url, clock, {**row.options, **options})
    async with asyncio.timeout(LIMIT), watched.manager:
        await watched.manager.connect(watched.service, wait=False)
        first = change = await watched.wait_judged()
        check_issue(row, first)
        for _ in range(row.tries if row.tries is not None else 2 if row.first else 0):
            assert change.delay is not None
            await clock.advance(change.delay * 0.99)
            assert not watched.changes
            await clock.advance(change.delay * 0.01 + 1e-6)
            await watched.wait(Status.CONNECTING)
            change = await watched.wait_judged()
        if row.tries is not None:
            assert change.after is Status.FAILED
    assert clock.pending == 0
    return first


def check_issue(row: Row, change: StateChange) -> None:
    issue = change.issue
    assert issue is not None
    assert (issue.category, issue.recoverable) == (row.category, row.recoverable)
    assert (issue.code, issue.phase, issue.initiator) == (row.code, row.phase, row.initiator)
    if row.first is None:
        assert change.delay is None
        assert change.after is (Status.CLOSED if row.category is C.NORMAL_CLOSURE else Status.FAILED)
        return
    assert change.delay is not None
    assert row.first[0] <= change.delay <= row.first[1]
    assert change.after is (Status.SUSPENDED if row.first == PROBE else Status.WAITING)
    assert change.explain().startswith(("retry 1 in ", "suspended, next probe in "))
