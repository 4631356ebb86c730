"""Sockets that are given to the loop: if the dial fails, the descriptor is closed once, whoever has its number next."""

import asyncio
import contextlib
import gc
import os
import socket
import struct

import pytest

import trunkline
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
    """As long as the block lasts, the number is that of a file of somebody else's; at its end it still is."""
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
