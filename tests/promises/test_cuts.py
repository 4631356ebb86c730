"""A connection that is cut at any byte of a session, either way: the same outcome, the right category, and no leak."""

import asyncio

import pytest

import trunkline
from trunkline.testing import Fault, FaultProxy

pytestmark = pytest.mark.anyio

HOST, PROXY = "server.sim.invalid", "proxy.sim.invalid"
SENT = ["eins", b"\x00" * 130, "drei"]


async def answer(ws):
    """Sends each message back twice, the second time in fragments."""
    async for message in ws:
        await ws.send(message)
        await ws.send([message[:1], message[1:]])


async def session(received):
    """A whole session; what it received is kept in the list."""
    async with trunkline.connect(f"ws://{PROXY}:8000/", close_timeout=1) as ws:
        for message in SENT:
            await ws.send(message)
            received.append(await ws.recv())
            received.append(await ws.recv())
        await ws.ping()
    return ws.close_info


WHOLE = [message for message in SENT for _ in range(2)]


async def run_cut(plan):
    """One session with a fault, from the first listener to the last: what was received, and how it ended."""
    received = []
    async with (
        trunkline.serve(answer, HOST, 8000, close_timeout=1) as server,
        FaultProxy(HOST, 8000, listen=PROXY, listen_port=8000, plan=plan) as proxy,
    ):
        try:
            outcome = await session(received)
        except trunkline.TrunklineError as error:
            outcome = error
        await asyncio.sleep(120)
        assert server.connections == set()
        assert proxy.lines == []
    return received, outcome


async def sizes():
    """How many bytes a session is, either way."""
    counted = {}

    class Counting(FaultProxy):
        def _enrol(self, line):
            counted["line"] = line
            return super()._enrol(line)

    async with (
        trunkline.serve(answer, HOST, 8000, close_timeout=1),
        Counting(HOST, 8000, listen=PROXY, listen_port=8000),
    ):
        await session([])
        await asyncio.sleep(5)
    return {"server": counted["line"].to_server, "client": counted["line"].to_client}


@pytest.mark.parametrize("kind", ["cut", "reset", "half_open"])
@pytest.mark.parametrize("toward", ["server", "client"])
async def test_a_cut_at_every_byte(kind, toward, nothing_left):
    size = (await sizes())[toward]
    assert 300 < size < 1000
    tasks = asyncio.all_tasks()
    for offset in range(size):
        received, outcome = await run_cut([Fault(kind, toward, at_byte=offset)])
        assert received == WHOLE[: len(received)], f"only whole messages, at byte {offset}"
        if isinstance(outcome, trunkline.Close):
            assert received == WHOLE, "a session that ended well had everything"
        else:
            assert outcome.category in CATEGORIES[kind], f"at byte {offset}: {outcome!r}"
            assert outcome.recoverable
    assert asyncio.all_tasks() == tasks


_C = trunkline.ErrorCategory
CATEGORIES = {
    "cut": {_C.NETWORK_ERROR},
    "reset": {_C.NETWORK_ERROR},
    "half_open": {_C.NETWORK_ERROR, _C.TIMEOUT},
}
