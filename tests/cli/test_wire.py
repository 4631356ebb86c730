"""The demo's TCP forwarder, cut while a connection is being set up through it."""

import asyncio
import contextlib
import socket
from typing import Any

import pytest

from trunkline.cli.demo.wire import Wire
from turns import settle

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("turns", range(6))
async def test_it_is_cut_while_a_connection_is_accepted(turns: int) -> None:
    """The connection ends and asyncio reports nothing, not even in debug mode."""
    told: list[dict[str, Any]] = []
    loop = asyncio.get_running_loop()
    loop.set_debug(True)
    loop.set_exception_handler(lambda _, context: told.append(context))
    with socket.create_server(("127.0.0.1", 0)) as target:
        wire = Wire(target.getsockname()[1])
        await wire.connect()
        with socket.create_connection(("127.0.0.1", wire.port)) as dialled:
            dialled.setblocking(False)
            await settle(turns)
            wire.disconnect()
            await settle()
            assert told == []
            with contextlib.suppress(ConnectionResetError):
                assert dialled.recv(1) == b""
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", wire.port)).close()
