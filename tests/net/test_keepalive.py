"""The keepalive on a fake clock."""

import concurrent.futures

import pytest

from clocks import Clock
from trunkline import ConnectionClosedError, Settings
from trunkline.net.keepalive import BUFFERS, MAX_PENDING, SECOND_LOOK, Keepalive
from trunkline.net.progress import Look
from trunkline.net.timers import Timers


class Line:
    """What a Keepalive needs of a connection."""

    def __init__(self) -> None:
        self.pings: list[bytes] = []
        self.received = 0
        self.deaf = False
        self.left = 0  # bytes that have left
        self.queued = 0  # bytes that have not
        self.pressed = False
        self.choked = False
        self.unread = 0  # bytes that the kernel has received for us while we do not read
        self.dead = 0
        self.latencies: list[float] = []

    def send_ping(self, payload: bytes) -> None:
        self.pings.append(payload)

    def bytes_seen(self) -> int:
        return self.received

    def is_deaf(self) -> bool:
        return self.deaf

    def look(self) -> Look:
        return Look(self.received + self.unread, self.left, self.queued, self.pressed, self.choked)

    def note_latency(self, seconds: float) -> None:
        self.latencies.append(seconds)

    def declare_dead(self) -> None:
        self.dead += 1


class Bench:
    """A keepalive with its clock and its connection."""

    def __init__(self, interval: float | None = 20, timeout: float | None = 20) -> None:
        self.clock = Clock()
        self.line = Line()
        settings = Settings(ping_interval=interval, ping_timeout=timeout, clock=lambda: self.clock.now)
        self.keepalive = Keepalive(self.line, settings, Timers(self.clock))

    def ping(self, payload: bytes | None = None) -> concurrent.futures.Future:
        """Send a caller's ping, and return what the caller waits for."""
        waiter: concurrent.futures.Future = concurrent.futures.Future()
        self.keepalive.ping(payload, waiter)
        return waiter


def started(interval: float | None, timeout: float | None = 20) -> Bench:
    bench = Bench(interval, timeout)
    bench.keepalive.start()
    return bench


# When pings go out


@pytest.mark.parametrize(
    ("interval", "timeout", "period"), [(20, 20, 20), (20, 5, 20), (10, 30, 10), (20, None, 20), (0.5, 0.25, 0.5)]
)
def test_pings_go_out_at_the_interval(interval, timeout, period):
    bench = started(interval, timeout)
    bench.clock.advance_nowait(interval - 0.001)
    assert bench.line.pings == []
    bench.clock.advance_nowait(0.001)
    for count in range(1, 6):
        assert len(bench.line.pings) == count
        bench.line.received += 1
        bench.clock.advance_nowait(period)
    assert bench.line.dead == 0


def test_without_an_interval_there_are_none():
    bench = started(None)
    bench.clock.advance_nowait(10_000)
    assert (bench.line.pings, bench.line.dead, bench.clock.pending) == ([], 0, 0)


def test_every_ping_is_unpredictable():
    bench = started(1, None)
    bench.clock.advance_nowait(50)
    assert len(set(bench.line.pings)) == 50
    assert {len(payload) for payload in bench.line.pings} == {8}


# Signs of life


def test_a_silent_line_is_dead_after_interval_timeout_and_a_second_look():
    bench = started(20, 15)
    bench.clock.advance_nowait(20 + 15 + SECOND_LOOK - 0.001)
    assert bench.line.dead == 0
    bench.clock.advance_nowait(0.001)
    assert bench.line.dead == 1
    assert 20 + 15 + SECOND_LOOK <= 20 + 15 + 1, "what is promised"


def test_any_byte_is_a_sign_of_life():
    bench = started(20, 20)
    bench.clock.advance_nowait(20)
    for _ in range(10):
        bench.clock.advance_nowait(19.999)
        bench.line.received += 1
        bench.clock.advance_nowait(0.001)
    assert bench.line.dead == 0
    assert len(bench.line.pings) == 11


def test_bytes_from_before_the_ping_are_none():
    bench = Bench(20, 20)
    bench.line.received = 1000
    bench.keepalive.start()
    bench.clock.advance_nowait(19.999)
    bench.line.received += 1
    bench.clock.advance_nowait(20.001 + SECOND_LOOK)
    assert bench.line.dead == 1


def test_bytes_that_are_read_just_after_the_deadline_save_the_line():
    """The loop has stalled: the timer runs before the bytes that came meanwhile are read."""
    bench = started(20, 15)
    bench.clock.advance_nowait(20 + 15)
    bench.line.received += 1
    bench.clock.advance_nowait(SECOND_LOOK)
    assert bench.line.dead == 0
    assert len(bench.line.pings) == 2, "the second one probes"
    bench.clock.advance_nowait(5)
    assert len(bench.line.pings) == 3
    bench.clock.advance_nowait(15 + SECOND_LOOK)
    assert bench.line.dead == 1


@pytest.mark.parametrize("moment", [20, 34.999, 35.25])
def test_a_timer_that_comes_late_brings_a_probe_and_no_verdict(moment):
    """We or the whole machine slept, so silence proves nothing."""
    bench = started(20, 15)
    bench.clock.advance_nowait(moment)
    bench.clock.now += 3600
    bench.clock.advance_nowait(0)
    pings = len(bench.line.pings)
    bench.clock.advance_nowait(14.999)
    assert bench.line.dead == 0
    assert pings >= 2
    bench.clock.advance_nowait(0.001 + SECOND_LOOK)
    assert bench.line.dead == 1, "the probe's time was up"


def test_reading_that_pauses_between_deadline_and_second_look_gives_no_verdict():
    bench = started(20, 20)
    bench.clock.advance_nowait(40)
    bench.line.deaf = True
    bench.clock.advance_nowait(SECOND_LOOK)
    assert bench.line.dead == 0


@pytest.mark.parametrize(("interval", "timeout"), [(20, 20), (20, 5), (10, 30), (7, 30), (1, 0.3)])
@pytest.mark.parametrize("moment", [0.001, 0.3, 0.999], ids="{} of an interval".format)
def test_a_line_is_dead_in_time_whatever_the_interval_and_the_timeout(interval, timeout, moment):
    bench = started(interval, timeout)
    bench.clock.advance_nowait(3 * interval + moment * interval)
    bench.line.received += 1
    bench.clock.advance_nowait(interval + timeout + 1)
    assert bench.line.dead == 1


# What leaves


def upload(bench: Bench, rate: int, seconds: int) -> None:
    """Bytes leave at a steady rate for a while, and 100 kB wait."""
    bench.line.queued, bench.line.pressed = 100_000, True
    for _ in range(seconds * 10):
        bench.clock.advance_nowait(0.1)
        bench.line.left += rate // 10


def test_an_upload_that_gets_on_is_alive_though_no_byte_comes_and_dead_in_time_once_it_does_not():
    bench = started(1, 1)
    upload(bench, 500_000, 6)
    assert bench.line.dead == 0
    bench.clock.advance_nowait(1 + 1 + 1)
    assert bench.line.dead == 1


def test_what_stood_before_the_ping_may_take_its_time():
    """Everything is in the kernel, and nothing of ours is waiting."""
    bench = started(1, 1)
    bench.line.queued = 60_000
    for _ in range(60):
        bench.clock.advance_nowait(0.1)
        bench.line.left += 1000
        bench.line.queued -= 1000
    assert bench.line.dead == 0


@pytest.mark.parametrize("pressed", [False, True])
def test_a_line_that_swallows_everything_and_never_answers_is_dead(pressed):
    bench = started(1, 1)
    bench.line.queued, bench.line.pressed = 1000, pressed
    for _ in range(40):
        bench.clock.advance_nowait(0.1)
        bench.line.left += 2**20
    assert bench.line.dead == 1


def test_an_answer_gives_an_upload_new_credit():
    bench = started(1, 1)
    for _ in range(5):
        upload(bench, BUFFERS // 4, 3)
        bench.line.received += 8
    assert bench.line.dead == 0
    upload(bench, BUFFERS, 6)
    assert bench.line.dead == 1


def test_small_messages_into_a_void_are_no_sign_of_life():
    bench = started(20, 20)
    for _ in range(410):
        bench.clock.advance_nowait(0.1)
        bench.line.left += 100
    assert bench.line.dead == 1


# While we do not read


def test_a_line_that_is_not_read_is_alive_while_the_kernel_receives():
    bench = Bench(20, 20)
    bench.line.deaf = True
    bench.keepalive.start()
    for _ in range(10):
        bench.clock.advance_nowait(20)
        bench.line.unread += 10
    assert bench.line.dead == 0


def test_a_line_that_is_not_read_and_moves_neither_way_is_dead():
    bench = Bench(20, 20)
    bench.line.deaf = bench.line.choked = True
    bench.keepalive.start()
    bench.clock.advance_nowait(20 + 20 + 1)
    assert bench.line.dead == 1


@pytest.mark.parametrize("choked", [False, True])
def test_a_line_that_is_not_read_and_only_swallows_is_dead_unless_it_may_have_no_room_to_answer(choked):
    bench = Bench(20, 20)
    bench.line.deaf, bench.line.choked = True, choked
    bench.keepalive.start()
    for _ in range(205):
        bench.clock.advance_nowait(0.2)
        bench.line.left += 1
    assert bench.line.dead == (not choked)


def test_a_line_that_is_read_again_has_no_more_excuse():
    bench = Bench(20, 20)
    bench.line.deaf = bench.line.choked = True
    bench.keepalive.start()
    for _ in range(100):
        bench.clock.advance_nowait(1)
        bench.line.left += 1
    bench.line.deaf = bench.line.choked = False
    for _ in range(41):
        bench.clock.advance_nowait(1)
        bench.line.left += 1
    assert bench.line.dead == 1


def test_without_a_timeout_nothing_is_ever_dead():
    bench = started(20, None)
    bench.clock.advance_nowait(2000)
    assert (len(bench.line.pings), bench.line.dead) == (100, 0)


@pytest.mark.parametrize("moment", [0, 20, 35, 40, 45], ids="after {} s".format)
def test_once_stopped_it_is_still(moment):
    bench = started(20, 20)
    bench.clock.advance_nowait(moment)
    bench.keepalive.stop(AssertionError)
    count = len(bench.line.pings)
    dead = bench.line.dead
    bench.clock.advance_nowait(1000)
    assert (len(bench.line.pings), bench.line.dead, bench.clock.pending) == (count, dead, 0)


# Round trips


def test_a_pong_gives_the_round_trip_and_the_latency():
    bench = Bench()
    assert bench.keepalive.latency is None
    waiter = bench.ping(b"a")
    assert bench.line.pings == [b"a"]
    bench.clock.advance_nowait(0.25)
    bench.keepalive.pong(b"a")
    assert waiter.result(0) == 0.25
    assert bench.keepalive.latency == 0.25


def test_the_pong_of_the_keepalives_own_ping_gives_the_latency():
    bench = started(20, 20)
    bench.clock.advance_nowait(20)
    bench.clock.advance_nowait(0.125)
    bench.keepalive.pong(bench.line.pings[0])
    assert bench.keepalive.latency == 0.125


def test_a_pong_answers_the_pings_before_its_own():
    """RFC 6455 5.5.3: a peer may answer only the latest of several pings."""
    bench = Bench()
    waiters = []
    for payload in (b"1", b"2", b"3"):
        waiters.append(bench.ping(payload))
        bench.clock.advance_nowait(1)
    bench.keepalive.pong(b"2")
    assert [waiter.done() for waiter in waiters] == [True, True, False]
    assert [waiter.result(0) for waiter in waiters[:2]] == [3, 2]
    assert bench.keepalive.latency == 2
    bench.keepalive.pong(b"3")
    assert waiters[2].result(0) == 1


def test_pongs_that_nobody_asked_for_are_ignored():
    bench = Bench()
    bench.keepalive.pong(b"before any ping")
    waiter = bench.ping(b"asked")
    for payload in (b"", b"other", b"aske"):
        bench.keepalive.pong(payload)
    assert not waiter.done()
    bench.keepalive.pong(b"asked")
    bench.keepalive.pong(b"asked")
    assert waiter.result(0) == 0
    assert bench.keepalive.latency == 0


def test_a_ping_that_is_under_way_is_not_sent_twice():
    bench = Bench()
    first = bench.ping(b"same")
    with pytest.raises(ValueError, match="under way already"):
        bench.ping(b"same")
    assert bench.line.pings == [b"same"]
    bench.keepalive.pong(b"same")
    assert first.done()
    bench.ping(b"same")
    assert bench.line.pings == [b"same", b"same"]


def test_of_too_many_pings_the_oldest_is_given_up():
    bench = Bench()
    waiters = [bench.ping() for _ in range(MAX_PENDING)]
    assert not any(waiter.done() for waiter in waiters)
    late = bench.ping()
    with pytest.raises(TimeoutError, match=f"more than {MAX_PENDING} pings are waiting"):
        waiters[0].result(0)
    assert not waiters[1].done()
    bench.keepalive.pong(bench.line.pings[-1])
    assert all(waiter.result(0) == 0 for waiter in [*waiters[1:], late])


def test_the_pings_of_a_keepalive_without_deadline_are_bounded():
    bench = started(1, None)
    bench.clock.advance_nowait(10 * MAX_PENDING)
    assert len(bench.keepalive._pending) == MAX_PENDING


def test_a_cancelled_ping_takes_its_pong_in_silence():
    bench = Bench()
    waiter = bench.ping(b"gone")
    waiter.cancel()
    bench.keepalive.pong(b"gone")
    assert bench.keepalive.latency == 0
    cancelled = bench.ping(b"gone too")
    cancelled.cancel()
    bench.keepalive.stop(AssertionError)


def test_whoever_waits_for_a_pong_learns_of_the_end():
    bench = Bench()
    waiters = [bench.ping(), bench.ping()]
    bench.keepalive.stop(lambda: ConnectionClosedError(1011, "", "local"))
    errors = [waiter.exception(0) for waiter in waiters]
    assert all(type(error) is ConnectionClosedError for error in errors)
    assert errors[0] is not errors[1], "each is raised with a traceback of its own"
