"""Sockets handed to the loop: if connecting fails, the descriptor is closed once, even if its number is reused."""

import asyncio
import contextlib
import gc
import os
import socket
import struct

import pytest

import trunkline
from cancelling import cancel_everywhere
from tunnels import Tunnels, running
from turns import open_files, settle

pytestmark = pytest.mark.anyio

RESET = struct.pack("ii", 1, 0)  # SO_LINGER: closing resets


def reset_socket() -> socket.socket:
    """A connected socket whose peer has reset the connection."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        sock = socket.create_connection(listening.getsockname())
        there, _ = listening.accept()
        there.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        there.close()
    return sock


@contextlib.contextmanager
def somebody_elses(number: int):
    """Within the block the number belongs to another file; check that it still does at the end."""
    assert str(number) not in open_files()
    null = os.open("/dev/null", os.O_RDONLY)
    if null != number:
        os.dup2(null, number)
        os.close(null)
    file = os.fstat(number)
    yield
    gc.collect()
    assert os.path.samestat(os.fstat(number), file)
    os.close(number)


@pytest.mark.parametrize("tls", [False, True], ids=["tcp", "tls"])
async def test_a_server_that_resets_at_once(tls, client_tls):
    sock = reset_socket()
    number = sock.fileno()
    with pytest.raises(trunkline.ConnectError):
        await trunkline.connect(
            "wss://localhost/" if tls else "ws://localhost/", sock=sock, ssl=client_tls if tls else None
        )
    await settle()
    with somebody_elses(number):
        assert sock.fileno() == -1
        sock.close()
        del sock


@pytest.mark.parametrize("tls", [False, True], ids=["tcp", "tls"])
@pytest.mark.parametrize("turns", range(6))
async def test_a_dial_that_is_cancelled(tls, turns, client_tls):
    with socket.create_server(("127.0.0.1", 0)) as listening:
        sock = socket.create_connection(listening.getsockname())
        number = sock.fileno()
        uri = "wss://localhost/" if tls else "ws://localhost/"
        dial = asyncio.ensure_future(trunkline.connect(uri, sock=sock, ssl=client_tls if tls else None)._open())
        await settle(turns)
        dial.cancel()
        await asyncio.wait([dial])
        assert dial.cancelled()
        await settle()
        if turns == 0:  # it had not begun, and the socket is still the caller's
            sock.close()
        with somebody_elses(number):
            assert sock.fileno() == -1
            sock.close()


class HangsUp(Tunnels):
    """A proxy that reads the request, and hangs up."""

    async def talk(self, reader, writer):
        self.writers.append(writer)
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
        writer.close()


def all_numbers_are_free():
    """The next file with this number can be added to the loop, which refuses a number that a transport still uses."""
    loop = asyncio.get_running_loop()
    with contextlib.ExitStack() as stack:
        for _ in range(8):
            sock = stack.enter_context(socket.socket())
            loop.add_reader(sock.fileno(), lambda: None)
            loop.remove_reader(sock.fileno())


@pytest.mark.parametrize("late", [False, True], ids=["waiting", "late"])
@pytest.mark.posix
async def test_a_dial_that_is_cancelled_leaves_no_transport_on_its_number(late, server_tls, client_tls):
    """At each of its awaits: how many there are depends on how fast the addresses are tried and answer."""
    async with running(HangsUp(), server_tls) as proxy:
        options = {"proxy": f"https://localhost:{proxy.port}", "proxy_ssl": client_tls, "open_timeout": None}

        async def act():
            with contextlib.suppress(trunkline.ProxyError):
                await trunkline.connect("ws://server.example/", **options)

        async def look():
            all_numbers_are_free()
            await settle()

        assert await cancel_everywhere(act, late=late, after=look) >= 2


@pytest.mark.posix
async def test_nor_does_a_server_whose_time_for_tls_ends_as_tls_does(monkeypatch, server_tls, client_tls):
    kind = type(asyncio.get_running_loop())
    real = kind.connect_accepted_socket
    numbers = []

    async def connect_accepted_socket(self, factory, sock, **options):
        transport, _ = await real(self, factory, sock, **options)
        transport.close()  # as the loops do when they are cancelled
        loop.call_soon(lambda: numbers.append(all_numbers_are_free()))
        raise TimeoutError

    loop = asyncio.get_running_loop()
    monkeypatch.setattr(kind, "connect_accepted_socket", connect_accepted_socket, raising=False)
    async with (
        asyncio.timeout(20),
        trunkline.serve(trunkline.WebSocket.wait_closed, "127.0.0.1", 0, ssl=server_tls) as server,
    ):
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port, ssl=client_tls)
        with contextlib.suppress(ConnectionError):
            assert await reader.read() == b""
        writer.transport.abort()
        await settle()
        assert numbers == [None]
