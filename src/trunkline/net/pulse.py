"""The signs of life of a connection, as its keepalive asks for them."""

from __future__ import annotations

import asyncio
from typing import Protocol

from wsproto.connection import ConnectionState

from trunkline._frames import OPCODE_PING, Decoder
from trunkline._link import Link
from trunkline.net.faults import Breakable, guarded
from trunkline.net.progress import Look, look_at
from trunkline.net.settings import Settings

__all__ = ["bytes_seen", "declare_dead", "is_deaf", "look", "send_ping"]


class Living(Breakable, Protocol):
    """What these functions need of a connection."""

    link: Link
    decoder: Decoder | None
    settings: Settings
    state: ConnectionState

    def fail(self, code: int, reason: str, *, told: str | None = None) -> None:
        """Fail the connection; `told` is what the peer learns."""


def send_ping(life: Living, payload: bytes) -> None:
    """Send a ping frame, unless we have closed already."""
    if life.state is ConnectionState.OPEN:
        life.link._send_control(OPCODE_PING, payload)


def bytes_seen(life: Living) -> int:
    """Return how many bytes have been received."""
    return 0 if life.decoder is None else life.decoder.bytes_received


def is_deaf(life: Living) -> bool:
    """Return whether reading is paused, because messages wait to be taken or too much came at once."""
    return life.link._reading_paused or life.link._is_held


def look(life: Living) -> Look:
    """Return how far the bytes of the connection have come, each way."""
    transport = life.link.transport
    sock = None if transport is None else transport.get_extra_info("socket")
    received, sent = life.link._moved()
    return look_at(sock, received, sent, life.link._waiting)


def declare_dead(life: Living) -> None:
    """Fail a connection on which nothing moved in time after a ping.

    The close frame is sent only as far as the socket takes it at once: a dead peer will not answer.
    """
    told = "keepalive ping timeout"
    life.fail(1011, f"{told}: no byte for {life.settings.ping_timeout} s (ping_timeout)", told=told)
    asyncio.get_running_loop().call_soon(guarded, life, "the keepalive", life.abort)  # uvloop writes late
