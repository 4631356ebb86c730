"""Unix sockets to listen on: who owns the path, and what is left of it."""

import contextlib
import errno
import os
import socket
import stat
from pathlib import Path

import pytest

import trunkline
from trunkline.net.unix import UnixPath

pytestmark = pytest.mark.anyio


def serving(path, **options):
    return trunkline.serve(trunkline.WebSocket.wait_closed, unix=path, **options)


def is_there(path: str) -> bool:
    """Whether a socket is at the path."""
    with contextlib.suppress(FileNotFoundError):
        return stat.S_ISSOCK(os.stat(path).st_mode)
    return False


async def assert_answers(path: str) -> None:
    async with trunkline.connect("ws://localhost/", unix=path) as ws:
        assert await ws.ping() >= 0


async def test_a_path_that_a_live_server_uses_is_refused(unix_path):
    async with serving(unix_path):
        with pytest.raises(OSError, match=r"another server listens there \(unix\)") as caught:
            await serving(unix_path)
        assert (caught.value.errno, caught.value.filename) == (errno.EADDRINUSE, unix_path)
        await assert_answers(unix_path)


async def test_a_path_that_a_server_has_and_does_not_serve_yet_is_refused(unix_path):
    first = UnixPath(unix_path, 1)
    with first.sock, pytest.raises(OSError, match="another server listens there"):
        UnixPath(unix_path, 1)
    first.remove()


async def test_a_path_whose_server_accepts_nobody_is_refused(unix_path):
    """Its backlog is full, but it is alive."""
    with socket.socket(socket.AF_UNIX) as busy, socket.socket(socket.AF_UNIX) as waiting:
        busy.bind(unix_path)
        busy.listen(0)
        waiting.connect(unix_path)
        with pytest.raises(OSError, match="another server listens there"):
            await serving(unix_path)


async def test_a_path_that_a_dead_server_has_left_is_taken(unix_path):
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(unix_path)
        dead.listen()
    async with serving(unix_path):
        await assert_answers(unix_path)


async def test_a_file_that_is_no_socket_is_left_alone(unix_path):
    os.close(os.open(unix_path, os.O_CREAT))
    with pytest.raises(OSError, match=r"in use \(unix\)"):
        await serving(unix_path)
    assert stat.S_ISREG(os.stat(unix_path).st_mode)


async def test_a_folder_that_is_not_there(unix_path):
    with pytest.raises(OSError, match=r"\(unix\)") as caught:
        await serving(f"{unix_path}/socket")
    assert caught.value.errno in (errno.ENOENT, errno.ENOTDIR)


@pytest.mark.parametrize("kind", [str, Path, os.fsencode])
async def test_the_path_is_removed_at_close_and_may_be_used_again(kind, unix_path):
    for _ in range(2):
        async with serving(kind(unix_path)):
            assert is_there(unix_path)
            await assert_answers(unix_path)
        assert not is_there(unix_path)


async def test_a_path_that_is_no_more_ours_is_left_alone(unix_path):
    async with serving(unix_path) as old:
        os.unlink(unix_path)
        async with serving(unix_path):
            await old.close()
            await assert_answers(unix_path)
        assert not is_there(unix_path)


async def test_a_path_that_was_removed_by_hand(unix_path):
    async with serving(unix_path):
        os.unlink(unix_path)


async def test_a_name_in_the_abstract_namespace(unix_path):
    name = f"\0{unix_path}"
    async with serving(name):
        with pytest.raises(OSError, match="in use"):
            await serving(name)
        await assert_answers(name)


async def test_a_server_over_tls(unix_path, server_tls, client_tls):
    async with (
        serving(unix_path, ssl=server_tls),
        trunkline.connect("wss://localhost/", unix=unix_path, ssl=client_tls) as ws,
    ):
        assert await ws.ping() >= 0
