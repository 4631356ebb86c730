"""The limits of docs/limits.md: the tables match the code, and each default holds at the limit, past it, and off."""

import asyncio
import inspect
import re
import socket
from pathlib import Path

import pytest

import trunkline
from rawframes import deflate
from rawhttp import request
from rawpeer import BINARY, CONTINUATION, PONG
from trunkline.manager.incoming import inbox, requests
from trunkline.net import http, keepalive, serve, settings
from trunkline.protocol import ConnectionState, head
from trunkline.testing import ScriptedServer, run_virtual
from trunkline.testing.script import hang
from turns import until

ROOT = Path(__file__).parents[2]
HOST = "server.sim.invalid"
MIB = 2**20


def native(name, module):
    """A constant of the compiled core, by its source."""
    source = (ROOT / f"native/trunkline/{module}.pyx").read_text()
    value = re.search(rf"^    {name} = ([0-9 *]+)", source, re.MULTILINE)
    return eval(value[1])


def default(function, name):
    return inspect.signature(function).parameters[name].default


def of_the_code():
    """Parameter or constant, and its default."""
    own = trunkline.Settings()
    fields = {name: getattr(own, name) for name in settings.Limits.__annotations__ if name != "logger"}
    return fields | {
        "MAX_INTERIM": head.MAX_INTERIM,
        "MAX_BODY": http.MAX_BODY,
        "MAX_PARTS": http.MAX_PARTS,
        "BODY_WAIT": http.BODY_WAIT,
        "MAX_PENDING": keepalive.MAX_PENDING,
        "MAX_PONGS": native("MAX_PONGS", "_outlet"),
        "MAX_FRAMES": native("MAX_FRAMES", "_link"),
        **{name: native(name, "_inflate") for name in ("MAX_INFLATED", "MAX_DEFLATED", "MAX_CALLS", "MAX_ENDS")},
        "MAX_WIDE": native("MAX_WIDE", "_frames"),
        "LAST_TURNS": native("LAST_TURNS", "_link"),
        **{name: native(name, "_inbox") for name in ("INBOX_BYTES", "A_MESSAGE", "A_WIDE_MESSAGE")},
        "HIGH_WATER": own.write_marks[0],
        "LOW_WATER": own.write_marks[1],
        "broadcast(patience=)": default(trunkline.broadcast, "patience"),
        "BURST": native("BURST", "_fanout"),
        "Deflate(threshold=)": trunkline.Deflate().threshold,
        "max_redirects": default(trunkline.connect, "max_redirects"),
        **{name: default(trunkline.serve, name) for name in ("origins", "max_connections", "max_pending_handshakes")},
        "MAX_REFUSED": serve.MAX_REFUSED,
        "TLS_TIMEOUT": serve.TLS_TIMEOUT,
    }  # fmt: skip


def of_the_managers():
    """The same of managed connections."""
    outbox, retry = trunkline.manager.OutboxPolicy(), trunkline.manager.RetryPolicy()
    counts = ("max_messages", "max_bytes", "max_age", "max_unconfirmed", "max_unconfirmed_bytes")
    kept = ("INBOX_MESSAGES", "INBOX_SIZE", "OVERFLOW", "QUARANTINE_MESSAGES", "QUARANTINE_SIZE")
    return {
        **{name: getattr(inbox, name) for name in kept},
        **{f"OutboxPolicy({name}=)": getattr(outbox, name) for name in counts},
        "MAX_GIVEN_UP": requests.MAX_GIVEN_UP,
        "Service(hook_timeout=)": default(trunkline.Service, "hook_timeout"),
        **{f"RetryPolicy({name}=)": getattr(retry, name) for name in ("attempt_timeout", "longest_retry_after")},
    }


def test_the_tables_are_those_of_the_code():
    rows = re.findall(
        r"^\| .*? \| ([0-9,]+|None) \| (?:fixed: )?`(.*?)`", (ROOT / "docs/limits.md").read_text(), re.MULTILINE
    )
    told = {name: None if value == "None" else int(value.replace(",", "")) for value, name in rows}
    assert told == of_the_code() | of_the_managers()
    assert len(rows) == len(told)


@pytest.mark.anyio
class TestMessages:
    """With the defaults in force, in both roles."""

    async def test_max_size(self, line):
        async with line() as (ws, peer):
            peer.send(BINARY, bytes(MIB))
            assert len(await ws.recv()) == MIB
            peer.send(BINARY, bytes(MIB + 1))
            with pytest.raises(trunkline.MessageTooBig, match=r"message of 1048577 bytes or more, max_size 1048576 "):
                await ws.recv()
            assert (await peer.frame()).close == (1009, "message too big")
            assert ws.stats().errors == 1

    async def test_max_size_off(self, line):
        async with line(max_size=None) as (ws, peer):
            peer.send(BINARY, bytes(3 * MIB))
            assert len(await ws.recv()) == 3 * MIB

    async def test_max_size_counts_inflated_bytes(self, compressed):
        async with compressed() as (ws, peer):
            for size in (MIB, MIB + 1):
                peer.send(BINARY, deflate(bytes(size)), rsv=4)
            assert len(await ws.recv()) == MIB
            with pytest.raises(trunkline.MessageTooBig, match="1048577 bytes or more, max_size 1048576"):
                await ws.recv()
            assert (await peer.frame()).close == (1009, "message too big")

    async def test_max_fragments(self, line):
        async with line() as (ws, peer):
            for extra in (0, 1):
                peer.send(BINARY, b"x", fin=False)
                for _ in range(1022 + extra):
                    peer.send(CONTINUATION, b"x", fin=False)
                peer.send(CONTINUATION, b"x")
            assert await ws.recv() == b"x" * 1024
            with pytest.raises(trunkline.RemoteProtocolError, match="message in 1025 fragments, max_fragments 1024 "):
                await ws.recv()

    async def test_max_fragments_off(self, line):
        async with line(max_fragments=None) as (ws, peer):
            peer.send(BINARY, b"x", fin=False)
            for _ in range(5000):
                peer.send(CONTINUATION, b"x", fin=False)
            peer.send(CONTINUATION, b"x")
            assert await ws.recv() == b"x" * 5002

    @pytest.mark.parametrize(("max_queue", "count"), [(16, 16), (16, 17), (None, 300)])
    async def test_max_queue(self, line, max_queue, count):
        async with line(**({} if max_queue == 16 else {"max_queue": max_queue})) as (ws, peer):
            for index in range(count):
                peer.send(BINARY, b"x")
                await until(lambda index=index: ws.stats().messages_received > index)
            assert ws._reading_paused is (count == 17)

    async def test_write_limit(self, line):
        async with line(buffers=4096) as (ws, _):
            while ws._waiting <= MIB:
                ws.send_nowait(b"x" * 10_000)
            assert ws._waiting <= MIB + 10_010
            with pytest.raises(trunkline.SlowConsumer, match=r"limit 1048576 \(write_limit\)") as caught:
                ws.send_nowait(b"x")
            assert caught.value.pending > MIB

    async def test_pongs_of_one_read(self, line):
        """64 and the latest: see test_floods for one more and one less."""
        async with line() as (ws, peer):
            peer.writer.write(b"".join(peer.encode(9, b"%d" % index) for index in range(64)))
            assert [(await peer.frame()).opcode for _ in range(64)] == [PONG] * 64
            assert ws.stats().pongs_sent == 64


class TestTimes:
    """On a virtual clock, with the defaults in force: at the limit, a moment before it, and off."""

    def test_open_timeout_of_a_client(self):
        async def main(late, **options):
            loop = asyncio.get_running_loop()

            async def answer_late(peer):
                await asyncio.sleep(late)
                await peer.accept()
                await hang()(peer)

            async with ScriptedServer([answer_late], host=HOST) as server:
                began = loop.time()
                try:
                    ws = await trunkline.connect(server.uri, **options)
                except trunkline.OpenTimeout:
                    return loop.time() - began
                ws.abort()
                return None

        assert run_virtual(main(9.9)) is None
        assert run_virtual(main(10.1)) == pytest.approx(10)
        assert run_virtual(main(3600, open_timeout=None)) is None

    def test_open_timeout_of_a_server(self):
        async def main(late, **options):
            loop = asyncio.get_running_loop()
            async with trunkline.serve(trunkline.WebSocket.wait_closed, HOST, 8000, **options) as server:
                reader, writer = await asyncio.open_connection(HOST, 8000)
                began = loop.time()
                await asyncio.sleep(late)
                writer.write(request())
                try:
                    status = (await reader.readline())[9:12]
                except ConnectionResetError:
                    status = b""
                writer.transport.abort()
                return status, server.health().expired, loop.time() - began > late

        assert run_virtual(main(9.9))[:2] == (b"101", 0)
        assert run_virtual(main(10.1))[:2] == (b"", 1)
        assert run_virtual(main(3600, open_timeout=None))[:2] == (b"101", 0)

    def test_close_timeout(self):
        async def main(late):
            loop = asyncio.get_running_loop()

            async def answer_late(peer):
                await peer.accept()
                await asyncio.sleep(late)
                await peer.write(b"\x88\x02\x03\xe8")
                await peer.drop()

            async with ScriptedServer([answer_late], host=HOST) as server:
                ws = await trunkline.connect(server.uri)
                began = loop.time()
                await ws.close()
                return ws.close_info.clean, loop.time() - began

        assert run_virtual(main(4.9)) == (True, pytest.approx(4.9, abs=0.01))
        assert run_virtual(main(5.1)) == (False, pytest.approx(5, abs=0.01))

    def test_close_timeout_cannot_be_off(self):
        with pytest.raises(ValueError, match="close_timeout is None"):
            trunkline.connect("ws://localhost/", close_timeout=None)

    def test_the_keepalive(self):
        async def main(byte_at, **options):
            loop = asyncio.get_running_loop()

            async def quiet(peer):
                await peer.accept()
                if byte_at is not None:
                    await asyncio.sleep(byte_at)
                    await peer.write(b"\x81")  # half a header is a sign of life
                await hang()(peer)

            async with ScriptedServer([quiet], host=HOST) as server:
                ws = await trunkline.connect(server.uri, **options)
                began = loop.time()
                await asyncio.sleep(60)
                if ws.state is ConnectionState.OPEN:
                    ws.abort()
                    return None
                return ws.close_info.code, loop.time() - began

        assert run_virtual(main(None))[0] == 1011
        assert run_virtual(main(19.9))[0] == 1011  # before the ping: proves nothing
        assert run_virtual(main(39.9)) is None
        assert run_virtual(main(None, ping_interval=None)) is None
        assert run_virtual(main(None, ping_timeout=None)) is None


@pytest.mark.anyio
class TestServers:
    """How many there may be."""

    @pytest.mark.parametrize("most", [1, 2, None])
    async def test_max_connections(self, most):
        async with trunkline.serve(trunkline.WebSocket.wait_closed, "127.0.0.1", 0, max_connections=most) as server:
            uri = f"ws://127.0.0.1:{server.port}/"
            links = [await trunkline.connect(uri, proxy=None) for _ in range(most or 50)]
            if most is not None:
                with pytest.raises(trunkline.HandshakeError) as caught:
                    await trunkline.connect(uri, proxy=None)
                assert caught.value.status == 503
            assert server.health().turned_away == (most is not None)
            for ws in links:
                await ws.close()
            async with trunkline.connect(uri, proxy=None) as ws:  # there is room again
                assert await ws.ping() >= 0

    @pytest.mark.parametrize("most", [1, 2, None])
    async def test_max_pending_handshakes(self, most):
        async with trunkline.serve(
            trunkline.WebSocket.wait_closed, "127.0.0.1", 0, max_pending_handshakes=most
        ) as server:
            address, uri = ("127.0.0.1", server.port), f"ws://127.0.0.1:{server.port}/"
            idle = [socket.create_connection(address) for _ in range(most or 50)]
            await until(lambda: server.health().pending_handshakes == len(idle))
            if most is None:
                async with trunkline.connect(uri, proxy=None) as ws:
                    assert await ws.ping() >= 0
            else:
                with pytest.raises(trunkline.HandshakeError) as caught:
                    await trunkline.connect(uri, proxy=None)
                assert caught.value.status == 503
            assert server.health().turned_away == (most is not None)
            for sock in idle:
                sock.close()

    @pytest.mark.parametrize("name", ["max_connections", "max_pending_handshakes"])
    async def test_less_than_one(self, name):
        with pytest.raises(ValueError, match=f"{name} is 0, must be 1 or more, or None for no limit"):
            trunkline.serve(trunkline.WebSocket.wait_closed, "127.0.0.1", 0, **{name: 0})
