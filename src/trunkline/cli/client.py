"""`trunkline connect`: a line client for any WebSocket server."""

from __future__ import annotations

import argparse
import asyncio
import codecs
import contextlib
import enum
import os
import sys
from collections.abc import AsyncIterator
from typing import Final

import trunkline
from trunkline.cli.descriptors import wait_readable
from trunkline.protocol.errors import printable

__all__ = ["Exit", "talk"]

CHUNK: Final = 65536  # bytes read from standard input at a time


class Exit(enum.IntEnum):
    """Exit statuses."""

    CLOSED = 0
    BROKEN = 1
    USAGE = 2  # argparse's own
    UNREACHABLE = 3
    REFUSED = 4
    INTERRUPTED = 130  # 128 and SIGINT, as shells have it


async def talk(options: argparse.Namespace) -> int:
    """Send standard input, print what comes, say how it ended."""
    try:
        ws = await trunkline.connect(options.url, additional_headers=options.header, subprotocols=options.subprotocol)
    except trunkline.ConnectError as error:
        return _give_up(error, Exit.UNREACHABLE)
    except trunkline.HandshakeError as error:
        return _give_up(error, Exit.REFUSED)
    except (trunkline.InvalidURI, trunkline.LocalProtocolError) as error:
        return _give_up(error, Exit.USAGE)
    _say(f"connected to {options.url}" + (f", subprotocol {ws.subprotocol}" if ws.subprotocol else ""))
    return await _Conversation(ws, options.linger).hold()


class _Conversation:
    def __init__(self, ws: trunkline.WebSocket, linger: float) -> None:
        self._ws = ws
        self._linger = linger
        self._heard_at = 0.0  # the loop's time at the last message

    async def hold(self) -> int:
        sending = asyncio.create_task(self._send())
        try:
            async for message in self._ws:
                self._heard_at = asyncio.get_running_loop().time()
                _show(message)
            await self._ws.recv()  # raises what ended it
            raise AssertionError("a message came after the last one")
        except trunkline.ConnectionClosed as closed:
            _say(f"closed: {closed}")
            return Exit.CLOSED if isinstance(closed, trunkline.ConnectionClosedOK) else Exit.BROKEN
        finally:
            sending.cancel()
            self._ws.abort()

    async def _send(self) -> None:
        with contextlib.suppress(trunkline.ConnectionClosed):  # the receiving side says how it ended
            async for line in lines(0):
                await self._ws.send(line)
            if not os.isatty(0):
                await self._wait_silence()
            await self._ws.close()

    async def _wait_silence(self) -> None:
        """Wait until nothing has come for `linger` seconds: the answers to the last lines are still on their way."""
        loop = asyncio.get_running_loop()
        self._heard_at = loop.time()
        # What is awaited is time itself, so there is no event to wait for.
        while (rest := self._heard_at + self._linger - loop.time()) > 0:  # noqa: ASYNC110
            await asyncio.sleep(rest)


async def lines(fd: int) -> AsyncIterator[str]:
    """The lines of a file descriptor, without their ends, as they come. Bytes that are not UTF-8 become U+FFFD."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    rest = ""
    while chunk := await _read(fd):
        *whole, rest = (rest + decoder.decode(chunk)).split("\n")
        for line in whole:
            yield line.removesuffix("\r")
    rest += decoder.decode(b"", final=True)
    if rest:
        yield rest


async def _read(fd: int) -> bytes:
    await wait_readable(fd)
    return os.read(fd, CHUNK)


def _show(message: str | bytes) -> None:
    text = printable(message) if isinstance(message, str) else f"binary, {len(message)} bytes: {message.hex(' ')}"
    print(text, flush=True)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _give_up(error: Exception, status: Exit) -> int:
    _say(f"trunkline: {error}")
    return status
