"""One managed line through its life: what it tells, what it carries, what it leaves behind."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from trunkline.manager.errors import NotConnected
from trunkline.manager.failure.retry import RetryPolicy
from trunkline.manager.failure.rules import Rule
from trunkline.manager.states import ConnectionStatus as Status
from trunkline.protocol.categories import ErrorCategory
from trunkline.protocol.errors import ConnectError, HandshakeError

pytestmark = pytest.mark.anyio

REFUSED = ConnectError.wrap(ConnectionRefusedError(111, "refused"), "tcp", "host.example:80")

MakeLine = Callable[..., Any]


# Its life


async def test_it_dials_and_is_up(line: Any) -> None:
    connection = await line.start()
    assert line.net.dials == [("ws://host.example/b", {"additional_headers": {}})]
    assert line.path == "connecting connected"
    assert (connection.status, connection.generation, connection.attempts) == (Status.CONNECTED, 1, 0)
    assert connection.websocket is line.net.link
    assert connection.metadata == {"book": "b"}


async def test_a_lost_link_is_replaced(line: Any) -> None:
    connection = await line.start()
    first = line.net.link
    first.lose()
    await line.clock.advance(5)
    assert line.path == "connecting connected waiting connecting connected"
    assert connection.generation == 2
    assert connection.websocket is line.net.link is not first
    assert first.aborted
    assert connection.last_error is not None
    assert connection.last_error.category is ErrorCategory.NETWORK_ERROR


async def test_every_wait_is_explained(line: Any) -> None:
    line.net.script = [REFUSED, HandshakeError(503, [("Retry-After", "4")])]
    await line.start()
    assert line.last.after is Status.WAITING
    assert line.last.issue is not None
    assert line.last.issue.category is ErrorCategory.CONNECTION_REFUSED
    assert line.last.explain().endswith(" s: cannot connect to host.example:80: Connection refused")
    await line.clock.advance(0.5)
    assert line.last.delay is not None
    assert 4 <= line.last.delay <= 5
    assert line.last.explain() == f"retry 2 in {line.last.delay:.1f} s: 503 with Retry-After 4"
    await line.clock.advance(5)
    assert [change.explain() for change in line.changes[-2:]] == ["retry 2", "up"]


async def test_how_long_it_was_down(line: Any) -> None:
    await line.start()
    line.net.link.lose()
    line.net.script = [REFUSED]
    await line.clock.advance(20)
    assert line.last.after is Status.CONNECTED
    waits = sum(change.delay for change in line.changes if change.delay is not None)
    assert line.last.downtime == pytest.approx(waits)
    assert line.last.explain() == f"up again after {waits:.1f} s"


async def test_what_cannot_be_mended_fails_it(line: Any) -> None:
    line.net.script = [HandshakeError(403)]
    connection = await line.start()
    assert line.path == "connecting failed"
    assert line.last.explain() == "given up: the server answered 403 Forbidden, expected 101 (RFC 6455 4.1)"
    with pytest.raises(NotConnected, match=r"notes\?book=b is failed: the server answered 403") as caught:
        await connection.send(line.note("x"))
    assert caught.value.category is ErrorCategory.FORBIDDEN
    assert isinstance(caught.value.__cause__, HandshakeError)
    with pytest.raises(NotConnected):
        await anext(connection)
    with pytest.raises(NotConnected):
        await connection.wait_connected()


async def test_a_failed_line_starts_over_when_asked(line: Any) -> None:
    line.net.script = [HandshakeError(403)]
    connection = await line.start()
    assert await line.manager.connect(line.service, book="b") is connection
    assert line.path == "connecting failed connecting connected"


async def test_the_peer_may_end_it(line: Any) -> None:
    connection = await line.start()
    line.net.link.deliver('{"text":"last words"}')
    line.net.link.lose(1000, "done", "remote")
    assert [note.text async for note in connection] == ["last words"]
    assert connection.status is Status.CLOSED
    assert line.last.explain() == "ended by the peer: received 1000 (normal closure) done"
    assert line.manager.get(connection.id) is None


async def test_a_missing_service_is_probed_from_suspension(line: Any) -> None:
    line.net.script = [HandshakeError(404)]
    connection = await line.start()
    assert connection.status is Status.SUSPENDED
    assert line.last.explain().startswith("suspended, next probe in ")
    await line.clock.advance(59)
    assert len(line.net.dials) == 1
    await line.clock.advance(241)
    assert connection.status is Status.CONNECTED


async def test_a_fault_of_the_program_is_logged_and_not_repeated(line: Any, caplog: pytest.LogCaptureFixture) -> None:
    line.net.script = [KeyError("oops")]
    connection = await line.start()
    assert connection.status is Status.FAILED
    assert connection.last_error is not None
    assert connection.last_error.message == "KeyError: 'oops'"
    assert "KeyError('oops')" in caplog.text


# Credentials


async def test_headers_are_asked_for_at_each_attempt(make_line: MakeLine, clock: Any, net: Any) -> None:
    tokens = iter(["one", "two"])

    async def ask() -> dict[str, str]:
        return {"Authorization": next(tokens)}

    line = make_line(headers=ask)
    net.script = [HandshakeError(401)]
    connection = await line.start()
    await clock.advance(1)
    assert [options["additional_headers"]["Authorization"] for _, options in net.dials] == ["one", "two"]
    assert connection.status is Status.CONNECTED


async def test_a_service_has_its_own_rules(make_line: MakeLine, net: Any) -> None:
    rules = {4001: Rule(ErrorCategory.FORBIDDEN, meaning="banned"), 404: Rule(ErrorCategory.SERVICE_UNAVAILABLE)}
    line = make_line(rules=rules)
    net.script = [HandshakeError(404)]
    connection = await line.start()
    assert connection.status is Status.WAITING
    await line.clock.advance(1)
    net.link.lose(4001, "rude", "remote")
    await line.clock.advance(0)
    assert (connection.status, line.last.explain()) == (
        Status.FAILED,
        "given up: banned: received 4001 (private use) rude",
    )


async def test_without_compression_once_a_peer_would_have_none(make_line: MakeLine, net: Any) -> None:
    line = make_line(compression="deflate")
    await line.start()
    net.link.lose(1010, "", "local")
    await line.clock.advance(1)
    assert [options["compression"] for _, options in net.dials] == ["deflate", None]


async def test_options_reach_the_dial(make_line: MakeLine, clock: Any, net: Any) -> None:
    line = make_line(headers={"A": "b"}, max_size=100, ping_interval=None)
    await line.start()
    assert net.dials[0][1] == {"additional_headers": {"A": "b"}, "max_size": 100, "ping_interval": None}


# Closing


async def test_closing_shakes_hands(line: Any) -> None:
    connection = await line.start()
    await connection.close(1001, "bye")
    assert line.net.link.closed_with == (1001, "bye")
    assert line.path == "connecting connected closing closed"
    assert line.last.explain() == "as asked"
    assert [note async for note in connection] == []
    await connection.close()


async def test_two_may_close_at_once(line: Any) -> None:
    connection = await line.start()
    await asyncio.gather(connection.close(), connection.close())
    assert line.path == "connecting connected closing closed"


Preparation = Callable[[Any], None]


def hang(line: Any) -> None:
    line.net.hangs = True


def refuse(line: Any) -> None:
    line.net.script = [REFUSED]


def forbid(line: Any) -> None:
    line.net.script = [HandshakeError(403)]


def not_found(line: Any) -> None:
    line.net.script = [HandshakeError(404)]


def accept(line: Any) -> None:
    pass


@pytest.mark.parametrize(
    ("prepare", "status"),
    [
        (hang, Status.CONNECTING),
        (refuse, Status.WAITING),
        (not_found, Status.SUSPENDED),
        (forbid, Status.FAILED),
        (accept, Status.CONNECTED),
    ],
)
async def test_closing_leaves_nothing_whatever_was_under_way(line: Any, prepare: Preparation, status: Status) -> None:
    before = asyncio.all_tasks()
    prepare(line)
    connection = await line.start()
    assert connection.status is status
    await connection.close()
    assert connection.status is Status.CLOSED
    assert asyncio.all_tasks() == before
    assert line.clock.pending == 0
    assert line.manager.get(connection.id) is None


async def test_a_cancelled_close_drops_the_link(line: Any) -> None:
    before = asyncio.all_tasks()
    connection = await line.start()
    line.net.link.answers_close = False
    closing = asyncio.create_task(connection.close())
    await line.clock.advance(0)
    assert connection.status is Status.CLOSING
    closing.cancel()
    with suppress(asyncio.CancelledError):
        await closing
    assert line.net.link.aborted
    assert connection.status is Status.CLOSED
    assert asyncio.all_tasks() == before


async def test_health_across_links(make_line: MakeLine, clock: Any, net: Any) -> None:
    line = make_line(retry=RetryPolicy(base=1, cap=1))
    connection = await line.start()
    net.link.record_latency(0.025)
    await clock.advance(30)
    net.link.lose()
    await clock.advance(2)
    downtime = line.last.downtime
    assert downtime is not None
    net.link.deliver('{"text":"1"}')
    await clock.advance(4)
    health = connection.health()
    assert health.status is Status.CONNECTED
    assert health.latency == 0.025
    assert health.reconnects == 1
    assert health.uptime == pytest.approx(36 - 30 - downtime)
    assert health.availability == pytest.approx((36 - downtime) / 36)
    assert health.last_seen == pytest.approx(4)
    assert health.errors == 1
    assert health.attempts == 1


async def test_connecting_ends_although_each_link_dies_as_soon_as_it_is_up(line: Any, clock: Any, net: Any) -> None:
    """A server that accepts and drops at once: a line that came up has been connected."""

    def drop(change: Any) -> None:
        if change.after is Status.CONNECTED:
            net.link.lose()

    line.manager.subscribe(drop)
    connecting = asyncio.create_task(line.manager.connect(line.service, book="b"))
    await clock.advance(0)
    connection = await connecting
    assert (connection.generation, connection.state) == (1, Status.WAITING)
    assert connection.state is connection.status
    waiting = asyncio.create_task(connection.wait_connected())
    await clock.advance(0)
    assert not waiting.done()
    await clock.advance(6)
    await waiting
    assert connection.generation >= 2
