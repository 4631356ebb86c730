"""Every message is delivered or reported, whatever is cut: on real sockets, through a proxy that cuts."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Sized
from typing import Any

import msgspec
import pytest

import trunkline
from trunkline.testing import FaultProxy
from turns import until

pytestmark = pytest.mark.anyio


class Number(msgspec.Struct):
    number: int


async def cut_often(
    proxy: FaultProxy, line: trunkline.Connection[Number, Number], sent: Sized, cuts: int, messages: int
) -> None:
    """Cut the line `cuts` times while `messages` are sent, each time after a share of them."""
    for number in range(1, cuts + 1):
        await until(lambda number=number: line.generation == number and line.status == "connected")
        mark = len(sent)
        await until(lambda mark=mark: len(sent) >= min(mark + messages // (2 * cuts), messages))
        proxy.cut()


@pytest.mark.parametrize(("messages", "cuts"), [(10_000, 40), (100_000, 200)])
async def test_no_message_is_lost_in_silence(messages: int, cuts: int) -> None:
    arrived: Counter[int] = Counter()
    decoder = msgspec.json.Decoder(Number)

    async def count(ws: trunkline.WebSocket) -> None:
        with contextlib.suppress(trunkline.ConnectionClosed):
            async for batch in ws.batches():
                arrived.update(decoder.decode(payload).number for payload in batch)

    unknown: list[trunkline.Delivery[Any]] = []
    async with trunkline.serve(count, "127.0.0.1", 0) as server, FaultProxy("127.0.0.1", server.port) as proxy:
        numbers = trunkline.Service(
            "numbers",
            f"ws://127.0.0.1:{proxy.port}/",
            sends=Number,
            receives=Number,
            retry=trunkline.manager.RetryPolicy(base=0.001, cap=0.002),
            outbox=trunkline.manager.OutboxPolicy(max_messages=100, confirm=0.01),
            on_undelivered=unknown.append,
        )
        manager = trunkline.ConnectionManager(
            [numbers], gate=trunkline.manager.GatePolicy(per_second=10_000), budget=trunkline.manager.RetryBudget(1000)
        )
        line = await manager.connect(numbers)
        deliveries: list[trunkline.Delivery[Number]] = []
        cutting = asyncio.create_task(cut_often(proxy, line, deliveries, cuts, messages))
        for number in range(messages):
            deliveries.append(await line.send(Number(number), timeout=None))
            if number % 20 == 0:
                await asyncio.sleep(0)  # or the sockets would never be looked at: sending takes no turn of the loop
        await cutting
        left = await manager.close(drain=30)
    outcomes = Counter(delivery.outcome for delivery in deliveries)
    assert set(left) <= set(unknown)
    assert set(outcomes) <= {"confirmed", "unknown"}
    assert outcomes["unknown"] == len(unknown)
    assert line.generation == cuts + 1
    missing = set(range(messages)) - set(arrived)
    assert missing <= {delivery.message.number for delivery in unknown}
    assert max(arrived.values()) == 1, "nothing is sent twice"
