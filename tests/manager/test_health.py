"""Windows, shares and ages, on a clock that moves by hand."""

from typing import Any

import pytest

from trunkline.manager.health import Meter, Window
from trunkline.manager.inbox import QUARANTINE_MESSAGES, QUARANTINE_SIZE, Quarantine
from trunkline.manager.states import ConnectionStatus
from trunkline.protocol.errors import DecodeError

pytestmark = pytest.mark.anyio


async def test_a_window_forgets(clock: Any) -> None:
    window = Window(clock)
    await clock.advance(20)
    window.add(50)
    assert (window.total(), window.rate()) == (50, 5.0)
    await clock.advance(9)
    window.add(10)
    assert window.total() == 60
    await clock.advance(1)
    assert window.total() == 10
    await clock.advance(10)
    assert (window.total(), window.rate()) == (0, 0.0)


async def test_a_young_window_counts_over_its_age(clock: Any) -> None:
    window = Window(clock)
    await clock.advance(2)
    window.add(10)
    assert window.rate() == 5.0


async def test_a_window_holds_little_however_much_happens(clock: Any) -> None:
    window = Window(clock)
    for _ in range(1000):
        window.add()
        await clock.advance(0.1)
    assert len(window._slots) <= 11


async def test_a_meter_that_has_seen_nothing(clock: Any) -> None:
    health = Meter(clock).report("id", "service", ConnectionStatus.CONNECTING, 0)
    assert (health.latency, health.last_seen, health.uptime, health.availability) == (None, None, 0.0, 0.0)
    assert (health.messages_per_second, health.error_rate, health.reconnects) == (0.0, 0.0, 0)


async def test_availability_counts_from_the_first_link(clock: Any) -> None:
    meter = Meter(clock)
    await clock.advance(100)
    assert meter.mark_up() is None
    assert meter.availability() == 1.0
    await clock.advance(30)
    meter.mark_down()
    await clock.advance(10)
    assert meter.availability() == 0.75
    assert meter.mark_up() == 10
    await clock.advance(60)
    assert meter.availability() == 0.9
    assert meter.uptime() == 60


async def test_a_latency_outlives_its_link(clock: Any) -> None:
    meter = Meter(clock)
    meter.note_latency(0.02)
    meter.note_latency(None)
    assert meter.latency == 0.02


@pytest.mark.parametrize(
    ("payloads", "kept"),
    [
        ([b"x"] * 100, QUARANTINE_MESSAGES),
        ([b"x" * (QUARANTINE_SIZE // 4)] * 100, 4),
        ([b"x", b"x" * (QUARANTINE_SIZE + 1)], 0),
    ],
)
def test_the_quarantine_is_small(payloads: list[bytes], kept: int) -> None:
    quarantine = Quarantine()
    for payload in payloads:
        quarantine.put(DecodeError("does not fit", payload))
    assert (len(quarantine.contents()), quarantine.count) == (kept, len(payloads))


def test_the_quarantine_holds_on_to_nothing_but_the_payloads() -> None:
    quarantine = Quarantine()
    try:
        try:
            raise KeyError("cause")
        except KeyError as cause:
            raise DecodeError("does not fit", b"x") from cause
    except DecodeError as error:
        quarantine.put(error)
    (kept,) = quarantine.contents()
    assert isinstance(kept.__cause__, KeyError)
    assert kept.__traceback__ is kept.__cause__.__traceback__ is None
