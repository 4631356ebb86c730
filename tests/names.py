"""Names with addresses of a test's choice, and addresses that swallow whoever dials them."""

import asyncio
import contextlib
import ipaddress
import socket
from collections.abc import Iterator
from typing import Any

import pytest


def give_names(monkeypatch: pytest.MonkeyPatch, names: dict[str, list[str]]) -> list[str]:
    """Have the running loop's resolver know these names; gives the list of what it is asked for from now on."""
    kind = type(asyncio.get_running_loop())
    real = kind.getaddrinfo
    asked: list[str] = []

    async def getaddrinfo(self: Any, host: str, port: int, *, family: int = 0, **hints: Any) -> Any:
        asked.append(host)
        if host not in names:
            return await real(self, host, port, family=family, **hints)
        found = [_info(address, port) for address in names[host]]
        wanted = [one for one in found if family in (0, one[0])]
        if not wanted:
            raise socket.gaierror(socket.EAI_NONAME, "no address of this family")
        return wanted

    monkeypatch.setattr(kind, "getaddrinfo", getaddrinfo, raising=False)
    return asked


def _info(address: str, port: int) -> tuple[int, int, int, str, Any]:
    if ipaddress.ip_address(address).version == 6:
        return socket.AF_INET6, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (address, port, 0, 0)
    return socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (address, port)


@contextlib.contextmanager
def swallowing(port: int, *addresses: str) -> Iterator[None]:
    """Each address takes no connection to the port and refuses none: a listener's backlog is full, so that the kernel
    drops what comes.
    """
    with contextlib.ExitStack() as stack:
        for address in addresses:
            listener = stack.enter_context(socket.socket())
            listener.bind((address, port))
            listener.listen(0)
            for _ in range(4):
                sock = stack.enter_context(socket.socket())
                sock.setblocking(False)
                sock.connect_ex((address, port))
        yield
