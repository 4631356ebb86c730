"""Bodies in chunks of one byte: to parse one takes as long as to parse a large one, so we count chunks."""

import asyncio

import h11
import pytest

import trunkline
from rawhttp import answering, dialled
from trunkline.net.websocket import life_of
from trunkline.protocol import reading

pytestmark = pytest.mark.anyio

CHUNKS = b"1\r\na\r\n" * 40_000  # one read of asyncio's
REFUSAL = b"HTTP/1.1 400 No\r\nTransfer-Encoding: chunked\r\n\r\n"
FEW = 2500


@pytest.fixture
def parsed(monkeypatch):
    """What h11 and llhttp were made to parse."""
    asked = []

    def counted(real):
        def count(self, *arguments):
            asked.append(self)
            return real(self, *arguments)

        return count

    for owner, name in ((h11.Connection, "next_event"), (reading._FoundAnswer, "on_body")):
        monkeypatch.setattr(owner, name, counted(getattr(owner, name)))
    return asked


async def test_a_refusal_by_a_server(parsed):
    async with answering(REFUSAL + CHUNKS, then_closes=False) as uri:
        with pytest.raises(trunkline.HandshakeError) as caught:
            await trunkline.connect(uri, proxy=None, open_timeout=None)
    assert caught.value.status == 400
    assert caught.value.body[:900] == b"a" * 900
    assert 900 < len(parsed) < FEW


async def test_a_refusal_by_a_proxy(parsed):
    async with answering(REFUSAL + CHUNKS, then_closes=False) as uri:
        with pytest.raises(trunkline.ProxyError) as caught:
            await trunkline.connect("ws://server.example/", proxy=uri.replace("ws:", "http:"), open_timeout=None)
    assert caught.value.status == 400
    assert caught.value.body[:900] == b"a" * 900
    assert 900 < len(parsed) < FEW


async def test_a_request_that_is_decided_upon(parsed):
    """The body comes while `process_request` waits for something."""
    asked, decide = asyncio.Event(), asyncio.Event()

    async def wait(ws, request):
        asked.set()
        await decide.wait()
        return ws.respond(200, "yes")

    async with (
        trunkline.serve(trunkline.WebSocket.wait_closed, "127.0.0.1", 0, process_request=wait) as server,
        dialled(server.port) as (reader, writer),
    ):
        writer.write(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
        await asked.wait()
        writer.write(CHUNKS)
        (ws,) = server._pending
        while life_of(ws).opening._received < 32 * 1024:  # noqa: ASYNC110  # nobody tells
            await asyncio.sleep(0)
        decide.set()
        assert (await reader.read()).endswith(b"yes")
    assert len(parsed) < FEW
