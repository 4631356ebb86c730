"""The fault proxy on real sockets: each fault does what it says, at the given byte."""

import asyncio
import contextlib

import pytest

import trunkline
from trunkline.testing import Fault, FaultProxy, seeded_faults
from turns import open_files, settle, until

pytestmark = pytest.mark.anyio

LIMIT = 20  # seconds after which a hanging test fails
DATA = bytes(range(256)) * 4


class Sink:
    """A TCP server that sends DATA to every client, and records what it receives and how that ended."""

    def __init__(self) -> None:
        self.heard: list[bytes] = []
        self.ends: list[str] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        index = len(self.heard)
        self.heard.append(b"")
        writer.write(DATA)
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(100):
                self.heard[index] += data
            self.ends.append("eof")
            writer.close()
            return
        self.ends.append("reset")
        writer.transport.abort()


@contextlib.asynccontextmanager
async def through(*faults, plan=None):
    files = open_files()
    sink = Sink()
    async with asyncio.timeout(LIMIT), await asyncio.start_server(sink.serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with FaultProxy("127.0.0.1", port, plan=plan or faults) as proxy:
            yield proxy, sink
        await until(lambda: len(sink.ends) == len(sink.heard))
    await until(lambda: open_files() == files)


@contextlib.asynccontextmanager
async def dial(proxy):
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


async def test_without_a_fault_bytes_and_ends_pass_both_ways():
    async with through() as (proxy, sink), dial(proxy) as (reader, writer):
        writer.write(DATA * 100)
        assert await reader.readexactly(len(DATA)) == DATA
        writer.write_eof()
        await until(lambda: sink.ends == ["eof"])
        assert sink.heard == [DATA * 100]
        assert await reader.read() == b""
        await until(lambda: proxy.lines == [])
        assert [incident.what for incident in proxy.log] == ["accepted"]


async def test_the_log_keeps_the_latest():
    async with FaultProxy("127.0.0.1", 1, log_size=3) as proxy:
        for _ in range(5):
            async with dial(proxy) as (reader, _):
                with contextlib.suppress(ConnectionResetError):
                    await reader.read()  # nobody listens there
        await until(lambda: not proxy.lines)
        assert len(proxy.log) == 3
        assert proxy.log[-1].line == 4
    assert FaultProxy("127.0.0.1", 1).log.maxlen == 10_000
    assert FaultProxy("127.0.0.1", 1, log_size=None).log.maxlen is None


@pytest.mark.parametrize("kind", ["cut", "reset"])
@pytest.mark.parametrize("offset", [0, 1, 99, 100, 101, 1023])
async def test_a_cut_toward_the_client_comes_at_exactly_the_given_byte(kind, offset):
    async with through(Fault(kind, "client", at_byte=offset)) as (proxy, sink), dial(proxy) as (reader, _):
        got = b""
        try:
            while data := await reader.read(10_000):
                got += data
            how = "cut"
        except ConnectionResetError:
            how = "reset"
        assert how == kind
        assert DATA[:offset].startswith(got)
        assert got == DATA[:offset] or kind == "reset"
        assert proxy.log[-1].what == kind
        if offset:  # otherwise the server need not have been reached
            await until(lambda: sink.ends)
            assert sink.ends == ["eof" if kind == "cut" else "reset"]


async def test_a_cut_toward_the_server_counts_what_the_client_sends():
    async with through(Fault("cut", "server", at_byte=150)) as (proxy, sink), dial(proxy) as (reader, writer):
        writer.write(DATA)
        await reader.read()
        await until(lambda: sink.ends)
        assert (sink.heard, sink.ends) == ([DATA[:150]], ["eof"])


async def test_a_stall_holds_bytes_until_resume():
    async with through(Fault("stall", "client", at_byte=10)) as (proxy, sink), dial(proxy) as (reader, writer):
        assert await reader.readexactly(10) == DATA[:10]
        writer.write(b"the other way")
        await until(lambda: sink.heard == [b"the other way"])
        assert proxy.lines[0].to_client == 10
        proxy.resume()
        assert await reader.readexactly(len(DATA) - 10) == DATA[10:]


async def test_a_stall_ends_after_its_time():
    fault = Fault("stall", "client", at_byte=10, lasts=0.01)
    async with through(fault) as (proxy, _), dial(proxy) as (reader, _):
        assert await reader.readexactly(len(DATA)) == DATA


async def test_a_stalled_connection_is_not_read():
    """A peer that keeps sending fills the kernel's buffers, not our memory."""
    async with through(Fault("stall")) as (proxy, _), dial(proxy) as (_, writer):
        await until(lambda: proxy.lines and proxy.lines[0].server.transport)
        while not writer.transport.get_write_buffer_size():
            writer.write(bytes(2**20))
            await settle(5)
        assert proxy.lines[0].to_server == 0


async def test_half_open_drops_the_server_without_telling_the_client():
    async with through(Fault("half_open", "client", at_byte=20)) as (proxy, sink), dial(proxy) as (reader, writer):
        assert await reader.readexactly(20) == DATA[:20]
        await until(lambda: sink.ends)
        writer.write(DATA * 1000)
        await writer.drain()
        silence = asyncio.create_task(reader.read(1))
        await settle()
        assert not silence.done()
        silence.cancel()
        assert sink.heard == [b""]


async def test_a_split_passes_everything_in_pieces():
    async with through(Fault("split", amount=3)) as (proxy, sink), dial(proxy) as (reader, writer):
        writer.write(DATA)
        writer.write_eof()
        assert await reader.read() == DATA
        assert sink.heard == [DATA]


@pytest.mark.parametrize("kind", ["delay", "throttle"])
async def test_a_slow_connection_passes_everything(kind):
    amount = {"delay": 0.01, "throttle": 100_000}[kind]
    async with through(Fault(kind, amount=amount)) as (proxy, sink), dial(proxy) as (reader, writer):
        started = asyncio.get_running_loop().time()
        writer.write(DATA)
        writer.write_eof()
        assert await reader.read() == DATA
        assert sink.heard == [DATA]
        assert asyncio.get_running_loop().time() - started >= 0.009


async def test_a_refused_connection_is_reset_and_does_not_reach_the_server():
    plan = [[Fault("refuse")], []]
    async with through(plan=lambda number: plan[number]) as (proxy, sink):
        async with dial(proxy) as (reader, _):
            with pytest.raises(ConnectionResetError):
                await reader.read(1)
        assert sink.heard == []
        async with dial(proxy) as (reader, _):
            assert await reader.readexactly(len(DATA)) == DATA


async def test_a_black_hole_accepts_and_does_not_answer():
    async with through() as (proxy, sink):
        proxy.is_blackhole = True
        with pytest.raises(trunkline.OpenTimeout):
            await trunkline.connect(f"ws://127.0.0.1:{proxy.port}/", open_timeout=0.05)
        assert sink.heard == []


async def test_a_proxy_listens_on_the_same_port_after_refuse():
    async with through() as (proxy, sink), dial(proxy) as (reader, _):
        await reader.readexactly(len(DATA))
        port = proxy.port
        proxy.refuse()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", port)
        assert len(proxy.lines) == 1, "the open connection goes on"
        await proxy.accept()
        assert proxy.port == port
        async with dial(proxy) as (again, _):
            assert await again.readexactly(len(DATA)) == DATA
        assert len(sink.heard) == 2


async def test_a_server_that_cannot_be_reached(refusing_port):
    async with FaultProxy("127.0.0.1", refusing_port) as proxy, asyncio.timeout(LIMIT):
        async with dial(proxy) as (reader, _):
            with pytest.raises(ConnectionResetError):
                await reader.read(1)
        await until(lambda: proxy.lines == [])


@pytest.mark.parametrize("act", ["cut", "reset"])
async def test_a_websocket_over_it_fails(act):
    async with (
        asyncio.timeout(LIMIT),
        trunkline.serve(trunkline.WebSocket.wait_closed, "127.0.0.1", 0) as server,
        FaultProxy("127.0.0.1", server.port) as proxy,
        trunkline.connect(f"ws://127.0.0.1:{proxy.port}/") as ws,
    ):
        getattr(proxy, act)()
        with pytest.raises(trunkline.ConnectionClosedError) as caught:
            await ws.recv()
        assert caught.value.category is trunkline.ErrorCategory.NETWORK_ERROR


# Plans


async def test_a_seeded_plan_depends_only_on_the_seed_and_the_number():
    one, same, other = (seeded_faults(seed, within_bytes=1000) for seed in (7, 7, 8))
    forward = [one(number) for number in range(50)]
    assert [same(number) for number in reversed(range(50))] == forward[::-1]
    assert [other(number) for number in range(50)] != forward
    assert {fault.kind for faults in forward for fault in faults} == {"cut", "reset", "half_open", "stall"}
    assert all(0 <= fault.at_byte < 1000 for faults in forward for fault in faults)


async def test_a_plan_for_a_share_of_the_connections():
    plan = seeded_faults(1, share=0.25, within=10, kinds=["delay", "split", "throttle", "refuse", "blackhole"])
    met = [faults[0] for number in range(400) if (faults := plan(number))]
    assert 70 < len(met) < 130
    assert {fault.kind for fault in met} == {"delay", "split", "throttle", "refuse", "blackhole"}


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"kind": "burn"}, "kind is 'burn'"),
        ({"kind": "cut", "toward": "me"}, "toward is 'me'"),
        ({"kind": "cut", "at_byte": 1, "after": 1}, "only one may be given"),
        ({"kind": "cut", "at_byte": -1}, "must not be negative"),
        ({"kind": "delay"}, "must be seconds of delay"),
        ({"kind": "cut", "amount": 1}, "amount is 1"),
        ({"kind": "cut", "lasts": 1}, "lasts is 1"),
        ({"kind": "refuse", "at_byte": 1}, "when a connection is accepted"),
    ],
)
async def test_an_invalid_fault(wrong, text):
    with pytest.raises(ValueError, match=text):
        Fault(**wrong)
