"""A program that takes nothing: the inbox is bounded whatever comes, and the end of a link is noticed all the same."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

import trunkline
from trunkline.manager.codecs import MessagePackCodec
from trunkline.manager.failure.retry import RetryPolicy
from trunkline.manager.incoming.inbox import INBOX_MESSAGES, INBOX_SIZE, OVERFLOW
from trunkline.manager.policies import BatchPolicy
from trunkline.manager.service import Service
from trunkline.manager.states import ConnectionStatus as Status
from trunkline.net.websocket import life_of
from trunkline.testing import FaultProxy
from turns import until

pytestmark = pytest.mark.anyio

QUICK = RetryPolicy(base=0.1, cap=0.1)


def texts(count: int, start: int = 0) -> list[str]:
    return [f'{{"text":"{number}"}}' for number in range(start, start + count)]


async def fill(line: Any) -> None:
    """Deliver more than there is room for, sixteen at a time."""
    for start in range(0, INBOX_MESSAGES + 320, 16):
        line.net.link.deliver(*texts(16, start))
    await line.clock.advance(0)


async def test_a_cut_is_noticed_while_the_inbox_is_full(make_line: Callable[..., Any]) -> None:
    line = make_line(retry=QUICK)
    connection = await line.start()
    line.net.link.answers_pings = False
    delivery = await connection.send(line.note("a"))
    await fill(line)
    assert connection.health().messages_received == INBOX_MESSAGES
    line.net.link.lose()
    await line.clock.advance(1)
    assert delivery.outcome == "unknown"
    assert (connection.status, connection.generation) == (Status.CONNECTED, 2)
    # What the closed link still held is there, in its order, and a new link is not read before there is room.
    line.net.link.deliver(*texts(16, 5000))
    line.net.link.deliver(*texts(16, 5016))
    await line.clock.advance(1)
    taken = [int((await anext(connection)).text) for _ in range(INBOX_MESSAGES + 320 + 32)]
    assert taken == [*range(INBOX_MESSAGES + 320), *range(5000, 5032)]
    assert connection.health().discarded == 0


async def test_links_that_are_lost_one_after_the_other_add_no_more_than_the_bound(
    make_line: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    line = make_line(retry=QUICK)
    connection = await line.start()
    for _ in range(5):
        await fill(line)
        line.net.link.lose()
        await line.clock.advance(1)
    assert connection.status is Status.CONNECTED
    health = connection.health()
    assert health.messages_received == OVERFLOW * INBOX_MESSAGES
    assert health.discarded > 0
    assert caplog.text.count("messages of a closed link, and any that follow") == 4  # once for each link that lost some
    await line.manager.close()
    assert len([note async for note in connection]) == OVERFLOW * INBOX_MESSAGES


async def test_a_greeting_gets_its_answer_though_the_inbox_is_full(make_line: Callable[..., Any]) -> None:
    async def ask(session: Any) -> None:
        answers.append((await session.request(line.note("ask"))).text)

    def find_id(note: Any) -> str | None:
        return note.text if note.text == "ask" else None

    answers: list[str] = []
    line = make_line(retry=QUICK, on_connected=ask, correlate=(find_id, find_id))
    connection = await line.start()
    line.net.link.deliver('{"text":"ask"}')
    await fill(line)
    line.net.link.lose()
    await line.clock.advance(1)
    line.net.link.deliver(*texts(16))
    line.net.link.deliver(*texts(15), '{"text":"ask"}')
    await line.clock.advance(1)
    assert answers == ["ask", "ask"]
    assert connection.status is Status.CONNECTED


async def test_an_envelope_is_unpacked_as_far_as_there_is_room(make_line: Callable[..., Any]) -> None:
    line = make_line(batch=BatchPolicy(envelope=True))
    connection = await line.start()
    envelope = json.dumps({"type": "batch", "messages": [{"text": str(n)} for n in range(5000)], "timestamp": 0})
    line.net.link.deliver(envelope, *texts(3, 5000))
    await line.clock.advance(0)
    assert connection.health().messages_received == INBOX_MESSAGES
    assert [int((await anext(connection)).text) for _ in range(5003)] == list(range(5003))


async def test_nothing_is_unpacked_that_was_not_asked_for(make_line: Callable[..., Any]) -> None:
    line = make_line()
    connection = await line.start()
    envelope = '{"type":"batch","messages":[[],[],[]],"timestamp":0}'
    line.net.link.deliver(envelope)
    await line.clock.advance(0)
    assert [error.payload for error in connection.quarantine] == [envelope]
    assert connection.health().messages_received == 1


@pytest.mark.parametrize("batch", [None, BatchPolicy(envelope=True)])
async def test_compressed_envelopes_of_a_real_server(batch: BatchPolicy | None) -> None:
    empty = b"\x83\xa4type\xa5batch\xa8messages\xdc\x40\x00" + b"\x90" * 16384 + b"\xa9timestamp\xcb" + bytes(8)

    async def flood(ws: trunkline.WebSocket) -> None:
        for _ in range(100):
            await ws.send(empty)
        await ws.wait_closed()

    async with trunkline.serve(flood, "127.0.0.1", 0, compression="deflate") as server:
        service = Service(
            "s",
            f"ws://127.0.0.1:{server.port}/",
            sends=list,
            receives=list,
            codec=MessagePackCodec,
            batch=batch,
            compression="deflate",
        )
        async with trunkline.ConnectionManager([service]) as manager:
            connection = await manager.connect(service)
            wanted = INBOX_MESSAGES if batch else 1
            await until(lambda: connection.health().messages_received >= wanted)
            for _ in range(200):
                await asyncio.sleep(0)
            health = connection.health()
            assert health.messages_received <= INBOX_MESSAGES
            assert health.undecodable == (0 if batch else health.messages_received)


async def test_a_real_link_that_is_cut_while_the_inbox_is_full() -> None:
    async def flood(ws: trunkline.WebSocket) -> None:
        for _ in range(INBOX_MESSAGES + 10):
            ws.send_nowait('{"text":"x"}')
        seen.append(ws)
        await ws.wait_closed()

    seen: list[trunkline.WebSocket] = []
    async with trunkline.serve(flood, "127.0.0.1", 0) as server:
        service = Service("s", f"ws://127.0.0.1:{server.port}/", sends=dict, receives=dict, retry=QUICK)
        async with trunkline.ConnectionManager([service]) as manager:
            connection = await manager.connect(service)
            await until(lambda: connection.health().messages_received == INBOX_MESSAGES)
            seen[0].abort()
            await until(lambda: connection.generation == 2)


@pytest.mark.parametrize("fault", [FaultProxy.stall, FaultProxy.half_open])
@pytest.mark.linux
async def test_a_real_link_that_goes_silent_while_the_inbox_is_full(fault: Callable[[FaultProxy], None]) -> None:
    """Nothing is read, so no pong is seen: the keepalive goes by what the kernel has received."""

    async def fill_until_deaf(ws: trunkline.WebSocket) -> None:
        for _ in range(INBOX_MESSAGES):
            ws.send_nowait('{"text":"x"}')
        while not deaf.is_set():
            await ws.send('{"text":"y"}')
            await ws.ping()
        await ws.wait_closed()

    deaf = asyncio.Event()
    async with (
        trunkline.serve(fill_until_deaf, "127.0.0.1", 0, ping_interval=None, close_timeout=0.1) as server,
        FaultProxy("127.0.0.1", server.port) as proxy,
    ):
        service = Service(
            "s",
            f"ws://127.0.0.1:{proxy.port}/",
            sends=dict,
            receives=dict,
            retry=QUICK,
            ping_interval=0.2,
            ping_timeout=0.2,
        )
        async with trunkline.ConnectionManager([service]) as manager, asyncio.timeout(30):
            connection = await manager.connect(service)
            await until(lambda: (link := connection._life.link) is not None and life_of(link).is_deaf())
            deaf.set()
            fault(proxy)
            await until(lambda: connection.generation == 2)
            assert connection.last_error is not None
            assert (connection.last_error.code, connection.last_error.initiator) == (1011, "local")
            assert connection.health().messages_received >= INBOX_MESSAGES


async def test_text_beyond_ascii_counts_as_it_lies_in_memory(make_line: Callable[..., Any]) -> None:
    line = make_line(retry=QUICK)
    connection = await line.start()
    for _ in range(40):
        line.net.link.deliver('{"text":"' + "\U0001f600" * 2**15 + '"}')  # 128 KiB
    await line.clock.advance(0)
    assert connection.health().messages_received == INBOX_SIZE // 2**17
