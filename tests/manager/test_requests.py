"""Questions and their answers over a line that comes and goes; hooks on each new link; leases; pools."""

import asyncio
import functools
import re
from typing import Any

import msgspec
import pytest

from trunkline.manager.errors import MessageDropped, NotConnected, ReplyTimeout, SendInterrupted
from trunkline.manager.failure.retry import RetryPolicy
from trunkline.manager.manager import ConnectionManager
from trunkline.manager.policies import BatchPolicy, OutboxPolicy, PoolPolicy
from trunkline.manager.pool import Pool
from trunkline.manager.service import Service
from trunkline.manager.session import Session
from trunkline.manager.states import ConnectionStatus as Status
from trunkline.protocol.errors import ConnectError, HandshakeError

pytestmark = pytest.mark.anyio

REFUSED = ConnectError.wrap(ConnectionRefusedError(111, "refused"), "tcp", "host.example:80")


class Ask(msgspec.Struct):
    text: str
    id: int | None = None


class Answer(msgspec.Struct):
    text: str
    id: int | None = None


class Asking:
    """A manager with one service that has correlation ids, on the fake clock and the fake network."""

    def __init__(self, clock: Any, net: Any, url: str = "ws://host.example/", **options: Any) -> None:
        self.clock, self.net = clock, net
        options.setdefault("correlate", ("id", "id"))
        options.setdefault("retry", RetryPolicy(base=0.1, cap=0.1))
        self.service = Service("asking", url, sends=Ask, receives=Answer, **options)
        self.manager = ConnectionManager([self.service], clock=clock, dial=net)

    async def start(self) -> Any:
        connection = await self.manager.connect(self.service, wait=False)
        await self.clock.advance(0)
        return connection

    def answer(self, request_id: int, text: str = "yes") -> None:
        self.net.link.deliver(f'{{"text":"{text}","id":{request_id}}}')


@pytest.fixture
def make_asking(make: Any) -> Any:
    """Makes an Asking with the given options."""
    return functools.partial(make, Asking)


@pytest.fixture
def asking(make_asking: Any) -> Asking:
    return make_asking()


async def ask(asking: Asking, connection: Any, text: str = "?", **options: Any) -> asyncio.Task[Answer]:
    task = asyncio.create_task(connection.request(Ask(text), **options))
    await asking.clock.advance(0)
    return task


async def test_each_reply_goes_to_whoever_asked(asking: Asking) -> None:
    connection = await asking.start()
    first, second = await ask(asking, connection, "a"), await ask(asking, connection, "b")
    assert asking.net.link.sent == ['{"text":"a","id":1}', '{"text":"b","id":2}']
    asking.answer(2, "to b")
    asking.net.link.deliver('{"text":"for everybody"}')
    asking.answer(1, "to a")
    assert ((await first).text, (await second).text) == ("to a", "to b")
    assert (await anext(connection)).text == "for everybody"
    assert connection.pending == 0


async def test_an_id_of_ones_own_is_kept_and_may_wait_only_once(asking: Asking) -> None:
    connection = await asking.start()
    task = asyncio.create_task(connection.request(Ask("a", id=7)))
    await asking.clock.advance(0)
    with pytest.raises(ValueError, match="id 7 is already waiting for its reply"):
        await connection.request(Ask("b", id=7))
    asking.answer(7)
    assert (await task).text == "yes"


async def test_a_reply_that_does_not_come(asking: Asking) -> None:
    connection = await asking.start()
    task = await ask(asking, connection, timeout=2)
    await asking.clock.advance(2.1)
    with pytest.raises(ReplyTimeout, match="no reply on connection asking within 2 s"):
        await task
    asking.answer(1, "late")
    asking.answer(99, "unasked")
    assert (await anext(connection)).text == "unasked"
    health = connection.health()
    assert (health.late_replies, health.unknown_replies) == (1, 1)


async def test_a_request_whose_link_is_lost_fails_and_is_not_repeated(asking: Asking) -> None:
    connection = await asking.start()
    task = await ask(asking, connection)
    asking.net.link.lose()
    await asking.clock.advance(1)
    with pytest.raises(SendInterrupted):
        await task
    assert asking.net.link.sent == []


async def test_an_idempotent_request_is_sent_once_more(asking: Asking) -> None:
    connection = await asking.start()
    task = await ask(asking, connection, idempotent=True)
    asking.net.link.lose()
    await asking.clock.advance(1)
    assert asking.net.link.sent == ['{"text":"?","id":1}']
    asking.answer(1)
    assert (await task).text == "yes"


async def test_an_idempotent_request_is_sent_once_more_and_no_more(asking: Asking) -> None:
    """It may be what the link dies of."""
    connection = await asking.start()
    task = await ask(asking, connection, idempotent=True)
    for _ in range(5):
        asking.net.link.lose()
        await asking.clock.advance(1)
    with pytest.raises(SendInterrupted):
        await task
    assert [link.sent for link in asking.net.links] == [['{"text":"?","id":1}']] * 2 + [[]] * 4


async def test_a_request_that_the_peer_chokes_on_is_not_sent_again(asking: Asking) -> None:
    connection = await asking.start()
    task = await ask(asking, connection, idempotent=True)
    asking.net.link.lose(1009, "too big", "remote")
    await asking.clock.advance(1)
    with pytest.raises(SendInterrupted):
        await task
    assert asking.net.link.sent == []


async def test_a_request_waits_for_the_line_within_its_deadline(asking: Asking) -> None:
    asking.net.script = [REFUSED] * 3
    connection = await asking.start()
    task = await ask(asking, connection, timeout=10)
    await asking.clock.advance(1)
    asking.answer(1)
    assert (await task).text == "yes"


async def test_requests_end_with_the_connection(asking: Asking) -> None:
    connection = await asking.start()
    task = await ask(asking, connection, idempotent=True)
    await connection.close()
    with pytest.raises(NotConnected):
        await task
    assert asking.clock.pending == 0


async def test_a_request_that_never_leaves_the_outbox_fails_at_once(make_asking: Any, clock: Any, net: Any) -> None:
    asking = make_asking(batch=BatchPolicy(max_delay=5), outbox=OutboxPolicy(max_age=2))
    connection = await asking.start()
    task = await ask(asking, connection)
    net.script = [REFUSED] * 100
    net.link.lose()
    await clock.advance(3)
    with pytest.raises(MessageDropped, match="longer than max_age"):
        await task


async def test_an_id_that_can_be_none_is_a_payload_that_does_not_fit(make_asking: Any, clock: Any) -> None:
    asking = make_asking(correlate=("id", lambda answer: [answer.id]))
    connection = await asking.start()
    asking.answer(1)
    await clock.advance(0)
    assert len(connection.quarantine) == 1


async def test_a_service_without_ids_takes_no_requests(line: Any) -> None:
    connection = await line.start()
    with pytest.raises(TypeError, match="correlate"):
        await connection.request(line.note("a"))


# Hooks


async def test_the_hook_is_told_what_the_connection_is(make_asking: Any, clock: Any) -> None:
    seen: list[tuple[str, Any, Any]] = []

    async def look(session: Session[Ask, Answer]) -> None:
        seen.append((session.connection_id, session.parameters, session.metadata))

    asking = make_asking(url="ws://host.example/{room}", on_connected=look)
    connection = await asking.manager.connect(asking.service, wait=False, room="lobby")
    connection.metadata["note"] = "ours"
    await clock.advance(0)
    assert seen == [(connection.id, {"room": "lobby"}, {"room": "lobby", "note": "ours"})]


async def test_the_hook_speaks_before_all_that_waits(make_asking: Any, clock: Any, net: Any) -> None:
    seen: list[tuple[int, Any]] = []

    async def subscribe(session: Session[Ask, Answer]) -> None:
        seen.append((session.generation, session.position))
        reply = await session.request(Ask(f"from {session.position}"))
        assert reply.text == "subscribed"

    asking = make_asking(on_connected=subscribe, position=lambda answer: answer.text if not answer.id else None)
    connection = await asking.start()
    connection.send_nowait(Ask("first"))
    assert connection.status is Status.CONNECTING
    assert net.link.sent == ['{"text":"from None","id":1}']
    asking.answer(1, "subscribed")
    await clock.advance(0)
    assert connection.status is Status.CONNECTED
    assert net.link.sent[1:] == ['{"text":"first","id":null}']
    net.link.deliver('{"text":"41"}', '{"text":"42"}')
    await clock.advance(2)
    net.link.lose()
    await clock.advance(1)
    assert net.link.sent == ['{"text":"from 42","id":2}']
    assert seen == [(1, None), (2, "42")]


async def refuse(session: Session[Ask, Answer]) -> None:
    await session.send(Ask("hello"))
    raise HandshakeError(503)


async def be_at_fault(session: Session[Ask, Answer]) -> None:
    raise KeyError("oops")


async def take_for_ever(session: Session[Ask, Answer]) -> None:
    await asyncio.get_running_loop().create_future()


@pytest.mark.parametrize(
    ("hook", "status", "text"),
    [
        (refuse, Status.WAITING, "on_connected raised HandshakeError"),
        (be_at_fault, Status.FAILED, "on_connected raised KeyError"),
        (take_for_ever, Status.WAITING, r"on_connected took more than 3 s \(hook_timeout\)"),
    ],
)
async def test_a_hook_that_fails_is_a_failed_attempt(
    make_asking: Any, clock: Any, hook: Any, status: Status, text: str
) -> None:
    before = asyncio.all_tasks()
    asking = make_asking(on_connected=hook, hook_timeout=3, retry=RetryPolicy(base=50, cap=50))
    connection = await asking.start()
    if hook is take_for_ever:
        assert connection.status is Status.CONNECTING
        await clock.advance(3.1)
    assert connection.status is status
    assert connection.last_error is not None
    assert re.match(text, connection.last_error.message)
    assert connection.generation == 0
    await asking.manager.close()
    assert asyncio.all_tasks() == before


@pytest.mark.parametrize("end", ["lose", "close"])
async def test_a_link_that_ends_while_it_is_greeted(make_asking: Any, clock: Any, net: Any, end: str) -> None:
    before = asyncio.all_tasks()
    asking = make_asking(on_connected=take_for_ever)
    connection = await asking.start()
    if end == "lose":
        net.link.lose()
        await clock.advance(0)
        assert connection.last_error.code == 1006
    await asking.manager.close()
    assert connection.status is Status.CLOSED
    assert asyncio.all_tasks() == before


# Fresh parameters


async def test_parameters_that_are_asked_for_at_each_attempt(make_asking: Any, clock: Any, net: Any) -> None:
    tokens = iter(["a/1", "b"])

    async def token() -> str:
        return next(tokens)

    asking = make_asking(url="ws://host.example/?token={token}", fresh={"token": token})
    net.script = [REFUSED]
    connection = await asking.start()
    await clock.advance(1)
    assert [uri for uri, _ in net.dials] == ["ws://host.example/?token=a%2F1", "ws://host.example/?token=b"]
    assert connection.id == "asking"


# Leases


async def test_a_connection_that_nobody_leases_closes(make_asking: Any, clock: Any, net: Any) -> None:
    asking = make_asking(idle_timeout=10)
    connection = await asking.start()
    async with asking.manager.lease(asking.service) as same:
        assert same is connection
        connection.release()
        await clock.advance(100)
        assert connection.status is Status.CONNECTED
    await clock.advance(9)
    async with asking.manager.lease(asking.service):
        await clock.advance(5)
    await clock.advance(9)
    assert connection.status is Status.CONNECTED
    await clock.advance(2)
    assert connection.status is Status.CLOSED
    assert net.link.closed_with == (1000, "idle")
    assert asking.manager.find(asking.service) is None
    with pytest.raises(RuntimeError, match="more often than leased"):
        connection.release()


# Pools


def make_pool(make_asking: Any, **policy: Any) -> tuple[Asking, Pool[Ask, Answer]]:
    asking = make_asking(pool=PoolPolicy(**policy))
    return asking, asking.manager.pool(asking.service)


async def test_a_pool_takes_its_members_in_turn(make_asking: Any, clock: Any, net: Any) -> None:
    asking, pool = make_pool(make_asking, size=3, strategy="round_robin")
    for number in range(6):
        pool.send_nowait(Ask(str(number)))
    await clock.advance(0)
    assert [[message[9] for message in link.sent] for link in net.links] == [["0", "3"], ["1", "4"], ["2", "5"]]
    assert [member.id for member in pool.members] == ["asking#0", "asking#1", "asking#2"]
    assert asking.manager.pool(asking.service) is pool
    net.links[1].lose()
    await clock.advance(0)
    pool.send_nowait(Ask("6"))
    pool.send_nowait(Ask("7"))
    assert [link.sent[-1][9] for link in net.links] == ["6", "4", "7"], "the one that is down is passed over"


async def test_a_pool_keeps_the_order_of_a_key(make_asking: Any, net: Any) -> None:
    _, pool = make_pool(make_asking, size=3, strategy="hash")
    for number in range(9):
        await pool.send(Ask(str(number)), key=number % 3)
    assert sorted([message[9] for message in link.sent] for link in net.links) == [
        ["0", "3", "6"],
        ["1", "4", "7"],
        ["2", "5", "8"],
    ]
    with pytest.raises(ValueError, match="needs a key"):
        pool.send_nowait(Ask("?"))


async def test_a_pool_opens_links_while_all_are_busy(make_asking: Any, clock: Any, net: Any) -> None:
    _, pool = make_pool(make_asking, size=2)
    first = asyncio.create_task(pool.request(Ask("a")))
    await clock.advance(0)
    second = asyncio.create_task(pool.request(Ask("b")))
    await clock.advance(0)
    assert [len(link.sent) for link in net.links] == [1, 1]
    net.links[0].deliver('{"text":"x","id":1}')
    assert (await first).text == "x"
    pool.send_nowait(Ask("c"))
    assert [len(link.sent) for link in net.links] == [2, 1]
    net.links[1].deliver('{"text":"y","id":2}')
    assert (await second).text == "y"


async def test_leases_spread_over_a_pool(make_asking: Any) -> None:
    asking, _ = make_pool(make_asking, size=2)
    first, second, third = [await asking.manager.connect(asking.service) for _ in range(3)]
    assert first is not second
    assert third in (first, second)
    third.release()
    first.release()
    second.release()
    assert asking.manager.find(asking.service) is first


async def test_a_member_that_failed_is_replaced(make_asking: Any, net: Any) -> None:
    _, pool = make_pool(make_asking, size=1)
    net.script = [HandshakeError(403)]
    with pytest.raises(NotConnected):
        await pool.send(Ask("a"))
    await pool.send(Ask("b"))
    assert net.link.sent == ['{"text":"b","id":null}']


async def test_what_any_member_receives_comes_out_of_the_pool(make_asking: Any, net: Any) -> None:
    asking, pool = make_pool(make_asking, size=2, strategy="round_robin")
    for _ in range(2):
        await pool.send(Ask("a"))
    net.links[0].deliver('{"text":"1"}')
    net.links[1].deliver('{"text":"2"}')
    assert {(await anext(pool)).text, (await anext(pool)).text} == {"1", "2"}
    await asking.manager.close()
    assert [answer async for answer in pool] == []
    with pytest.raises(RuntimeError, match="closed"):
        pool.send_nowait(Ask("b"))


async def test_members_that_are_idle_close_and_come_again(make_asking: Any, clock: Any) -> None:
    _, pool = make_pool(make_asking, size=2, idle_timeout=10)
    async with pool.lease() as member:
        await clock.advance(60)
        assert member.status is Status.CONNECTED
    await clock.advance(11)
    assert pool.members == []
    await pool.send(Ask("a"))
    await clock.advance(6)
    await pool.send(Ask("b"))
    await clock.advance(6)
    assert len(pool.members) == 1
    await clock.advance(6)
    assert pool.members == []
