"""Notices on Linux that the machine's network has changed: an address or a default route has come or gone.

The kernel reports changes on a netlink socket (netlink(7), rtnetlink(7)). It also repeats what has not changed, for
example with each router advertisement, so we remember what we have heard. Only addresses that others can reach and
default routes count: traffic between containers does not concern us.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from trunkline.manager.clock import Clock, Timer

__all__ = ["Change", "NetworkWatch", "Seen", "read_changes"]

QUIET: Final = 1.0  # seconds from a change to the call, as an address comes just before its route

_GROUPS: Final = 0x10 | 0x40 | 0x100 | 0x400  # RTMGRP_IPV4_IFADDR, IPV4_ROUTE, IPV6_IFADDR, IPV6_ROUTE
_MOST_BYTES: Final = 65_536  # of a datagram; the kernel's are shorter
_READS: Final = 32  # in one turn of the loop

_HEADER: Final = struct.Struct("=IHHII")  # nlmsghdr: length, type, flags, sequence, port
_ADDRESS: Final = struct.Struct("=BBBBI")  # ifaddrmsg: family, prefix, flags, scope, interface
_ROUTE: Final = struct.Struct(
    "=BBBBBBBBI"
)  # rtmsg: family, destination, source, tos, table, protocol, scope, type, flags
_ATTRIBUTE: Final = struct.Struct("=HH")  # rtattr: length, type

_NEW_ADDRESS, _OLD_ADDRESS, _NEW_ROUTE, _OLD_ROUTE = (
    20,
    21,
    24,
    25,
)  # RTM_NEWADDR, RTM_DELADDR, RTM_NEWROUTE, RTM_DELROUTE
_EVERYWHERE: Final = 0  # RT_SCOPE_UNIVERSE
_TENTATIVE: Final = 0x40  # IFA_F_TENTATIVE: not usable yet; the kernel reports it again when it is
_UNICAST: Final = 1  # RTN_UNICAST
_ADDRESS_KEYS: Final = frozenset((1, 2))  # IFA_ADDRESS, IFA_LOCAL
_ROUTE_KEYS: Final = frozenset((4, 5, 6, 9, 15, 18))  # RTA_OIF, GATEWAY, PRIORITY, MULTIPATH, TABLE, VIA, but not ages

Seen = tuple[object, ...]  # what identifies an address or a route


class Change(NamedTuple):
    """An address or a default route that is there, or is gone."""

    what: Seen
    is_there: bool


def read_changes(datagram: bytes) -> Iterator[Change]:
    """Read the changes of reachable addresses and default routes from a datagram.

    Other messages are skipped. A message that is cut short ends the iteration.
    """
    at = 0
    while at + _HEADER.size <= len(datagram):
        length, kind, *_ = _HEADER.unpack_from(datagram, at)
        if not _HEADER.size <= length <= len(datagram) - at:
            return
        body = datagram[at + _HEADER.size : at + length]
        what = None
        if kind in (_NEW_ADDRESS, _OLD_ADDRESS):
            what = _read_address(body, is_there=kind == _NEW_ADDRESS)
        elif kind in (_NEW_ROUTE, _OLD_ROUTE):
            what = _read_route(body)
        if what is not None:
            yield Change(what, kind in (_NEW_ADDRESS, _NEW_ROUTE))
        at += _align(length)


def _read_address(body: bytes, *, is_there: bool) -> Seen | None:
    if len(body) < _ADDRESS.size:
        return None
    family, prefix, flags, scope, interface = _ADDRESS.unpack_from(body)
    if scope != _EVERYWHERE or (is_there and flags & _TENTATIVE):
        return None
    return "address", family, prefix, interface, *_read_attributes(body[_ADDRESS.size :], _ADDRESS_KEYS)


def _read_route(body: bytes) -> Seen | None:
    if len(body) < _ROUTE.size:
        return None
    family, destination, _, _, table, _, _, kind, _ = _ROUTE.unpack_from(body)
    if destination != 0 or kind != _UNICAST:
        return None
    return "route", family, table, *_read_attributes(body[_ROUTE.size :], _ROUTE_KEYS)


def _read_attributes(data: bytes, wanted: frozenset[int]) -> list[tuple[int, bytes]]:
    found = []
    at = 0
    while at + _ATTRIBUTE.size <= len(data):
        length, kind = _ATTRIBUTE.unpack_from(data, at)
        if not _ATTRIBUTE.size <= length <= len(data) - at:
            break
        if kind in wanted:
            found.append((kind, data[at + _ATTRIBUTE.size : at + length]))
        at += _align(length)
    return sorted(found)


def _align(length: int) -> int:
    return (length + 3) & ~3


class NetworkWatch:
    """Calls `changed` a second after the network has changed, once for all changes in that second.

    It never calls it where the system does not report changes: outside Linux, or if a sandbox forbids the socket. Its
    one socket is open between `start` and `stop`.
    """

    def __init__(self, clock: Clock, changed: Callable[[], object]) -> None:
        self._clock = clock
        self._changed = changed
        self._socket: socket.socket | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: Timer | None = None
        self._seen: set[Seen] = set()

    def start(self) -> bool:
        """Start to listen on the running loop, unless it was started. Return whether it listens."""
        if self._socket is None:
            with contextlib.suppress(OSError):  # no such socket, or no descriptor left: the next start tries again
                self._socket = _open()
            if self._socket is not None:
                self._loop = asyncio.get_running_loop()
                self._loop.add_reader(self._socket.fileno(), self._read)
        return self._socket is not None

    def stop(self) -> None:
        """Stop listening, and forget changes that were not reported yet."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._socket is not None and self._loop is not None:
            self._loop.remove_reader(self._socket.fileno())
            self._socket.close()
            self._socket = None
        self._seen.clear()

    def _read(self) -> None:
        for _ in range(_READS):
            if self._socket is None:
                return
            try:
                datagram, (sender, _) = self._socket.recvfrom(_MOST_BYTES)
            except (BlockingIOError, InterruptedError):
                return
            except OSError:  # ENOBUFS: the socket was full, and the kernel dropped messages
                self._seen.clear()
                self._note()
                return
            if sender == 0:  # the kernel; other processes may write to us as well
                self.hear(datagram)

    def hear(self, datagram: bytes) -> None:
        """Process a datagram from the kernel."""
        for change in read_changes(datagram):
            if not (change.is_there and change.what in self._seen):
                (self._seen.add if change.is_there else self._seen.discard)(change.what)
                self._note()

    def _note(self) -> None:
        if self._timer is None:
            self._timer = self._clock.call_later(QUIET, self._tell)

    def _tell(self) -> None:
        self._timer = None
        self._changed()


def _open() -> socket.socket | None:
    family, protocol = getattr(socket, "AF_NETLINK", None), getattr(socket, "NETLINK_ROUTE", 0)
    if family is None:
        return None
    listening = socket.socket(family, socket.SOCK_RAW, protocol)
    try:
        listening.setblocking(False)
        listening.bind((0, _GROUPS))
    except OSError:
        listening.close()
        raise
    return listening
