"""Real reverse proxies, as children of the tests: HAProxy and nginx, on sockets and in directories of their own.

Each inherits a socket that listens already, so that nobody has to wait until it is up: the kernel holds what comes
before.
"""

import asyncio
import contextlib
import os
import shutil
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

LIMIT = 30  # seconds, after which a test that waits for a proxy fails

Proxy = Callable[..., contextlib.AbstractAsyncContextManager[int]]


def program(name: str) -> str:
    """Its path. Debian keeps them where only root's PATH leads."""
    path = shutil.which(name, path=os.environ["PATH"] + ":/usr/sbin")
    assert path is not None, f"no {name}: scripts/system proxies installs it"
    return path


@asynccontextmanager
async def child(folder: Path, *command: str, sock: socket.socket, **env: str) -> AsyncIterator[None]:
    """A program that has the socket. What it says is in the error if it ends by itself."""
    with (folder / "output").open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            pass_fds=[sock.fileno()],
            env={**os.environ, **env},
        )
    try:
        async with asyncio.timeout(LIMIT):
            yield
        assert process.returncode is None, (folder / "output").read_text()
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


HAPROXY = """
global
    stats socket {folder}/stats
defaults
    mode http
    timeout connect 10s
    timeout client 20s
    timeout server 20s
    timeout tunnel 20s
frontend front
    bind fd@{fd}
    default_backend back
backend back
    {check}
    server one 127.0.0.1:{port} check inter 100ms fall 1 {options}
"""


@pytest.fixture
def haproxy(tmp_path: Path) -> Proxy:
    """Runs HAProxy before a port; gives the port of its own. check: lines of its backend."""

    @asynccontextmanager
    async def run(port: int, check: str = "", options: str = "") -> AsyncIterator[int]:
        with socket.create_server(("127.0.0.1", 0)) as sock:
            values = {"folder": tmp_path, "fd": sock.fileno(), "port": port, "check": check, "options": options}
            config = tmp_path / "haproxy.cfg"
            config.write_text(HAPROXY.format_map(values))
            async with child(tmp_path, program("haproxy"), "-db", "-f", str(config), sock=sock):
                yield sock.getsockname()[1]

    return run


@pytest.fixture
def health(tmp_path: Path) -> Callable[[], "asyncio.Future[str]"]:
    """Waits until HAProxy has checked its server, and gives what it says of it: UP or DOWN, and why."""

    async def ask() -> str:
        while True:
            with contextlib.suppress(FileNotFoundError, ConnectionRefusedError):  # it is not up yet
                reader, writer = await asyncio.open_unix_connection(str(tmp_path / "stats"))
                writer.write(b"show stat\n")
                rows = (await reader.read()).decode().splitlines()
                writer.close()
                await writer.wait_closed()
                names = rows[0].lstrip("# ").split(",")
                found = dict(
                    zip(names, next(row for row in rows if row.startswith("back,one,")).split(","), strict=True)
                )
                if found["check_status"] not in ("", "INI") and not found["check_status"].startswith("*"):
                    return f"{found['status'].split()[0]} {found['check_status']} {found['check_code']}"
            await asyncio.sleep(0.01)  # until it has been up for a check, of which it tells nobody

    return ask  # type: ignore[return-value]


NGINX = """
daemon off;
{user}
worker_processes 1;
pid {folder}/pid;
error_log stderr;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    server {{
        listen 127.0.0.1:{own};
        {locations}
    }}
}}
"""


@pytest.fixture
def nginx(tmp_path: Path) -> Proxy:
    """Runs nginx with these locations; gives its port."""

    @asynccontextmanager
    async def run(locations: str) -> AsyncIterator[int]:
        with socket.create_server(("127.0.0.1", 0)) as sock:
            own = sock.getsockname()[1]
            user = "user root;" if os.geteuid() == 0 else ""  # whose directory it is
            config = tmp_path / "nginx.conf"
            config.write_text(NGINX.format(user=user, folder=tmp_path, own=own, locations=locations))
            command = [program("nginx"), "-p", str(tmp_path), "-c", str(config), "-e", "stderr"]
            # So it is told of sockets that it inherits when its binary is replaced.
            async with child(tmp_path, *command, sock=sock, NGINX=f"{sock.fileno()};"):
                yield own

    return run
