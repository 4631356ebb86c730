"""Windows, shares and ages, on a clock that moves by hand."""

from typing import Any

import pytest

from trunkline.manager.health import ConnectionHealth, Meter, Times
from trunkline.manager.states import ConnectionStatus

pytestmark = pytest.mark.anyio


async def test_a_meter_that_has_seen_nothing(clock: Any) -> None:
    health = Meter(clock).report("id", "service", ConnectionStatus.CONNECTING, 0)
    assert (health.latency, health.last_seen, health.uptime, health.availability) == (None, None, 0.0, 0.0)
    assert (health.messages_per_second, health.error_rate, health.reconnects) == (0.0, 0.0, 0)


async def test_availability_counts_from_the_first_link(clock: Any) -> None:
    meter = Meter(clock)
    await clock.advance(100)
    assert meter.mark_up() is None
    assert meter.times.availability() == 1.0
    await clock.advance(30)
    meter.mark_down()
    await clock.advance(10)
    assert meter.times.availability() == 0.75
    assert meter.mark_up() == 10
    await clock.advance(60)
    assert meter.times.availability() == 0.9
    assert meter.times.uptime() == 60


def report(meter: Meter) -> ConnectionHealth:
    return meter.report("id", "service", ConnectionStatus.CONNECTED, 0)


async def test_latencies_outlive_their_link(clock: Any) -> None:
    meter = Meter(clock)
    meter.mark_up()
    for milliseconds in range(1, 101):
        meter.record_latency(milliseconds / 1000)
    meter.mark_down()
    meter.mark_up()
    health = report(meter)
    assert health.latency == 0.1
    assert (health.latency_p50, health.latency_p90, health.latency_p99) == pytest.approx(
        (0.050, 0.090, 0.099), rel=0.01
    )
    assert 0.05 < health.latency_average < 0.1
    assert health.jitter == pytest.approx(0.001, rel=0.01)


async def test_rates_each_way(clock: Any) -> None:
    meter = Meter(clock)
    for _ in range(100):
        meter.count_received(3)
        meter.count_sent()
        await clock.advance(0.1)
    health = report(meter)
    assert health.received_per_second == pytest.approx((30, 30, 30), rel=0.12)
    assert health.sent_per_second.over_10 == pytest.approx(10, rel=0.12)
    assert health.messages_per_second == pytest.approx(40, rel=0.12)
    assert (health.messages_received, health.messages_sent) == (300, 100)
    await clock.advance(61)
    assert report(meter).received_per_second == (0, 0, 0)


async def test_bytes_are_counted_across_links(clock: Any) -> None:
    meter = Meter(clock)
    meter.mark_up()
    meter.count_bytes(1000, 100)
    meter.count_bytes(1500, 100)
    meter.mark_down()
    meter.mark_up()
    meter.count_bytes(10, 20)
    health = report(meter)
    assert (health.bytes_received, health.bytes_sent) == (1510, 120)
    assert health.bytes_received_per_second.over_60 > 0


async def test_errors_are_a_share_of_what_happened(clock: Any) -> None:
    meter = Meter(clock)
    meter.count_received(8)
    meter.count_undecodable()
    meter.count_error()
    health = report(meter)
    assert (health.errors, health.undecodable, health.error_rate) == (2, 1, 0.2)
    await clock.advance(11)
    assert (report(meter).errors, report(meter).error_rate) == (2, 0.0)


async def test_silence_grows_suspicious_and_any_message_ends_it(clock: Any) -> None:
    meter = Meter(clock)
    meter.mark_up()
    for _ in range(20):
        await clock.advance(20)
        meter.record_latency(0.01)
    await clock.advance(10)
    assert report(meter).phi < 0.1
    await clock.advance(20)
    assert report(meter).phi > 1
    assert report(meter).last_seen == 30
    meter.count_received(1)
    assert report(meter).phi < 0.1
    assert report(meter).last_seen == 0


async def test_a_new_link_is_under_no_suspicion(clock: Any) -> None:
    meter = Meter(clock)
    meter.mark_up()
    for _ in range(5):
        await clock.advance(1)
        meter.record_latency(0.01)
    await clock.advance(60)
    meter.mark_down()
    assert report(meter).phi == 0.0
    meter.mark_up()
    assert report(meter).phi == 0.0


def test_a_link_may_go_while_its_uptime_is_asked_for_in_another_thread() -> None:
    class Clock:
        """The link goes while it is read."""

        def time(self) -> float:
            times.up_since = None
            return 7.0

    times = Times(Clock())  # type: ignore[arg-type]
    times.up_since = 5.0
    assert times.uptime() == 2.0
