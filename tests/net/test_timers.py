"""Delays on a fake clock: order, times, bursts, and what is left behind."""

import weakref

import pytest

from clocks import Clock
from trunkline.net.timers import A_TURN, Timers


class Item:
    """An item that records when it came due."""

    def __init__(self, clock: Clock, log: list[tuple[float, str]], name: str = "") -> None:
        self.due = 0.0
        self.before = self.behind = None
        self._clock = clock
        self._log = log
        self._name = name

    def come_due(self) -> None:
        self._log.append((self._clock.now, self._name))


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_each_comes_due_at_its_moment(clock: Clock) -> None:
    timers, log = Timers(clock), []
    for name, delay in (("a", 3), ("b", 1), ("c", 3)):
        timers.after(delay, Item(clock, log, name))
        clock.advance_nowait(0.5)
    clock.advance_nowait(10)
    assert log == [(1.5, "b"), (3.0, "a"), (4.0, "c")]


def test_one_timer_serves_a_delay_and_none_is_left(clock: Clock) -> None:
    timers, log = Timers(clock), []
    for _ in range(1000):
        timers.after(20, Item(clock, log))
        timers.after(5, Item(clock, log))
        clock.advance_nowait(0.001)
    assert clock.pending == 2
    clock.advance_nowait(30)
    assert len(log) == 2000
    assert (clock.pending, timers._queues) == (0, {})


def test_what_comes_due_at_once_is_spread_over_turns(clock: Clock) -> None:
    timers, log, turns = Timers(clock), [], []
    for _ in range(3 * A_TURN):
        timers.after(1, Item(clock, log))
    real, clock.call_later = clock.call_later, lambda delay, call: real(delay, lambda: (call(), turns.append(len(log))))
    clock.advance_nowait(1)
    assert turns == [2 * A_TURN, 3 * A_TURN]


def test_an_item_may_wait_again_from_where_it_is_called(clock: Clock) -> None:
    timers, log = Timers(clock), []

    class Again(Item):
        def come_due(self) -> None:
            super().come_due()
            if len(log) < 5:
                timers.after(2, self)

    timers.after(2, Again(clock, log))
    clock.advance_nowait(100)
    assert [moment for moment, _ in log] == [2, 4, 6, 8, 10]
    assert timers._queues == {}


def test_one_that_raises_holds_up_no_other(clock: Clock) -> None:
    timers, log = Timers(clock), []

    class Bad(Item):
        def come_due(self) -> None:
            raise LookupError

    for kind in (Item, Bad, Item):
        timers.after(1, kind(clock, log))
    with pytest.raises(LookupError):
        clock.advance_nowait(1)
    clock.advance_nowait(1)
    assert len(log) == 2


def test_one_that_is_forgotten_leaves_at_once_wherever_it_stands(clock: Clock) -> None:
    timers, log = Timers(clock), []
    items = [Item(clock, log, name) for name in "abcde"]
    for item in items:
        timers.after(3600, item)
    seen = [weakref.ref(item) for item in items]
    del item
    for index in (0, 2, 4):
        timers.forget(items[index])
        timers.forget(items[index])  # changes nothing
        items[index] = None
        assert seen[index]() is None
    clock.advance_nowait(3600)
    assert [name for _, name in log] == ["b", "d"]
    assert timers._queues == {}


def test_a_queue_whose_items_are_all_forgotten_goes_at_its_moment(clock: Clock) -> None:
    timers, log = Timers(clock), []
    item = Item(clock, log)
    timers.after(10, item)
    timers.forget(item)
    clock.advance_nowait(5)
    timers.after(10, item)
    clock.advance_nowait(5)
    assert log == []
    clock.advance_nowait(5)
    assert [moment for moment, _ in log] == [15]
    assert (clock.pending, timers._queues) == (0, {})


def test_an_item_may_forget_another_that_comes_due_with_it(clock: Clock) -> None:
    timers, log = Timers(clock), []
    last = Item(clock, log, "last")

    class Forgetful(Item):
        def come_due(self) -> None:
            super().come_due()
            timers.forget(last)

    timers.after(1, Forgetful(clock, log, "first"))
    timers.after(1, last)
    clock.advance_nowait(1)
    assert [name for _, name in log] == ["first"]
