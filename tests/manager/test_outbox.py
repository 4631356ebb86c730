"""What waits while a line is down or slow: each policy, each bound, and every message accounted for."""

import asyncio
from typing import Any

import pytest

from trunkline.manager.codecs import JsonCodec
from trunkline.manager.delivery import Delivery
from trunkline.manager.errors import MessageDropped, NotConnected, OutboxFull, SendInterrupted, WaitTimeout
from trunkline.manager.policies import BatchPolicy, OutboxPolicy
from trunkline.manager.states import DeliveryOutcome
from trunkline.protocol.errors import ConnectError

pytestmark = pytest.mark.anyio

REFUSED = ConnectError.wrap(ConnectionRefusedError(111, "refused"), "tcp", "host.example:80")
Outcome = DeliveryOutcome


def text(note: object) -> str:
    return f'{{"text":"{note}"}}'


class Down:
    """A connection whose line is down, with what it gives back."""

    def __init__(self, make_line: Any, **options: Any) -> None:
        self.given_back: list[Delivery[Any]] = []
        self.line = make_line(on_undelivered=self.given_back.append, **options)
        self.connection: Any = None

    async def start(self) -> Any:
        self.line.net.script = [REFUSED] * 3
        self.connection = await self.line.start()
        return self.connection

    def put(self, *notes: str) -> list[Delivery[Any]]:
        return [self.connection.send_nowait(self.line.note(note)) for note in notes]

    async def come_up(self) -> list[str]:
        self.line.net.script = []
        await self.line.clock.advance(5)
        return self.line.net.link.sent

    @property
    def outcomes(self) -> list[tuple[str, str]]:
        return [(delivery.message.text, delivery.outcome) for delivery in self.given_back]


async def test_what_waited_leaves_in_order_and_in_one_write(make_line: Any) -> None:
    down = Down(make_line)
    connection = await down.start()
    deliveries = down.put("a", "b", "c")
    health = connection.health()
    assert (health.queue_depth, health.queue_bytes) == (3, 3 * len(text("a")))
    assert [delivery.outcome for delivery in deliveries] == [Outcome.QUEUED] * 3
    assert await down.come_up() == [text("a"), text("b"), text("c")]
    assert down.line.net.link.writes == [[text("a"), text("b"), text("c")]]
    assert [delivery.outcome for delivery in deliveries] == [Outcome.CONFIRMED] * 3
    assert connection.health().queue_depth == 0


async def test_text_beyond_ascii_counts_as_it_lies_in_memory(make_line: Any) -> None:
    down = Down(make_line, outbox=OutboxPolicy(when_full="reject", max_bytes=4096))
    connection = await down.start()
    down.put("\U0001f600" * 600)  # four bytes each
    assert 2400 < connection.health().queue_bytes < 2600
    with pytest.raises(OutboxFull):
        down.put("\U0001f600" * 600)


@pytest.mark.parametrize("policy", ["block", "reject"])
async def test_what_has_no_room_is_refused_at_once(make_line: Any, policy: Any) -> None:
    down = Down(make_line, outbox=OutboxPolicy(when_full=policy, max_messages=2))
    await down.start()
    down.put("a", "b")
    with pytest.raises(OutboxFull, match=r"holds 2 messages, 24 bytes; limits 2 \(max_messages\)"):
        down.put("c")
    assert await down.come_up() == [text("a"), text("b")]


async def test_a_full_outbox_that_rejects_does_not_let_send_wait(make_line: Any) -> None:
    down = Down(make_line, outbox=OutboxPolicy(when_full="reject", max_bytes=20))
    connection = await down.start()
    down.put("a")
    with pytest.raises(OutboxFull):
        await connection.send(down.line.note("b"))


async def test_a_full_outbox_that_blocks_lets_senders_in_one_after_the_other(make_line: Any) -> None:
    down = Down(make_line, outbox=OutboxPolicy(max_messages=2))
    connection = await down.start()
    sends = [asyncio.create_task(connection.send(down.line.note(str(number)))) for number in range(10)]
    await down.line.clock.advance(0)
    assert connection.health().queue_depth == 2
    assert await down.come_up() == [text(number) for number in range(10)]
    assert [(await send).outcome for send in sends] == [Outcome.CONFIRMED] * 10
    assert down.given_back == []


async def test_a_sender_that_waits_for_room_waits_only_so_long(make_line: Any) -> None:
    down = Down(make_line, outbox=OutboxPolicy(max_messages=1))
    connection = await down.start()
    down.line.net.script = [REFUSED] * 100
    down.put("a")
    send = asyncio.create_task(connection.send(down.line.note("b"), timeout=2))
    await down.line.clock.advance(3)
    with pytest.raises(WaitTimeout):
        await send
    assert connection.health().queue_depth == 1


async def test_a_cancelled_sender_leaves_nothing_in_the_outbox(make_line: Any) -> None:
    down = Down(make_line, outbox=OutboxPolicy(max_messages=1))
    connection = await down.start()
    first, second, third = (asyncio.create_task(connection.send(down.line.note(name))) for name in "abc")
    await down.line.clock.advance(0)
    first.cancel()
    second.cancel()
    await down.line.clock.advance(0)
    assert await down.come_up() == [text("c")]
    await third


async def test_the_oldest_make_room_and_are_given_back(make_line: Any) -> None:
    down = Down(make_line, outbox=OutboxPolicy(when_full="drop_oldest", max_messages=2))
    connection = await down.start()
    dropped = asyncio.create_task(connection.send(down.line.note("a")))
    await down.line.clock.advance(0)
    down.put("b", "c", "d")
    with pytest.raises(MessageDropped, match="a newer message needed its place"):
        await dropped
    assert down.outcomes == [("a", "dropped"), ("b", "dropped")]
    assert connection.health().dropped == 2
    assert await down.come_up() == [text("c"), text("d")]


async def test_a_key_keeps_the_latest_only(make_line: Any) -> None:
    policy = OutboxPolicy(when_full="conflate", key=lambda note: note.text[0], max_messages=2)
    down = Down(make_line, outbox=policy)
    await down.start()
    down.put("a1", "b1", "a2", "a3")
    assert down.outcomes == [("a1", "conflated"), ("a2", "conflated")]
    down.put("c1")
    assert down.outcomes[2:] == [("b1", "dropped")]
    assert await down.come_up() == [text("a3"), text("c1")]


async def test_what_is_too_old_expires(make_line: Any) -> None:
    down = Down(make_line, outbox=OutboxPolicy(max_age=10))
    connection = await down.start()
    down.line.net.script = [REFUSED] * 1000
    down.put("a")
    await down.line.clock.advance(6)
    down.put("b")
    waiting = asyncio.create_task(connection.send(down.line.note("c")))
    await down.line.clock.advance(5)
    assert down.outcomes == [("a", "expired")]
    await down.line.clock.advance(6)
    assert down.outcomes == [("a", "expired"), ("b", "expired"), ("c", "expired")]
    with pytest.raises(MessageDropped, match="longer than max_age"):
        await waiting


async def test_a_message_larger_than_the_bound_waits_alone(make_line: Any) -> None:
    down = Down(make_line, outbox=OutboxPolicy(max_bytes=20))
    await down.start()
    down.put("x" * 100)
    with pytest.raises(OutboxFull):
        down.put("a")
    assert await down.come_up() == [text("x" * 100)]


async def test_what_still_waits_when_the_connection_ends_is_given_back(make_line: Any) -> None:
    down = Down(make_line)
    connection = await down.start()
    (delivery,) = down.put("a")
    await connection.close()
    assert down.outcomes == [("a", "unsent")]
    with pytest.raises(NotConnected):
        await delivery.wait_confirmed()
    with pytest.raises(NotConnected):
        down.put("b")
    assert down.line.clock.pending == 0


# A link that is up


async def test_a_line_that_is_up_is_written_to_at_once(make_line: Any) -> None:
    line = make_line()
    connection = await line.start()
    delivery = connection.send_nowait(line.note("a"))
    assert line.net.link.sent == [text("a")]
    assert delivery.outcome is Outcome.WRITTEN


async def test_a_slow_link_is_waited_for(make_line: Any) -> None:
    line = make_line()
    connection = await line.start()
    line.net.link.set_writable(False)
    send = asyncio.create_task(connection.send(line.note("a")))
    connection.send_nowait(line.note("b"))
    await line.clock.advance(0)
    assert line.net.link.sent == []
    line.net.link.set_writable(True)
    await send
    assert sorted(line.net.link.sent) == [text("a"), text("b")]


async def test_a_slow_link_that_is_lost_loses_nothing_that_waits(make_line: Any) -> None:
    line = make_line()
    before = asyncio.all_tasks()
    connection = await line.start()
    line.net.link.set_writable(False)
    connection.send_nowait(line.note("a"))
    await line.clock.advance(0)
    line.net.link.lose()
    await line.clock.advance(5)
    assert line.net.link.sent == [text("a")]
    await line.manager.close()
    assert asyncio.all_tasks() == before


async def test_one_ping_confirms_all_that_was_written_before_it(make_line: Any) -> None:
    line = make_line(outbox=OutboxPolicy(confirm=2))
    connection = await line.start()
    line.net.link.answers_pings = False
    deliveries = [connection.send_nowait(line.note(name)) for name in "abc"]
    await line.clock.advance(1.9)
    assert line.net.link.pings == []
    assert connection.health().unconfirmed == 3
    await line.clock.advance(0.2)
    later = connection.send_nowait(line.note("d"))
    line.net.link.pong()
    await line.clock.advance(0)
    assert [delivery.outcome for delivery in [*deliveries, later]] == [*["confirmed"] * 3, "written"]
    assert connection.health().unconfirmed == 1


async def test_what_a_lost_link_had_and_nobody_confirmed_is_unknown(make_line: Any) -> None:
    given_back: list[Delivery[Any]] = []
    line = make_line(on_undelivered=given_back.append)
    connection = await line.start()
    line.net.link.answers_pings = False
    confirmed = [connection.send_nowait(line.note(name)) for name in "ab"]
    await line.clock.advance(1)
    line.net.link.pong()
    unknown = connection.send_nowait(line.note("c"))
    line.net.link.lose()
    await line.clock.advance(5)
    assert [delivery.outcome for delivery in confirmed] == [Outcome.CONFIRMED] * 2
    assert given_back == [unknown]
    assert unknown.issue is not None
    with pytest.raises(SendInterrupted, match="outcome is unknown"):
        await unknown.wait_confirmed()
    assert line.net.link.sent == []
    assert connection.health().unknown == 1


async def test_what_may_be_unconfirmed_is_bounded(make_line: Any) -> None:
    line = make_line(outbox=OutboxPolicy(max_unconfirmed=4))
    connection = await line.start()
    line.net.link.answers_pings = False
    for name in "abcdef":
        connection.send_nowait(line.note(name))
    await line.clock.advance(0)
    assert len(line.net.link.sent) == 4
    assert len(line.net.link.pings) == 1, "half full: asked at once"
    line.net.link.pong()
    await line.clock.advance(0)
    assert len(line.net.link.sent) == 6


async def test_without_confirmation_no_ping_is_sent(make_line: Any) -> None:
    line = make_line(outbox=OutboxPolicy(confirm=None))
    connection = await line.start()
    line.net.link.answers_pings = False
    delivery = connection.send_nowait(line.note("a"))
    await line.clock.advance(100)
    assert line.net.link.pings == []
    assert delivery.outcome is Outcome.WRITTEN
    with pytest.raises(ValueError, match="nothing is confirmed"):
        await connection.send(line.note("b"), confirm=True)


async def test_a_subscriber_that_raises_harms_nobody(make_line: Any, caplog: pytest.LogCaptureFixture) -> None:
    def fail(delivery: Delivery[Any]) -> None:
        raise RuntimeError("boom")

    line = make_line(on_undelivered=fail)
    line.net.script = [REFUSED]
    connection = await line.start()
    connection.send_nowait(line.note("a"))
    await connection.close()
    assert "on_undelivered raised" in caplog.text


# Draining


async def test_draining_waits_until_all_is_confirmed(make_line: Any) -> None:
    line = make_line()
    connection = await line.start()
    line.net.link.answers_pings = False
    line.net.link.set_writable(False)
    delivery = connection.send_nowait(line.note("a"))
    closing = asyncio.create_task(line.manager.close(drain=10))
    await line.clock.advance(1)
    with pytest.raises(NotConnected):
        connection.send_nowait(line.note("b"))
    line.net.link.set_writable(True)
    await line.clock.advance(1)
    assert not closing.done()
    line.net.link.pong()
    await line.clock.advance(0)
    assert await closing == []
    assert delivery.outcome is Outcome.CONFIRMED


async def test_draining_ends_at_its_deadline_and_says_what_is_left(make_line: Any) -> None:
    line = make_line()
    line.net.script = [REFUSED] * 100
    connection = await line.start()
    delivery = connection.send_nowait(line.note("a"))
    closing = asyncio.create_task(line.manager.close(drain=3))
    await line.clock.advance(2.9)
    assert not closing.done()
    await line.clock.advance(0.2)
    assert await closing == [delivery]
    assert delivery.outcome is Outcome.UNSENT
    assert line.clock.pending == 0


# Batches


async def test_the_exact_policy_of_ten_messages_or_a_tenth_of_a_second(make_line: Any) -> None:
    line = make_line(batch=BatchPolicy.seed())
    connection = await line.start()
    for number in range(12):
        await connection.send(line.note(str(number)))
    assert len(line.net.link.sent) == 1
    await line.clock.advance(0.09)
    assert len(line.net.link.sent) == 1
    await line.clock.advance(0.02)
    codec = JsonCodec(line.note, line.note)
    batches = [codec.split(envelope) for envelope in line.net.link.sent]
    assert batches == [[text(number) for number in range(10)], [text(10), text(11)]]


async def test_an_envelope_without_delay_holds_what_one_turn_sends(make_line: Any) -> None:
    line = make_line(batch=BatchPolicy(envelope=True))
    connection = await line.start()
    for name in "ab":
        connection.send_nowait(line.note(name))
    assert line.net.link.sent == []
    await line.clock.advance(0)
    connection.send_nowait(line.note("c"))
    await line.clock.advance(0)
    assert line.net.link.sent[0].startswith('{"type":"batch","messages":[{"text":"a"},{"text":"b"}],"timestamp":')
    assert line.net.link.sent[1:] == [text("c")]


async def test_a_batch_is_bounded_in_bytes(make_line: Any) -> None:
    line = make_line(batch=BatchPolicy(max_bytes=30, max_delay=60))
    connection = await line.start()
    for name in "abc":
        connection.send_nowait(line.note(name))
    assert line.net.link.writes == [[text("a"), text("b")]]
    await line.manager.close()
    assert line.net.link.sent == [text("a"), text("b"), text("c")], "closing writes what the link takes"


async def test_a_batch_is_kept_until_it_is_written(make_line: Any) -> None:
    line = make_line(batch=BatchPolicy.seed())
    connection = await line.start()
    for name in "ab":
        connection.send_nowait(line.note(name))
    line.net.link.lose()
    await line.clock.advance(5)
    assert JsonCodec(line.note, line.note).split(line.net.link.sent[0]) == [text("a"), text("b")]
    assert connection.health().unknown == 0


async def test_envelopes_that_come_are_taken_apart(make_line: Any) -> None:
    line = make_line(batch=BatchPolicy(envelope=True))
    connection = await line.start()
    envelope = '{ "timestamp": 1.5, "messages": [{"text":"a"}, 7, {"text":"b"}], "type": "batch" }'
    line.net.link.deliver(text("0"), envelope, text("c"))
    assert [(await anext(connection)).text for _ in range(4)] == ["0", "a", "b", "c"]
    assert [error.payload for error in connection.quarantine] == ["7"]
    assert connection.health().messages_received == 5
