"""Managed connections and servers that hurt them: no hot loop, no herd."""

import asyncio
import bisect
import itertools
import random
import statistics

import pytest
from benchmarks.fleet import CAPACITY, CASES, busiest, longest_wait, measure

import trunkline
from trunkline.manager.dialing.budget import RetryBudget
from trunkline.testing import FaultProxy, ScriptedServer, run_virtual
from trunkline.testing.script import accept, close, drop, reset, wait
from turns import now

HOST, PROXY = "server.sim.invalid", "proxy.sim.invalid"


def manager_of(*services, seed):
    """A manager whose every chance comes from the seed."""
    loop = asyncio.get_running_loop()
    return trunkline.ConnectionManager(services, rng=random.Random(seed), budget=RetryBudget(clock=loop.time))


async def read_head(peer):
    await peer.read_request()


ENDINGS = {
    "at TCP, end of file": [drop()],
    "at TCP, reset": [reset()],
    "before the 101, end of file": [read_head, drop()],
    "before the 101, reset": [read_head, reset()],
    "end of file": [accept(), drop()],
    "reset": [accept(), reset()],
    "1001": [accept(), close(1001)],
    "1011": [accept(), close(1011)],
    "1012": [accept(), close(1012)],
    "no status": [accept(), close(None)],
    "after 1 s": [accept(), wait(1), drop()],
    "after 5 s": [accept(), wait(5), drop()],
}


async def greet(session):
    await asyncio.get_running_loop().create_future()


async def arrivals(ending, seed, **options):
    feed = trunkline.Service("feed", f"ws://{HOST}:8000/", sends=str, receives=str, **options)
    async with (
        ScriptedServer(ending, host=HOST, port=8000) as server,
        manager_of(feed, seed=seed) as manager,
    ):
        await manager.connect(feed, wait=False)
        await asyncio.sleep(600)
        return server.arrivals


@pytest.mark.parametrize("options", [{}, {"on_connected": greet}], ids=["", "greeted"])
@pytest.mark.parametrize("ending", ENDINGS.values(), ids=ENDINGS)
def test_a_server_that_accepts_and_closes_is_not_dialled_in_a_hot_loop(ending, options):
    for seed in range(10):
        came = run_virtual(arrivals(ending, seed, **options))
        first_minute = [at for at in came if at - came[0] < 60]
        assert len(first_minute) < 10
        gaps = [later - earlier for earlier, later in itertools.pairwise(came)]
        assert statistics.mean(gaps[-3:]) > statistics.mean(gaps[:3]), "the pauses grow"


def ends(manner):
    """How a server goes away."""

    async def end(server):
        if manner == "killed":
            for ws in list(server.connections):
                ws.abort()
        await server.close(1001 if manner == "killed" else manner)

    return end


async def share_of_uptime(manner, period, down, seed, clients=5, hours=0.5):
    """The share of a server's uptime in which its clients' lines are up; it is away for a while, again and again."""
    feed = trunkline.Service("feed", f"ws://{HOST}:8000/", sends=str, receives=str)
    up_since, total = {}, 0.0
    managers = [manager_of(feed, seed=f"{seed}/{number}") for number in range(clients)]

    def watch(number):
        def see(change):
            nonlocal total
            if change.after is trunkline.ConnectionStatus.CONNECTED:
                up_since[number] = change.at
            elif change.before is trunkline.ConnectionStatus.CONNECTED:
                total += change.at - up_since.pop(number)

        return see

    server = await trunkline.serve(trunkline.WebSocket.wait_closed, HOST, 8000)
    for number, manager in enumerate(managers):
        manager.subscribe(watch(number))
        await manager.connect(feed, wait=False)
    rounds = int(hours * 3600 / period)
    for _ in range(rounds):
        await asyncio.sleep(period - down)
        closing = asyncio.ensure_future(ends(manner)(server))
        await asyncio.sleep(down)
        await closing
        server = await trunkline.serve(trunkline.WebSocket.wait_closed, HOST, 8000)
    for manager in managers:
        await manager.close()
    await server.close()
    return total / (clients * rounds * (period - down))


@pytest.mark.parametrize("manner", ["killed", 1001, 1012])
@pytest.mark.parametrize(("period", "down", "least"), [(30, 1, 0.975), (20, 0.2, 0.973), (300, 5, 0.992)])
def test_a_server_that_flaps_keeps_its_clients(manner, period, down, least):
    assert run_virtual(share_of_uptime(manner, period, down, seed=1)) >= least


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


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_two_thousand_processes_are_no_herd(case):
    """Each has a manager of its own, so that only the jitter is between them; the server is at 60 % of its load."""
    found = measure(case)
    assert len(found.taken) == CLIENTS, "each once, and no second storm"
    assert busiest(found.taken) < CAPACITY
    assert longest_wait(found.taken) < 1
