"""Streams of our own: they promise what asyncio's transports do, and their set of sockets tells one from another."""

import asyncio
import contextlib
import contextvars
import gc
import os
import random
import socket
import ssl
import struct
import subprocess
import sys
import threading

import pytest

import trunkline
from handlers import echo
from loops import RunningLoop
from trunkline._link import Link
from trunkline.net.loops import state_of
from trunkline.net.streams import VARIABLE, has_streams, start_stream
from trunkline.testing import VirtualLoop
from turns import open_files, settle, until

pytestmark = pytest.mark.anyio

RESET = struct.pack("ii", 1, 0)  # SO_LINGER: closing resets


class Recorder(Link, asyncio.Protocol):
    """A link that notes what its transport calls."""

    def __init__(self, keeps_open=False):
        self._join(state_of(asyncio.get_running_loop()), self)
        self.called, self.data, self.keeps_open = [], b"", keeps_open
        self.lost = asyncio.get_running_loop().create_future()

    def on_opening(self, data):
        self.data += data
        self.on_data()

    def on_data(self):
        pass

    def connection_made(self, transport):
        self.stream = transport
        self.called.append("made")

    def eof_received(self):
        self.called.append("eof")
        return self.keeps_open

    def pause_writing(self):
        self.called.append("pause")

    def resume_writing(self):
        self.called.append("resume")

    def connection_lost(self, exc):
        self.called.append("lost")
        self.lost.set_result(exc)


async def on_stream(sock, link):
    start_stream(state_of(asyncio.get_running_loop()), sock, link)


async def on_asyncio(sock, link):
    await asyncio.get_running_loop().create_connection(lambda: link, sock=sock)


STARTS = pytest.mark.parametrize("start", [on_stream, on_asyncio])  # each promise is asyncio's, too


@pytest.fixture
def peers():
    """Two ends of a connection: one for the stream, one for the test. Both are closed at the end, whoever has them."""
    made = []

    def make(family="tcp"):
        if family == "unix":
            near, far = socket.socketpair()
        else:
            with socket.create_server(("127.0.0.1" if family == "tcp" else "::1", 0), family=FAMILIES[family]) as at:
                near = socket.create_connection(at.getsockname()[:2])
                far, _ = at.accept()
        far.settimeout(20)
        near.setblocking(False)
        made.extend([near, far])
        return near, far

    yield make
    for sock in made:
        sock.close()


FAMILIES = {"tcp": socket.AF_INET, "tcp6": socket.AF_INET6}


async def drain(far, n):
    """Read n bytes at the far end, or as many as come, while the loop runs."""

    def read():
        got = b""
        while len(got) < n and (more := far.recv(n - len(got))):
            got += more
        return got

    return await asyncio.get_running_loop().run_in_executor(None, read)


@STARTS
@pytest.mark.parametrize("family", ["tcp", "tcp6", "unix"])
async def test_it_reads_writes_and_tells_of_the_end(peers, start, family):
    near, far = peers(family)
    names = near.getsockname(), near.getpeername()
    link = Recorder()
    await start(near, link)
    assert (link.stream.get_extra_info("sockname"), link.stream.get_extra_info("peername")) == names
    assert link.stream.get_extra_info("socket").fileno() == near.fileno()
    assert link.stream.get_extra_info("nothing", 5) == 5
    far.sendall(b"hello")
    await until(lambda: link.data == b"hello")
    link.stream.write(bytearray(b"how "))
    link.stream.write(memoryview(b"are"))
    link.stream.writelines([b" you", b"", b"?"])
    assert await drain(far, 12) == b"how are you?"
    far.close()
    assert await link.lost is None
    assert link.called == ["made", "eof", "lost"]
    await settle()
    assert near.fileno() == -1
    assert (link.stream.get_extra_info("sockname"), link.stream.get_extra_info("peername")) == names


@STARTS
async def test_what_the_socket_does_not_take_waits_and_leaves_in_order(peers, start):
    near, far = peers()
    link = Recorder()
    await start(near, link)
    link.stream.set_write_buffer_limits(high=1000, low=100)
    assert link.stream.get_write_buffer_limits() == (100, 1000)
    sent = b""
    for number in range(200):
        piece = bytes([number]) * 50_000
        link.stream.write(piece)
        sent += piece
    assert link.called == ["made", "pause"]
    waiting = link.stream.get_write_buffer_size()
    assert waiting > 1000
    link.stream.close()
    link.stream.close()
    assert link.stream.is_closing()
    assert not link.stream.is_reading()
    assert await drain(far, len(sent)) == sent
    assert await link.lost is None
    assert link.called == ["made", "pause", "resume", "lost"]
    assert far.recv(1) == b""


@STARTS
async def test_abort_drops_what_waits(peers, start):
    near, far = peers()
    link = Recorder()
    await start(near, link)
    link.stream.write(bytes(50_000_000))
    link.stream.abort()
    link.stream.abort()
    link.stream.write(b"nothing")
    assert await link.lost is None
    assert len(await drain(far, 50_000_000)) < 50_000_000
    assert link.called == ["made", "pause", "lost"]


@STARTS
async def test_each_side_ends_alone(peers, start):
    near, far = peers()
    link = Recorder(keeps_open=True)
    await start(near, link)
    assert link.stream.can_write_eof()
    link.stream.write(bytes(10_000_000))
    link.stream.write_eof()
    with pytest.raises(RuntimeError, match=r"Cannot call write\(\) after write_eof\(\)"):
        link.stream.write(b"late")
    assert len(await drain(far, 10_000_001)) == 10_000_000
    far.sendall(b"still here")
    await until(lambda: link.data == b"still here")
    far.shutdown(socket.SHUT_WR)
    await until(lambda: "eof" in link.called)
    await settle()
    assert "lost" not in link.called
    link.stream.close()
    assert await link.lost is None


@STARTS
async def test_a_pause_keeps_everything(peers, start):
    near, far = peers()
    link = Recorder()
    await start(near, link)
    link.stream.pause_reading()
    link.stream.pause_reading()
    assert not link.stream.is_reading()
    far.sendall(b"kept")
    far.shutdown(socket.SHUT_WR)
    await settle()
    assert link.called == ["made"]
    assert link.data == b""
    link.stream.resume_reading()
    link.stream.resume_reading()
    assert await link.lost is None
    assert link.data == b"kept"


@STARTS
async def test_a_pause_in_the_middle_of_a_read(peers, start):
    near, far = peers()
    link = Recorder()
    link.on_data = lambda: link.stream.pause_reading()
    await start(near, link)
    far.sendall(b"one")
    await until(lambda: link.data)
    far.sendall(b"two")
    await settle()
    assert link.data == b"one"
    link.stream.resume_reading()
    await until(lambda: link.data == b"onetwo")
    link.stream.abort()
    await link.lost


@STARTS
@pytest.mark.parametrize("how", ["reading", "writing"])
async def test_a_reset_is_told(peers, start, how):
    near, far = peers()
    link = Recorder()
    await start(near, link)
    if how == "writing":
        link.stream.pause_reading()
    far.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    far.close()
    if how == "writing":
        link.stream.write(b"hello?")
    assert isinstance(await link.lost, ConnectionResetError | BrokenPipeError)
    assert link.called == ["made", "lost"]


@pytest.mark.parametrize(("high", "low"), [(1, 2), (-1, None), (5, -1)])
@STARTS
async def test_wrong_marks(peers, start, high, low):
    link = Recorder()
    await start(peers()[0], link)
    with pytest.raises(ValueError, match="must be"):
        link.stream.set_write_buffer_limits(high, low)
    link.stream.abort()
    await link.lost


async def test_what_came_before_a_reset_is_read_though_writing_fails_first(peers):
    near, far = peers()
    link = Recorder()
    await on_stream(near, link)
    far.sendall(b"this is why")
    far.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    far.close()
    link.stream.write(b"hello?")
    assert isinstance(await link.lost, ConnectionResetError)
    assert link.data == b"this is why"


async def test_what_a_callback_raises_ends_the_stream(peers):
    near, far = peers()
    link = Recorder()
    await on_stream(near, link)
    link.on_data = lambda: 1 / 0
    far.sendall(b"x")
    assert isinstance(await link.lost, ZeroDivisionError)


async def test_a_link_that_cannot_start(peers):
    near, far = peers()
    link = Recorder()
    link.connection_made = None
    with pytest.raises(TypeError):
        await on_stream(near, link)
    assert near.fileno() == -1
    assert far.recv(1) == b""


async def test_a_closed_socket_is_refused(peers):
    near, _ = peers()
    near.close()
    with pytest.raises(ValueError, match="the socket is closed"):
        await on_stream(near, Recorder())


# The set


async def test_more_sockets_are_ready_than_one_call_tells(peers):
    pairs = [peers("unix") for _ in range(600)]
    links = [Recorder() for _ in pairs]
    for (near, _), link in zip(pairs, links, strict=True):
        await on_stream(near, link)
    for number, (_, far) in enumerate(pairs):
        far.sendall(b"%d" % number)
    await until(lambda: all(link.data for link in links))
    assert [int(link.data) for link in links] == list(range(600))
    for link in links:
        link.stream.abort()
    await asyncio.gather(*(link.lost for link in links))
    assert len(state_of(asyncio.get_running_loop()).poller) == 0


async def test_those_that_go_while_others_are_called_are_not_called(peers):
    pairs = [peers("unix") for _ in range(20)]
    links = [Recorder() for _ in pairs]

    def end_all():
        for link in links:
            link.stream.abort()

    for (near, far), link in zip(pairs, links, strict=True):
        await on_stream(near, link)
        link.on_data = end_all
        far.sendall(b"x")
    await asyncio.gather(*(link.lost for link in links))
    assert sorted(len(link.data) for link in links) == [0] * 19 + [1]


async def test_a_descriptor_that_somebody_else_closed(peers):
    near, _ = peers("unix")
    old = Recorder()
    await on_stream(near, old)
    number = near.fileno()
    os.close(number)  # a fault of the program
    other, far = peers("unix")
    if other.fileno() != number:
        os.dup2(other.fileno(), number)
        other.close()
        other = socket.socket(fileno=number)
        other.setblocking(False)
    new = Recorder()
    await on_stream(other, new)
    assert (await old.lost).errno == 9
    far.sendall(b"mine")
    await until(lambda: new.data == b"mine")
    new.stream.write(b"yours")
    assert far.recv(10) == b"yours"
    new.stream.abort()
    await new.lost
    assert far.recv(1) == b""


@pytest.mark.parametrize("paused", [False, True], ids=["reading", "paused"])
def test_a_loop_that_is_closed_with_connections_open(factory, peers, paused):
    near, far = peers("unix")

    async def main():
        link = Recorder()
        await on_stream(near, link)
        link.stream.write(bytes(10_000_000))
        if paused:
            link.stream.pause_reading()
        return link, state_of(asyncio.get_running_loop())

    before = open_files()
    loop = factory()
    link, state = loop.run_until_complete(main())
    loop.close()
    assert near.fileno() == -1
    assert link.called == ["made", "pause"], "nobody can be called any more"
    assert len(state.poller) == 0
    assert set(open_files()) < set(before)
    link.stream.write(b"nothing")
    link.stream.resume_reading()
    link.stream.close()
    link.stream.abort()
    with pytest.raises(RuntimeError, match="closed"):
        start_stream(state, far.dup(), link)


FORKING = """
import asyncio, os, sys
import trunkline
{factory}

async def echo(ws):
    async for message in ws:
        await ws.send(message)

async def main():
    async with trunkline.serve(echo, "127.0.0.1", 0) as server:
        uri = f"ws://127.0.0.1:{{server.port}}/"
        async with trunkline.connect(uri) as ws:
            child = os.fork()
            if child == 0:
                return
            os.waitpid(child, 0)
            for _ in range(3):
                await ws.send("still here")
                assert await asyncio.wait_for(ws.recv(), 10) == "still here"
            print("the parent works")

parent, loop = os.getpid(), new_event_loop()
try:
    loop.run_until_complete(main())
finally:
    if os.getpid() != parent:
        import gc
        gc.collect()
        asyncio.run(main.__globals__["after_fork"]())
        os._exit(0)
loop.close()
"""


@pytest.mark.parametrize("which", ["asyncio", "uvloop"])
def test_a_child_of_a_fork_leaves_the_parent_alone(which):
    source = FORKING.format(factory=f"from {which} import new_event_loop")
    source = source.replace(
        "parent, loop",
        """async def after_fork():
    async with trunkline.serve(echo, "127.0.0.1", 0) as server:
        async with trunkline.connect(f"ws://127.0.0.1:{server.port}/") as ws:
            await ws.send("a child works")
            assert await ws.recv() == "a child works"

parent, loop""",
    )
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, timeout=60)
    assert done.stdout == "the parent works\n", done.stderr


def test_each_loop_has_a_set_of_its_own(factory):
    loops = [RunningLoop(factory) for _ in range(3)]

    async def talk():
        async with (
            trunkline.serve(echo, "127.0.0.1", 0) as server,
            trunkline.connect(f"ws://127.0.0.1:{server.port}/") as ws,
        ):
            for _ in range(50):
                await ws.send("hello")
                assert await ws.recv() == "hello"
            return threading.get_ident(), state_of(asyncio.get_running_loop()).poller

    started = [loop.begin(talk()) for loop in loops]
    done = [one.result(60) for one in started]
    for loop in loops:
        loop.end()
        assert loop.errors == []
    assert len({thread for thread, _ in done}) == len({poller for _, poller in done}) == 3


async def test_context_variables_are_those_of_whoever_made_the_connection():
    who = contextvars.ContextVar("who", default="nobody")
    seen = []

    class Listener(trunkline.Listener):
        def on_message(self, ws, message):
            seen.append((who.get(), message))
            who.set(f"{who.get()}+{message}")
            ws.send_nowait(message)

    who.set("server")
    async with trunkline.serve(listener=Listener, host="127.0.0.1", port=0) as server:
        who.set("client")
        for name in ("a", "b"):
            async with trunkline.connect(f"ws://127.0.0.1:{server.port}/") as ws:
                for text in (name, name * 2):
                    await ws.send(text)
                    assert await ws.recv() == text
    assert seen == [("server", "a"), ("server+a", "aa"), ("server", "b"), ("server+b", "bb")]


async def test_which_loops_have_streams(monkeypatch):
    loop = asyncio.get_running_loop()
    assert has_streams(loop)
    virtual = VirtualLoop()
    assert not has_streams(virtual)
    virtual.close()
    monkeypatch.setenv(VARIABLE, "asyncio")
    assert not has_streams(loop)
    monkeypatch.setenv(VARIABLE, "carrier pigeon")
    with pytest.raises(ValueError, match="TRUNKLINE_TRANSPORT is 'carrier pigeon', must be stream or asyncio"):
        has_streams(loop)


# Every descriptor is closed once


def sockets():
    """The descriptors that are sockets."""
    return {number for number, what in open_files().items() if what.startswith("socket:")}


DIALS = 2_500  # of each of four kinds of server, on each loop


@pytest.mark.parametrize("moment", ["at once", "after the request", "within the answer", "after the answer"])
async def test_servers_that_reset_at_any_moment(moment):
    answers = {"within the answer": b"HTTP/1.1 101 Switching", "after the answer": b"HTTP/1.1 200 OK\r\n\r\n"}
    listening = socket.create_server(("127.0.0.1", 0), backlog=512)
    over = threading.Event()

    def serve():
        while True:
            far, _ = listening.accept()
            if over.is_set():
                far.close()
                return
            if moment != "at once":
                far.recv(10_000)
            with contextlib.suppress(OSError):
                far.sendall(answers.get(moment, b""))
            far.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            far.close()

    # Warm up whatever opens descriptors once, then count.
    thread = threading.Thread(target=serve)
    thread.start()
    uri = f"ws://127.0.0.1:{listening.getsockname()[1]}/"

    async def dial():
        with pytest.raises(trunkline.HandshakeError if moment == "after the answer" else OSError):
            await trunkline.connect(uri)

    try:
        await dial()
        await settle()
        before = sockets()
        bystanders = [os.open("/dev/null", os.O_RDONLY) for _ in range(50)]
        files = [os.fstat(number) for number in bystanders]
        for _ in range(DIALS // 10):
            await asyncio.gather(*(dial() for _ in range(10)))
        await settle()
        assert [os.fstat(number).st_ino for number in bystanders] == [file.st_ino for file in files]
        for number in bystanders:
            os.close(number)
        async with asyncio.timeout(20):  # the server may still be closing the last one
            await until(lambda: sockets() <= before)
        assert len(state_of(asyncio.get_running_loop()).poller) == 0
    finally:
        over.set()
        socket.create_connection(listening.getsockname()).close()
        thread.join(20)
        listening.close()


# What a program can do to a connection


@pytest.mark.parametrize("how", ["close", "os.close"])
async def test_a_socket_that_the_program_closes_ends_its_connection(how):
    async with trunkline.serve(echo, "127.0.0.1", 0) as server:
        sock = socket.create_connection(("127.0.0.1", server.port))
        ws = await trunkline.connect(f"ws://127.0.0.1:{server.port}/", sock=sock, close_timeout=60)
        if how == "close":
            sock.close()
        else:
            os.close(sock.detach())
        with contextlib.suppress(trunkline.ConnectionClosed):
            await ws.send("nobody gets this")
        await settle()
        ws.abort()
        async with asyncio.timeout(20):
            await ws.wait_closed()


async def test_a_socket_that_is_asked_for_while_it_is_closed_closes_no_other(monkeypatch):
    """get_extra_info is for any thread: one that makes the object of the socket may be overtaken by the close."""
    real, is_made, may_go_on = socket.socket, threading.Event(), threading.Event()

    class Slow(real):
        def __init__(self, *arguments, **options):
            super().__init__(*arguments, **options)
            if threading.current_thread() is asker:
                is_made.set()
                may_go_on.wait(20)

    accepted = []

    async def handle(ws):
        accepted.append(ws)
        await ws.wait_closed()

    async with trunkline.serve(handle, "127.0.0.1", 0) as server:
        client = await trunkline.connect(f"ws://127.0.0.1:{server.port}/")
        await until(lambda: accepted)
        monkeypatch.setattr(socket, "socket", Slow)
        asker = threading.Thread(target=lambda: accepted[0].get_extra_info("socket"))
        asker.start()
        await until(is_made.is_set)
        monkeypatch.undo()
        accepted[0].abort()
        await accepted[0].wait_closed()
        await settle()
        others = [os.open("/dev/null", os.O_RDONLY) for _ in range(6)]
        may_go_on.set()
        asker.join(20)
        accepted.clear()
        gc.collect()
        for number in others:
            os.close(number)  # it would raise if somebody else had
        client.abort()
        await client.wait_closed()


@pytest.mark.parametrize(
    ("kind", "error"), [(socket.SOCK_SEQPACKET, "must be SOCK_STREAM"), (ssl.SSLSocket, "sock is an SSLSocket")]
)
async def test_sockets_that_cannot_carry_a_connection(kind, error, client_tls):
    near, far = socket.socketpair(type=socket.SOCK_STREAM if kind is ssl.SSLSocket else kind)
    if kind is ssl.SSLSocket:
        near = client_tls.wrap_socket(near, do_handshake_on_connect=False, server_hostname="localhost")
    with pytest.raises((TypeError, ValueError), match=error):
        await trunkline.connect("ws://localhost/", sock=near)
    assert near.fileno() == -1
    assert far.recv(1) == b"", "nothing was sent"
    far.close()


async def test_a_stream_starts_once(peers):
    link = Recorder()
    await on_stream(peers()[0], link)
    with pytest.raises(RuntimeError, match="cannot be started"):
        link.stream.start(Recorder())
    link.stream.abort()
    await link.lost
    await settle()
    with pytest.raises(RuntimeError, match="cannot be started"):
        link.stream.start(Recorder())


async def test_a_sender_that_waited_goes_on_although_the_socket_took_everything_at_once():
    """The peer reads between a write that did not fit and the next one: then nobody tells of room any more."""

    async def read(ws):
        async for _ in ws:
            pass

    chance = random.Random(1)
    async with (
        trunkline.serve(read, "127.0.0.1", 0) as server,
        trunkline.connect(f"ws://127.0.0.1:{server.port}/", ping_interval=None, compression=None) as ws,
    ):
        ws.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 400_000)
        for _ in range(2_000):
            async with asyncio.timeout(20):
                await ws.send(bytes(chance.randint(1_000, 600_000)))


PREFORK = """
import asyncio, os
import trunkline
from {which} import new_event_loop

async def echo(ws):
    async for message in ws:
        await ws.send(message)

async def talk(server):
    async with trunkline.connect(f"ws://127.0.0.1:{{server.port}}/") as ws:
        await ws.send("a child works")
        print(await ws.recv(), flush=True)

async def begin():
    return await trunkline.serve(echo, "127.0.0.1", 0)

loop = new_event_loop()
server = loop.run_until_complete(begin())
if os.fork() == 0:
    loop.run_until_complete(talk(server))
    os._exit(0)
os.wait()
"""


@pytest.mark.parametrize("which", ["asyncio", "uvloop"])
def test_a_loop_from_before_a_fork_works_in_the_child(which):
    command = [sys.executable, "-c", PREFORK.format(which=which)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.stdout == "a child works\n", done.stderr
