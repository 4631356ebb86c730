"""What a managed line carries: messages out, messages in, and what becomes of them when the link is lost."""

import asyncio
from typing import Any

import pytest

from trunkline.manager.errors import NotConnected, SendInterrupted, WaitTimeout
from trunkline.manager.states import ConnectionStatus as Status
from trunkline.protocol.errors import ConnectError

pytestmark = pytest.mark.anyio

REFUSED = ConnectError.wrap(ConnectionRefusedError(111, "refused"), "tcp", "host.example:80")


def text(note: str) -> str:
    return f'{{"text":"{note}"}}'


# Sending


async def test_a_message_goes_out_as_json_text(line: Any) -> None:
    connection = await line.start()
    await connection.send(line.note("héllo"))
    assert line.net.link.sent == [text("héllo")]


async def test_a_message_waits_for_the_next_link(line: Any) -> None:
    connection = await line.start()
    line.net.link.lose()
    await line.clock.advance(0)
    sends = [asyncio.create_task(connection.send(line.note(name))) for name in "abc"]
    await line.clock.advance(5)
    await asyncio.gather(*sends)
    assert line.net.link.sent == [text("a"), text("b"), text("c")]


async def test_a_message_does_not_go_into_a_link_that_has_just_ended(line: Any) -> None:
    connection = await line.start()
    old = line.net.link
    old.lose()
    send = asyncio.create_task(connection.send(line.note("a")))
    await line.clock.advance(5)
    await send
    assert old.sent == []
    assert line.net.link.sent == [text("a")]


async def test_a_message_waits_only_so_long(line: Any) -> None:
    line.net.script = [REFUSED] * 10
    connection = await line.start()
    send = asyncio.create_task(connection.send(line.note("a"), timeout=3))
    await line.clock.advance(2.9)
    assert not send.done()
    await line.clock.advance(0.2)
    with pytest.raises(WaitTimeout, match=r"Connection refused, still after 3 s \(timeout\)") as caught:
        await send
    assert isinstance(caught.value, TimeoutError)
    assert caught.value.recoverable


async def test_a_cut_in_the_middle_of_a_send_is_no_success_and_no_repeat(line: Any) -> None:
    connection = await line.start()
    line.net.link.answers_pings = False
    send = asyncio.create_task(connection.send(line.note("a"), confirm=True))
    await line.clock.advance(0)
    assert line.net.link.sent == [text("a")]
    line.net.link.lose()
    await line.clock.advance(5)
    with pytest.raises(SendInterrupted, match="outcome is unknown: 1006"):
        await send
    assert line.net.link.sent == []
    assert connection.health().unknown == 1


async def test_a_message_that_json_cannot_carry_harms_nobody(line: Any) -> None:
    connection = await line.start()
    with pytest.raises(TypeError):
        await connection.send(object())  # type: ignore[arg-type]
    await connection.send(line.note("a"))
    assert line.net.link.sent == [text("a")]


async def test_closing_releases_those_who_wait_to_send(line: Any) -> None:
    line.net.script = [REFUSED]
    connection = await line.start()
    send = asyncio.create_task(connection.send(line.note("a"), timeout=None))
    await line.clock.advance(0)
    await connection.close()
    with pytest.raises(NotConnected, match=r"is closed|is closing"):
        await send


# Receiving


async def test_iteration_spans_links(line: Any) -> None:
    connection = await line.start()
    line.net.link.deliver(text("1"), text("2"))
    line.net.link.lose()
    await line.clock.advance(5)
    line.net.link.deliver(text("3"))
    assert [(await anext(connection)).text for _ in range(3)] == ["1", "2", "3"]


async def test_what_does_not_fit_is_set_aside_and_the_line_goes_on(line: Any, caplog: pytest.LogCaptureFixture) -> None:
    connection = await line.start()
    line.net.link.deliver(text("1"), "not json", b'{"text":2}', text("3"))
    assert [(await anext(connection)).text for _ in range(2)] == ["1", "3"]
    assert [error.payload for error in connection.quarantine] == ["not json", b'{"text":2}']
    health = connection.health()
    assert (health.undecodable, health.messages_received, health.error_rate) == (2, 4, pytest.approx(2 / 6))
    assert caplog.text.count("notes?book=b: 2 undecodable messages, the last: ") == 1
    assert connection.status is Status.CONNECTED


async def test_a_reader_that_stops_holds_up_the_line_and_loses_nothing(line: Any) -> None:
    connection = await line.start()
    for start in range(0, 3000, 100):
        line.net.link.deliver(*[text(str(number)) for number in range(start, start + 100)])
    await line.clock.advance(0)
    assert connection.health().messages_received == 1024
    assert [(await anext(connection)).text for _ in range(3000)] == [str(number) for number in range(3000)]


async def test_a_cancelled_reader_loses_nothing(line: Any) -> None:
    connection = await line.start()
    reader = asyncio.create_task(anext(connection))  # type: ignore[arg-type]
    await line.clock.advance(0)
    line.net.link.deliver(text("1"))
    reader.cancel()
    await line.clock.advance(0)
    assert (await anext(connection)).text == "1"


async def test_what_was_received_outlives_the_connection(line: Any) -> None:
    connection = await line.start()
    line.net.link.deliver(text("1"))
    await line.clock.advance(0)
    await connection.close()
    assert [note.text async for note in connection] == ["1"]


async def test_closing_loses_nothing_of_what_a_full_inbox_had_no_room_for(line: Any) -> None:
    connection = await line.start()
    for start in range(0, 1200, 50):
        line.net.link.deliver(*[text(str(number)) for number in range(start, start + 50)])
    await line.clock.advance(0)
    assert connection.health().messages_received < 1200
    await connection.close()
    assert [note.text async for note in connection] == [str(number) for number in range(1200)]
