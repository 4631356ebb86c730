"""Scripted servers: any status, any close code, any bytes, and a record of connections and messages."""

import asyncio

import pytest

import trunkline
from trunkline.testing import PeerGone, ScriptedServer
from trunkline.testing.script import accept, answer, close, drop, echo, hang, raw, receive, reset, send, stay, wait
from turns import until

pytestmark = pytest.mark.anyio

LIMIT = 20


@pytest.fixture(autouse=True)
async def bounded():
    async with asyncio.timeout(LIMIT):
        yield


@pytest.mark.parametrize("status", [200, 301, 400, 401, 404, 426, 429, 500, 503, 599])
async def test_any_status_answers_the_handshake(status):
    async with ScriptedServer([answer(status, {"Retry-After": "4"}, "why")]) as server:
        with pytest.raises(trunkline.HandshakeError) as caught:
            await trunkline.connect(server.uri + "some/path")
        assert (caught.value.status, caught.value.body) == (status, b"why")
        assert trunkline.Headers(caught.value.headers)["retry-after"] == "4"
        (peer,) = server.peers
        assert (peer.target, peer.headers["upgrade"]) == ("/some/path", "websocket")


@pytest.mark.parametrize("code", [1000, 1001, 1003, 1008, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999])
async def test_any_close_code_after_some_messages(code):
    async with ScriptedServer([accept(), receive(3), close(code, "bye")]) as server:
        async with trunkline.connect(server.uri) as ws:
            for text in ("1", b"2", "3", "4"):
                await ws.send(text)
            with pytest.raises(trunkline.ConnectionClosed):
                await ws.recv()
            assert ws.close_info == trunkline.Close(code, "bye", True, "remote")
        assert server.peers[0].messages[:3] == ["1", b"2", "3"]
        assert server.peers[0].closed == (code, "")


async def test_a_close_without_a_code_and_one_that_is_illegal():
    async with ScriptedServer([accept(), close(None)], [accept(), close(1006)]) as server:
        for code in (1005, 1002):
            async with trunkline.connect(server.uri) as ws:
                with pytest.raises(trunkline.ConnectionClosed):
                    await ws.recv()
                assert ws.close_code == code


async def test_scripts_are_played_in_turn_and_the_last_one_for_all_further_connections():
    async with ScriptedServer([answer(503)], [drop()], [reset()], [accept(), send("at last"), stay()]) as server:
        for error in (trunkline.HandshakeError, trunkline.ConnectError, trunkline.ConnectError):
            with pytest.raises(error):
                await trunkline.connect(server.uri)
        for _ in range(2):
            async with trunkline.connect(server.uri) as ws:
                assert await ws.recv() == "at last"
                assert await ws.ping() > 0
        assert [peer.number for peer in server.peers] == [0, 1, 2, 3, 4]
        assert server.arrivals == sorted(server.arrivals)


async def test_a_script_may_depend_on_the_number_and_contain_custom_steps():
    async def greet(peer):
        await peer.send(f"you are {peer.number}")

    async with ScriptedServer(lambda number: [accept(), greet, echo(1), close(4000 + number)]) as server:
        for number in range(2):
            async with trunkline.connect(server.uri) as ws:
                assert await ws.recv() == f"you are {number}"
                await ws.send(b"and you?")
                assert await ws.recv() == b"and you?"
                with pytest.raises(trunkline.ConnectionClosed):
                    await ws.recv()
                assert ws.close_code == 4000 + number


async def test_raw_bytes_and_silence():
    async with ScriptedServer([raw(b"SSH-2.0-not_http\r\n\r\n"), wait(0.001)], [accept(), hang()]) as server:
        with pytest.raises(trunkline.HandshakeError):
            await trunkline.connect(server.uri)
        async with trunkline.connect(server.uri, close_timeout=0.05) as ws:
            pass
        assert ws.close_code == 1006


async def test_a_subprotocol_and_fragments():
    async def in_parts(peer):
        await peer.send_frame(1, b"one ", fin=False)
        await peer.send_frame(0, b"message")

    async with (
        ScriptedServer([accept("chat", {"X-Node": "7"}), in_parts, receive()]) as server,
        trunkline.connect(server.uri, subprotocols=["chat"]) as ws,
    ):
        assert ws.subprotocol == "chat"
        assert ws.response.headers["x-node"] == "7"
        assert await ws.recv() == "one message"
        await ws.send("x" * 70_000)


async def test_it_starts_again_on_the_same_port():
    async with ScriptedServer([accept(), stay()]) as server:
        async with trunkline.connect(server.uri) as ws:
            await server.stop()
            with pytest.raises(trunkline.ConnectionClosedError):
                await ws.recv()
        with pytest.raises(trunkline.ConnectError):
            await trunkline.connect(server.uri)
        await server.start()
        async with trunkline.connect(server.uri):
            pass
        assert len(server.peers) == 2


async def test_an_exception_of_a_step_is_raised_at_the_end():
    async def wrong(peer):
        assert peer.number == 1, "not the first"

    with pytest.raises(AssertionError, match="not the first"):
        async with ScriptedServer([accept(), wrong]) as server, trunkline.connect(server.uri) as ws:
            await ws.wait_closed()


async def test_a_step_gets_peer_gone_when_the_client_goes():
    told = []

    async def listen(peer):
        try:
            await peer.receive()
        except PeerGone as gone:
            told.append((gone.code, gone.reason))
            raise

    async with ScriptedServer([accept(), listen]) as server:
        async with trunkline.connect(server.uri) as ws:
            await ws.close(4001, "enough")
        ws = await trunkline.connect(server.uri)
        ws.abort()
        await until(lambda: len(told) == 2)
    assert told == [(4001, "enough"), (None, "")]
