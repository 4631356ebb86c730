"""trunkline as a client of other people's servers."""

import asyncio
import ssl

import pytest

import trunkline

pytestmark = pytest.mark.anyio


async def test_a_message_comes_back_as_it_was(peer, message: str | bytes) -> None:
    async with peer.serve() as server, trunkline.connect(f"ws://127.0.0.1:{server.port}/") as ws:
        await ws.send(message)
        assert await ws.recv() == message


async def test_their_fragments_are_one_message_to_us(fragmenting_peer, parts: list[str]) -> None:
    async with fragmenting_peer.serve() as server, trunkline.connect(f"ws://127.0.0.1:{server.port}/") as ws:
        await ws.send("fragments")
        assert await ws.recv() == "".join(parts)


async def test_our_fragments_are_one_message_to_them(peer, parts: list[str]) -> None:
    async with peer.serve() as server, trunkline.connect(f"ws://127.0.0.1:{server.port}/") as ws:
        await ws.send(parts)
        assert await ws.recv() == "".join(parts)


async def test_their_pong_answers_our_ping(peer) -> None:
    async with peer.serve() as server, trunkline.connect(f"ws://127.0.0.1:{server.port}/") as ws:
        assert await ws.ping() > 0
        assert ws.latency is not None


async def test_our_pong_answers_their_ping(peer) -> None:
    async with peer.serve() as server, trunkline.connect(f"ws://127.0.0.1:{server.port}/") as ws:
        await ws.send("ping")
        assert await ws.recv() == "ponged"


@pytest.mark.parametrize(
    ("spoken", "offered", "agreed"),
    [
        (["trunk.1"], ["trunk.1"], "trunk.1"),
        (["trunk.2", "trunk.1"], ["other", "trunk.2"], "trunk.2"),
        ([], ["trunk.1"], None),
    ],
)
async def test_a_subprotocol_is_agreed_on(peer, spoken: list[str], offered: list[str], agreed: str | None) -> None:
    async with (
        peer.serve(subprotocols=spoken) as server,
        trunkline.connect(f"ws://127.0.0.1:{server.port}/", subprotocols=offered) as ws,
    ):
        assert ws.subprotocol == agreed


async def test_they_see_our_close_code_and_reason(peer) -> None:
    async with peer.serve() as server:
        ws = await trunkline.connect(f"ws://127.0.0.1:{server.port}/")
        await ws.close(4001, "fare well ✓")
        assert await server.ended() == (4001, "fare well ✓")


@pytest.mark.parametrize(
    ("code", "error"), [(1000, trunkline.ConnectionClosedOK), (4002, trunkline.ConnectionClosedError)]
)
async def test_we_see_their_close_code_and_reason(peer, code: int, error: type[trunkline.ConnectionClosed]) -> None:
    async with peer.serve() as server, trunkline.connect(f"ws://127.0.0.1:{server.port}/") as ws:
        await ws.send(f"close {code} enough")
        with pytest.raises(error) as caught:
            await ws.recv()
        assert (caught.value.code, caught.value.reason, caught.value.initiator) == (code, "enough", "remote")


async def test_headers_reach_them_and_theirs_reach_us(peer) -> None:
    async with (
        peer.serve() as server,
        trunkline.connect(f"ws://127.0.0.1:{server.port}/", additional_headers={"X-Trunk": "one way"}) as ws,
    ):
        await ws.send("header X-Trunk")
        assert await ws.recv() == "one way"
        assert ws.response.headers["Server"].startswith("Python/")


async def test_over_tls(peer, server_tls: ssl.SSLContext, client_tls: ssl.SSLContext) -> None:
    async with (
        peer.serve(tls=server_tls) as server,
        trunkline.connect(f"wss://localhost:{server.port}/", ssl=client_tls) as ws,
    ):
        await ws.send(b"s" * 300_000)
        assert await ws.recv() == b"s" * 300_000


async def test_many_connections_at_once(peer) -> None:
    async with peer.serve() as server:

        async def converse(number: int) -> list[str | bytes]:
            async with trunkline.connect(f"ws://127.0.0.1:{server.port}/") as ws:
                for turn in range(20):
                    await ws.send(f"{number} {turn}")
                return [await ws.recv() for _ in range(20)]

        heard = await asyncio.gather(*map(converse, range(40)))
    assert heard == [[f"{number} {turn}" for turn in range(20)] for number in range(40)]
