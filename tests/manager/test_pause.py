"""Reconnecting when the program asks for it, and pausing a service: nothing is dialled, nothing is lost."""

import asyncio
from typing import Any

import pytest

from trunkline.manager.errors import NotConnected
from trunkline.manager.policies import GatePolicy
from trunkline.manager.states import ConnectionStatus as Status
from trunkline.protocol.errors import ConnectError, HandshakeError

pytestmark = pytest.mark.anyio

REFUSED = ConnectError.wrap(ConnectionRefusedError(111, "refused"), "tcp", "host.example:80")


async def test_reconnect_replaces_the_link_at_once_and_says_why(line: Any) -> None:
    connection = await line.start()
    first = line.net.link
    connection.reconnect()
    await line.clock.advance(0)
    assert line.path == "connecting connected waiting connecting connected"
    assert line.changes[2].explain() == "reconnect asked for"
    assert (line.changes[2].issue, line.changes[2].delay) == (None, 0.0)
    assert connection.websocket is line.net.link is not first
    assert first.closed_with == (1000, "")
    assert (connection.generation, connection.attempts, connection.last_error) == (2, 0, None)


@pytest.mark.parametrize(
    ("failure", "status"), [(REFUSED, Status.WAITING), (HandshakeError(401), Status.FAILED)], ids=["waits", "failed"]
)
async def test_reconnect_dials_a_line_that_is_down(line: Any, failure: Exception, status: Status) -> None:
    line.net.script = [failure]
    connection = await line.start()
    assert connection.status is status
    connection.reconnect()
    await line.clock.advance(0)
    assert connection.status is Status.CONNECTED


async def test_reconnect_is_not_before_the_time_that_the_server_asked_for(line: Any) -> None:
    line.net.script = [HandshakeError(503, [("Retry-After", "40")])]
    connection = await line.start()
    connection.reconnect()
    await line.clock.advance(39.9)
    assert len(line.net.dials) == 1
    await line.clock.advance(0.2)
    assert connection.status is Status.CONNECTED


async def test_reconnect_of_what_is_closed(line: Any) -> None:
    connection = await line.start()
    await connection.close()
    with pytest.raises(NotConnected, match="is closed"):
        connection.reconnect()


async def test_a_paused_service_has_no_link_and_dials_none(line: Any) -> None:
    connection = await line.start()
    line.manager.pause(line.service)
    assert line.manager.is_paused(line.service)
    await line.clock.advance(1000)
    assert line.path == "connecting connected suspended"
    assert (line.last.explain(), line.last.delay) == ("paused", None)
    connection.reconnect()
    line.manager.network_changed()
    await line.clock.advance(1000)
    assert len(line.net.dials) == 1
    assert line.net.link.closed_with == (1000, "")
    await line.manager.close()
    assert connection.status is Status.CLOSED


async def test_what_is_sent_while_it_is_paused_goes_out_when_it_is_resumed(line: Any) -> None:
    connection = await line.start()
    line.manager.pause(line.service)
    await line.clock.advance(1)
    delivery = connection.send_nowait(line.note("later"))
    await line.clock.advance(1)
    line.manager.resume(line.service)
    await line.clock.advance(0)
    assert line.path == "connecting connected suspended connecting connected"
    assert line.net.link.sent == ['{"text":"later"}']
    assert delivery.outcome == "written"


async def test_an_attempt_that_is_under_way_is_broken_off(line: Any) -> None:
    line.net.hangs = True
    connection = await line.start()
    assert connection.status is Status.CONNECTING
    line.manager.pause(line.service)
    await line.clock.advance(1000)
    assert (line.path, len(line.net.dials)) == ("connecting suspended", 1)
    line.net.hangs = False
    line.manager.resume(line.service)
    await line.clock.advance(0)
    assert line.path == "connecting suspended connecting connected"


async def test_a_line_that_waits_or_is_suspended_waits_for_the_end_of_the_pause(line: Any) -> None:
    line.net.script = [REFUSED, REFUSED]
    await line.start()
    line.manager.pause(line.service)
    await line.clock.advance(1000)
    assert line.path == "connecting waiting suspended"
    line.manager.resume(line.service)
    await line.clock.advance(0)
    assert line.path == "connecting waiting suspended connecting waiting"


async def test_a_pause_does_not_shorten_what_the_server_asked_for(line: Any) -> None:
    line.net.script = [HandshakeError(503, [("Retry-After", "40")])]
    await line.start()
    line.manager.pause(line.service)
    await line.clock.advance(10)
    line.manager.resume(line.service)
    await line.clock.advance(0)
    assert line.path == "connecting waiting suspended waiting"
    assert line.last.explain() == "resumed, next attempt in 30.0 s"
    await line.clock.advance(29)
    assert len(line.net.dials) == 1
    await line.clock.advance(2)
    assert line.path.endswith("waiting connecting connected")


async def test_a_connection_that_is_made_during_a_pause_waits(line: Any) -> None:
    line.manager.pause(line.service)
    await line.start()
    assert (line.path, line.last.note) == ("suspended", "paused")
    line.manager.resume(line.service)
    await line.clock.advance(0)
    assert line.path == "suspended connecting connected"


async def test_a_failed_line_that_is_started_over_during_a_pause_waits(line: Any) -> None:
    line.net.script = [HandshakeError(401)]
    connection = await line.start()
    line.manager.pause(line.service)
    assert connection.status is Status.FAILED
    connection.reconnect()
    await line.clock.advance(1000)
    assert line.path == "connecting failed suspended"
    line.manager.resume(line.service)
    await line.clock.advance(0)
    assert connection.status is Status.CONNECTED


async def test_a_pause_that_is_over_before_the_link_is_closed(line: Any) -> None:
    await line.start()
    line.manager.pause(line.service)
    line.manager.resume(line.service)
    await line.clock.advance(0)
    assert line.path == "connecting connected waiting connecting connected"


async def test_a_line_that_waits_for_its_turn_at_the_gate_is_called_back(make_line: Any) -> None:
    line = make_line(manager={"gate": GatePolicy(under_way=1)})
    line.net.hangs = True
    await line.start("a")
    second = await line.start("b")
    line.manager.pause(line.service)
    await line.clock.advance(1000)
    assert (len(line.net.dials), second.status) == (1, Status.SUSPENDED)
    line.net.hangs = False
    line.manager.resume(line.service)
    await line.clock.advance(1)
    assert second.status is Status.CONNECTED


async def test_a_greeting_is_broken_off(make_line: Any) -> None:
    async def greet(session: Any) -> None:
        await session.send(line.note("hello"))
        await asyncio.get_running_loop().create_future()

    line = make_line(on_connected=greet)
    connection = await line.start()
    assert connection.status is Status.CONNECTING
    line.manager.pause(line.service)
    await line.clock.advance(1000)
    assert line.path == "connecting suspended"


async def test_closing_while_an_attempt_is_broken_off(line: Any) -> None:
    line.net.hangs = True
    connection = await line.start()
    line.manager.pause(line.service)
    await connection.close()
    assert line.path == "connecting closing closed"


async def test_pausing_twice_and_resuming_what_is_not_paused(line: Any) -> None:
    await line.start()
    line.manager.resume(line.service)
    line.manager.pause(line.service)
    line.manager.pause(line.service)
    await line.clock.advance(1)
    assert line.path == "connecting connected suspended"


async def test_a_service_of_nobody(line: Any, make_line: Any) -> None:
    with pytest.raises(ValueError, match="does not have the service"):
        line.manager.pause(make_line().service)
