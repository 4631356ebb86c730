"""The virtual loop: its clock, what it waits for, and a network that is the same in every run."""

import asyncio
import random
import time

import pytest

import trunkline
from handlers import echo
from trunkline.testing import Fault, FaultProxy, ScriptedServer, VirtualLoop, run_virtual, seeded_faults
from trunkline.testing.script import accept, answer, send, stay
from turns import now, open_files

HOST = "server.sim.invalid"


# Time


def test_hours_take_no_time_and_timers_keep_their_order():
    async def main():
        rang = []
        loop = asyncio.get_running_loop()
        for hours in (3, 1, 2):
            loop.call_later(hours * 3600, rang.append, hours)
        await asyncio.sleep(10 * 3600)
        return rang, now()

    started = time.perf_counter()
    assert run_virtual(main()) == ([1, 2, 3], 36_000.0)
    assert time.perf_counter() - started < 3600


def test_timers_fire_at_their_moment():
    async def main():
        moments = []
        for delay in (0.1, 1e-6, 86_400 * 30, 0.3):
            due = now() + delay
            await asyncio.sleep(delay)
            moments.append(now() - due)
        return moments

    assert all(abs(late) < 1e-6 for late in run_virtual(main()))


def test_a_timeout_is_of_virtual_time():
    async def main():
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(3600):
                await asyncio.get_running_loop().create_future()
        return now()

    assert run_virtual(main()) == 3600


def test_waiting_forever_is_an_error():
    async def main():
        await asyncio.get_running_loop().create_future()

    with pytest.raises(RuntimeError, match="can ever wake one"):
        run_virtual(main())


def test_time_stands_still_while_the_executor_works():
    async def main():
        sleeping = asyncio.create_task(asyncio.sleep(1000))
        at = await asyncio.to_thread(lambda: time.perf_counter_ns() > 0) and now()
        assert not sleeping.done()
        await sleeping
        return at, now()

    assert run_virtual(main()) == (0.0, 1000.0)


def test_a_stall_passes_time_in_which_nothing_runs():
    async def main():
        rang = []
        asyncio.get_running_loop().call_later(10, lambda: rang.append(now()))
        asyncio.get_running_loop().stall(30)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return rang

    assert run_virtual(main()) == [30.0]


def test_real_sockets_work_on_it():
    async def main():
        async with (
            trunkline.serve(echo, "127.0.0.1", 0) as server,
            trunkline.connect(f"ws://127.0.0.1:{server.port}/") as ws,
        ):
            await ws.send("real")
            return await ws.recv()

    assert run_virtual(main()) == "real"


# The network


def test_a_connection_on_the_simulated_network():
    async def main():
        files = open_files()
        async with trunkline.serve(echo, HOST, 8000) as server:
            assert server.port == 8000
            started = now()
            async with trunkline.connect(f"ws://{HOST}:8000/") as ws:
                assert now() - started == pytest.approx(0.004), "two of latency for the dial, two for the handshake"
                for message in ("text", b"x" * 500_000, ""):
                    await ws.send(message)
                    assert await ws.recv() == message
                (other,) = server.connections
            assert ws.close_info == trunkline.Close(1000, "", True, "local")
            await other.wait_closed()
            assert other.close_info == trunkline.Close(1000, "", True, "remote")
        return open_files() == files

    assert run_virtual(main())


def test_nobody_listens():
    async def main():
        with pytest.raises(trunkline.ConnectError) as caught:
            await trunkline.connect(f"ws://{HOST}:8000/")
        assert caught.value.category is trunkline.ErrorCategory.CONNECTION_REFUSED
        async with trunkline.serve(echo, HOST, 8000):
            with pytest.raises(OSError, match="in use"):
                await trunkline.serve(echo, HOST, 8000)
        with pytest.raises(trunkline.ConnectError):
            await trunkline.connect(f"ws://{HOST}:8000/")
        await trunkline.serve(echo, HOST, 8000)

    run_virtual(main())


def test_simulated_connections_have_no_tls(client_tls):
    async def main():
        async with trunkline.serve(echo, HOST, 8000):
            with pytest.raises(ValueError, match="cannot have TLS"):
                await trunkline.connect(f"wss://{HOST}:8000/", ssl=client_tls)

    run_virtual(main())


class Recorder(asyncio.Protocol):
    """A protocol that records its events. reads: whether it reads from the start."""

    def __init__(self, reads=True):
        self.stays = False  # whether it keeps its side open after an end of file
        self.heard = b""
        self.told = []
        self.reads = reads

    def connection_made(self, transport):
        self.transport = transport
        if not self.reads:
            transport.pause_reading()

    def data_received(self, data):
        self.heard += data

    def eof_received(self):
        self.told.append("eof")
        return self.stays

    def pause_writing(self):
        self.told.append("pause")

    def resume_writing(self):
        self.told.append("resume")

    def connection_lost(self, exc):
        self.told.append(type(exc))


async def recorders(*, reads=True):
    loop = asyncio.get_running_loop()
    far = Recorder(reads)
    server = await loop.create_server(lambda: far, HOST, 0)
    _, near = await loop.create_connection(Recorder, HOST, server.sockets[0].getsockname()[1])
    await asyncio.sleep(1)
    return near, far


def test_unread_bytes_pause_the_writer():
    async def main():
        near, far = await recorders(reads=False)
        near.transport.write(bytes(200_000))
        await asyncio.sleep(100)
        assert near.told == ["pause"]
        assert near.transport.get_write_buffer_size() == 200_000 - 65_536
        far.transport.resume_reading()
        await asyncio.sleep(1)
        assert (near.told, len(far.heard)) == (["pause", "resume"], 200_000)

    run_virtual(main())


@pytest.mark.parametrize(
    ("act", "near_told", "far_told"),
    [
        (lambda end: end.close(), [type(None)], ["eof", type(None)]),
        (lambda end: end.write_eof(), ["eof", type(None)], ["eof", type(None)]),
        (lambda end: end.abort(), [type(None)], ["eof", type(None)]),
        (lambda end: end.reset(), [type(None)], [ConnectionResetError]),
    ],
    ids=["close", "write_eof", "abort", "reset"],
)
def test_each_way_to_end(act, near_told, far_told):
    async def main():
        near, far = await recorders()
        near.transport.write(b"last words")
        act(near.transport)
        await asyncio.sleep(1)
        assert (near.told, far.told) == (near_told, far_told)
        assert far.heard == b"last words"
        near.transport.close()
        near.transport.abort()
        await asyncio.sleep(1)
        assert (near.told, far.told) == (near_told, far_told), "told once"

    run_virtual(main())


def test_bytes_for_a_closed_end_are_answered_with_a_reset():
    async def main():
        near, far = await recorders()
        far.stays = True
        near.transport.abort()
        await asyncio.sleep(1)
        far.transport.write(b"too late")
        await asyncio.sleep(1)
        assert far.told == ["eof", ConnectionResetError]

    run_virtual(main())


def test_the_fault_proxy_and_the_scripted_server_work_on_it():
    async def main():
        async with (
            ScriptedServer([answer(503)], [accept(), send("x" * 1000), stay()], host=HOST) as server,
            FaultProxy(
                HOST, server.port, listen="proxy.sim.invalid", plan=[Fault("delay", "client", amount=2)]
            ) as proxy,
        ):
            uri = f"ws://proxy.sim.invalid:{proxy.port}/"
            with pytest.raises(trunkline.HandshakeError):
                await trunkline.connect(uri)
            started = now()
            async with trunkline.connect(uri, ping_interval=None) as ws:
                assert await ws.recv() == "x" * 1000
                assert 2 < now() - started < 2.1
                proxy.reset()
                with pytest.raises(trunkline.ConnectionClosedError):
                    await ws.recv()

    run_virtual(main())


# The same in every run


async def an_hour(seed):
    """Run six clients through a fault proxy for an hour. Return every arrival, and the proxy's log."""
    loop = asyncio.get_running_loop()
    rng = random.Random(seed)
    loop.network.trace = []

    async def live(proxy):
        while now() < 3600:
            try:
                async with trunkline.connect(f"ws://proxy.sim.invalid:{proxy.port}/", close_timeout=1) as ws:
                    for _ in range(rng.randrange(30)):
                        await ws.send("x" * rng.randrange(2000))
                        await ws.recv()
                        await asyncio.sleep(rng.uniform(0, 60))
            except trunkline.TrunklineError:
                await asyncio.sleep(rng.uniform(0, 10))

    plan = seeded_faults(seed, within_bytes=20_000, kinds=["cut", "reset", "half_open", "stall", "delay"])
    async with (
        trunkline.serve(echo, HOST, 0) as server,
        FaultProxy(HOST, server.port, listen="proxy.sim.invalid", plan=plan) as proxy,
    ):
        await asyncio.gather(*(live(proxy) for _ in range(6)))
        return loop.network.trace, proxy.log


def test_the_same_seed_gives_the_same_trace():
    first, second, other = (run_virtual(an_hour(seed)) for seed in (1, 1, 2))
    assert first == second
    assert first != other
    assert len(first[0]) > 1000
    assert {incident.what for incident in first[1]} >= {"accepted", "cut", "reset", "half open, server gone"}


@pytest.fixture(scope="module")
def anyio_backend():
    return "asyncio", {"loop_factory": VirtualLoop}


@pytest.mark.anyio
async def test_anyio_runs_tests_on_it():
    await asyncio.sleep(86_400)
    assert now() >= 86_400
