"""Managed connections and servers that hurt them: no hot loop, no herd."""

import asyncio
import bisect
import itertools
import random
import statistics

import pytest

import trunkline
from trunkline.manager.budget import RetryBudget
from trunkline.testing import FaultProxy, ScriptedServer, run_virtual
from trunkline.testing.script import accept, close, drop, reset, wait

HOST, PROXY = "server.sim.invalid", "proxy.sim.invalid"


def now():
    return asyncio.get_running_loop().time()


def manager_of(*services, seed):
    """A manager whose every chance comes from the seed."""
    loop = asyncio.get_running_loop()
    return trunkline.ConnectionManager(services, rng=random.Random(seed), budget=RetryBudget(clock=loop.time))


ENDINGS = {
    "end of file": [drop()],
    "reset": [reset()],
    "1001": [close(1001)],
    "1011": [close(1011)],
    "1012": [close(1012)],
    "after 5 s": [wait(5), drop()],
}


async def arrivals(ending, seed):
    feed = trunkline.Service("feed", f"ws://{HOST}:8000/", sends=str, receives=str)
    async with (
        ScriptedServer([accept(), *ending], host=HOST, port=8000) as server,
        manager_of(feed, seed=seed) as manager,
    ):
        await manager.connect(feed, wait=False)
        await asyncio.sleep(600)
        return server.arrivals


@pytest.mark.parametrize("ending", ENDINGS.values(), ids=ENDINGS)
def test_a_server_that_accepts_and_closes_is_not_dialled_in_a_hot_loop(ending):
    for seed in range(20):
        came = run_virtual(arrivals(ending, seed))
        first_minute = [at for at in came if at - came[0] < 60]
        assert len(first_minute) < 10
        gaps = [later - earlier for earlier, later in itertools.pairwise(came)]
        assert statistics.mean(gaps[-3:]) > statistics.mean(gaps[:3]), "the pauses grow"


CLIENTS = 2_000


async def restart(seed):
    """2,000 lines of one manager, and their server restarts: when each dial came, and when each line was back."""
    room = trunkline.Service("room", f"ws://{PROXY}:8000/{{number}}", sends=str, receives=str)
    back, all_back = {}, asyncio.Event()
    async with (
        trunkline.serve(trunkline.WebSocket.wait_closed, HOST, 8000) as server,
        FaultProxy(HOST, 8000, listen=PROXY, listen_port=8000) as proxy,
        manager_of(room, seed=seed) as manager,
    ):
        for number in range(CLIENTS):
            await manager.connect(room, wait=False, number=number)
        await asyncio.sleep(15)
        assert len(server.connections) == CLIENTS
        before = len(proxy.log)
        down_at = now()

        def see(change):
            if change.after is trunkline.ConnectionStatus.CONNECTED:
                back[change.connection_id] = now() - down_at
                if len(back) == CLIENTS:
                    all_back.set()

        manager.subscribe(see)
        proxy.refuse()
        proxy.reset()
        await asyncio.sleep(10)
        await proxy.accept()
        await asyncio.wait_for(all_back.wait(), 300)
        settled = now()
        dials = [incident.at - down_at for incident in list(proxy.log)[before:] if incident.what == "accepted"]
        await asyncio.sleep(40)
        later = [one for one in proxy.log if one.at > settled and one.what == "accepted"]
        assert len(server.connections) == CLIENTS
    return dials, sorted(back.values()), later


def test_two_thousand_clients_come_back_spread_out():
    dials, back, later = run_virtual(restart(seed=1))
    most = max(bisect.bisect_left(dials, at + 0.1 - 1e-6) - index for index, at in enumerate(dials))
    assert most <= 20, "the gate: 200 a second"
    assert back[int(CLIENTS * 0.99)] < 30, "seconds from the crash: 10 of them the server was down"
    assert len(dials) == CLIENTS, "each was dialled once"
    assert later == [], "and there is no second storm"
