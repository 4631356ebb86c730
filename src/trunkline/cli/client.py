"""`trunkline connect`: a client for any WebSocket server that sends and prints messages line by line."""

from __future__ import annotations

import argparse
import asyncio
import base64
import codecs
import contextlib
import json
import os
import sys
from collections.abc import AsyncIterator, Callable
from typing import Final

import trunkline
from trunkline.cli.descriptors import read
from trunkline.cli.exits import CONNECTING, Exit, explain
from trunkline.cli.options import Commands, add_address, add_command, add_json, positive
from trunkline.cli.progress import show_progress
from trunkline.net.faults import watch
from trunkline.net.uri import parse_uri
from trunkline.protocol.wording import printable

__all__ = ["add", "talk"]

CHUNK: Final = 65536  # bytes read from standard input at a time


EPILOG: Final = """\
Sends each line of standard input as a text message and prints each message it receives on a line of its own: text with
control characters escaped, binary in hexadecimal. With --json, messages look like {"type": "text", "data": "..."}; the
data of a "binary" message is base64. At the end of the input the connection is closed: at once if the input is a
terminal, otherwise after --linger seconds without a message.

exit status:
  0    the connection closed normally (1000, 1001)
  1    the connection ended in any other way
  2    invalid arguments or URL
  3    could not connect: name, port, TLS or timeout
  4    the server refused to open a WebSocket
  130  interrupted
"""


def add(commands: Commands) -> None:
    """Add the `connect` command."""
    parser = add_command(commands, "connect", talk, "talk to any WebSocket server, line by line", epilog=EPILOG)
    add_address(parser)
    parser.add_argument(
        "--linger", type=positive, default=1.0, metavar="S", help="seconds of silence before closing (default 1)"
    )
    parser.add_argument("--compression", action="store_true", help="offer permessage-deflate")
    add_json(parser, "print one JSON object per message")


async def talk(options: argparse.Namespace) -> int:
    """Send standard input, print the messages received, and report how the connection ended."""
    try:
        where = printable(parse_uri(options.url).shown)
        async with show_progress() as progress:
            progress.begin(lambda passed: f"connecting to {where}: {passed:.0f} s")
            ws = await trunkline.connect(
                options.url,
                additional_headers=options.header,
                subprotocols=options.subprotocol,
                compression="deflate" if options.compression else None,
            )
    except CONNECTING as error:
        return explain(error)
    told = [f"connected to {where}"]
    if ws.subprotocol:
        told.append(f"subprotocol {printable(ws.subprotocol)}")
    if options.compression:
        told.append("compressed" if ws.agreement else "not compressed")
    _say(", ".join(told))
    return await _Conversation(ws, options.linger, _as_json if options.json else _as_line).hold()


class _Conversation:
    def __init__(self, ws: trunkline.WebSocket, linger: float, show: Callable[[str | bytes], str]) -> None:
        self._ws = ws
        self._linger = linger
        self._show = show
        self._heard_at = 0.0  # the loop's time at the last message

    async def hold(self) -> int:
        sending = asyncio.create_task(self._send())
        watch(sending, self._ws.logger, "sending what was typed", self._ws.abort)
        try:
            async for message in self._ws:
                self._heard_at = asyncio.get_running_loop().time()
                print(self._show(message), flush=True)
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
        """Wait until no message has come for `linger` seconds: the last answers may still be on their way."""
        loop = asyncio.get_running_loop()
        self._heard_at = loop.time()
        # This waits for time to pass, so there is no event to wait for.
        while (rest := self._heard_at + self._linger - loop.time()) > 0:  # noqa: ASYNC110
            await asyncio.sleep(rest)


async def lines(fd: int) -> AsyncIterator[str]:
    """Yield the lines of a file descriptor as they come, without line endings. Invalid UTF-8 becomes U+FFFD."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    rest = ""
    while chunk := await read(fd, CHUNK):
        *whole, rest = (rest + decoder.decode(chunk)).split("\n")
        for line in whole:
            yield line.removesuffix("\r")
    rest += decoder.decode(b"", final=True)
    if rest:
        yield rest


def _as_line(message: str | bytes) -> str:
    if isinstance(message, str):
        return printable(message)
    return f"binary, {len(message)} bytes: {message.hex(' ')}"


def _as_json(message: str | bytes) -> str:
    if isinstance(message, str):
        return json.dumps({"type": "text", "data": message})
    return json.dumps({"type": "binary", "data": base64.b64encode(message).decode()})


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
