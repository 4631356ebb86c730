"""From a name to a connected TCP socket.

All addresses of the name are tried in a race (RFC 8305): the next one starts as soon as one fails, or after STAGGER
seconds, and the first to connect wins. aiohappyeyeballs runs the race.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from typing import Any, Final, TypeAlias

from aiohappyeyeballs import start_connection

from trunkline.net.route import Progress, Route
from trunkline.protocol.categories import ErrorCategory, judge_os_error
from trunkline.protocol.errors import ConnectError
from trunkline.protocol.oserrors import errno_of
from trunkline.protocol.wording import describe_os_error

__all__ = ["STAGGER", "AddressInfo", "Runners", "connect_tcp", "look_up", "race"]

# What getaddrinfo returns: family, type, protocol, canonical name, address.
AddressInfo: TypeAlias = tuple[int, int, int, str, Any]

STAGGER: Final = 0.25  # seconds from one address to the next (RFC 8305 5 recommends 250 ms)


async def connect_tcp(host: str, port: int, route: Route, progress: Progress, *, role: str = "") -> socket.socket:
    """Connect a socket to the first address of `host` that answers.

    Args:
        host, port: where to connect.
        route: has the address family to use, and the address to connect from.
        progress: told what is being done.
        role: goes before host and port in messages: "proxy ", for example.

    Raises:
        ConnectError: with the phase "dns" or "tcp".
    """
    where = f"{role}{host}:{port}"
    progress.begin("dns", f"looking up {role}{host}")
    found = await look_up(host, port, where, route.family)
    local: Sequence[AddressInfo] = ()
    if route.local_addr is not None:
        name = "local_addr {}:{}".format(*route.local_addr)
        local = await look_up(*route.local_addr, name, route.family)
        families = {one[0] for one in local}
        found = [one for one in found if one[0] in families] or found
    progress.begin("tcp", f"connecting to {where}")
    return await race(found, _Runners(local), where)


async def look_up(host: str, port: int, where: str, family: int = 0) -> Sequence[AddressInfo]:
    """Look up a host and return its addresses.

    Args:
        host, port: what to look up.
        where: the address, for messages.
        family: the address family; 0 for any.

    Raises:
        ConnectError: with the phase "dns"; the host has no address.
    """
    try:
        loop = asyncio.get_running_loop()
        return await loop.getaddrinfo(host, port, family=family, type=socket.SOCK_STREAM)
    except OSError as error:
        raise ConnectError.wrap(error, "dns", where) from error
    except UnicodeError as error:  # Python's codec, for a name with a label that is empty or over 63 bytes
        raise ConnectError(f"cannot resolve {where}: {error}", phase="dns") from error


async def race(found: Sequence[AddressInfo], runners: Runners, where: str) -> socket.socket:
    """Return the first socket that `runners` connects to one of the addresses. Raise ConnectError if all fail."""
    task = asyncio.current_task()
    cancellations = 0 if task is None else task.cancelling()
    try:
        sock = await start_connection(
            found,
            happy_eyeballs_delay=STAGGER,
            loop=runners,  # type: ignore[arg-type]  # it calls `sock_connect` and nothing else
            socket_factory=runners.make_socket,
        )
    except OSError as error:
        told = runners.explain(where) or ConnectError.wrap(error, "tcp", where)
    else:
        if task is not None and task.cancelling() > cancellations:
            # While it cancels the losers, aiohappyeyeballs takes a cancellation of this task for one of theirs.
            sock.close()
            raise asyncio.CancelledError
        return sock
    raise told


class Runners:
    """What aiohappyeyeballs takes for an event loop. It remembers which error came from which address: of errors that
    differ, aiohappyeyeballs keeps the texts but not the numbers.
    """

    def __init__(self) -> None:
        self._failures: list[tuple[str, OSError]] = []

    async def sock_connect(self, sock: socket.socket, address: Any) -> None:
        """Connect, as the loop's method does."""
        try:
            await self.connect(sock, address)
        except OSError as error:
            self._failures.append((str(address[0]), error))
            raise
        except RuntimeError as error:  # uvloop's, for a descriptor that it believes to be in use
            raise OSError(str(error)) from error

    def make_socket(self, info: AddressInfo) -> socket.socket:
        """Return a socket for one address."""
        return socket.socket(*info[:3])

    async def connect(self, sock: socket.socket, address: Any) -> None:
        """Connect to one address. A subclass defines how."""
        raise NotImplementedError

    def explain(self, where: str) -> ConnectError | None:
        """Return the error for what failed; None if nothing did."""
        failures, self._failures = self._failures, []  # their tracebacks refer to this object
        if not failures:
            return None
        told = max((error for _, error in failures), key=_worth)
        if isinstance(told, ConnectError):
            return told
        texts = {address: _describe(error) for address, error in failures}
        if len(set(texts.values())) == 1:
            return ConnectError.wrap(told, "tcp", where)
        text = ", ".join(f"{text} at {address}" for address, text in texts.items())
        verdict = judge_os_error(told)
        made = ConnectError(f"cannot connect to {where}: {text}", errno=errno_of(told), phase="tcp", verdict=verdict)
        made.__cause__ = told
        return made


class _Runners(Runners):
    """Runners that connect from one of the `local` addresses, if there are any."""

    def __init__(self, local: Sequence[AddressInfo]) -> None:
        super().__init__()
        self._local = local

    async def connect(self, sock: socket.socket, address: Any) -> None:
        if self._local:
            self._bind(sock)
        await asyncio.get_running_loop().sock_connect(sock, address)

    def _bind(self, sock: socket.socket) -> None:
        failure: OSError | None = None
        for family, _, _, _, address in self._local:
            if family == sock.family:
                try:
                    sock.bind(address)
                    return
                except OSError as error:
                    failure = error
        if failure is None:
            raise ConnectError(f"no {sock.family.name} address to connect from (local_addr)", phase="tcp")
        raise ConnectError(
            f"cannot connect from {address[0]}:{address[1]}: {describe_os_error(failure)} (local_addr)",
            errno=errno_of(failure),
            phase="tcp",
        ) from failure


def _describe(error: OSError) -> str:
    return str(error) if isinstance(error, ConnectError) else describe_os_error(error)


def _worth(error: OSError) -> tuple[bool, bool, bool]:
    """Return how much the error from one address says about the host, for comparing: first whether it is the system's
    and not ours, then whether another attempt can help, then whether somebody answered.
    """
    category, recoverable = error._verdict if isinstance(error, ConnectError) else judge_os_error(error)
    return not isinstance(error, ConnectError), recoverable, category is not ErrorCategory.UNREACHABLE
