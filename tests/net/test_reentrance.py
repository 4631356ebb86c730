"""What an application's own code may do while it is asked for messages: send, flush, close, raise."""

import pytest

import trunkline

pytestmark = pytest.mark.anyio


async def test_an_iterable_that_sends_on_the_same_connection(pair):
    async with pair() as (client, server):

        def messages():
            yield "one"
            client.send_nowait("between")
            yield "two"
            client.send_many(["x" * 100_000])  # flushes what there is
            yield "three"

        client.send_many(messages())
        got = [await server.recv() for _ in range(5)]
        assert got == ["between", "x" * 100_000, "one", "two", "three"]


async def test_an_iterable_that_raises_sends_nothing_of_its_own(pair):
    async with pair() as (client, server):

        def messages():
            yield "never"
            client.send_nowait("sent")
            raise KeyError("enough")

        with pytest.raises(KeyError):
            client.send_many(messages())
        client.send_nowait("next")
        assert [await server.recv(), await server.recv()] == ["sent", "next"]


async def test_an_iterable_that_closes_sends_nothing(pair):
    async with pair() as (client, server):

        def messages():
            yield "never"
            client.start_closing(4000, "from inside")

        with pytest.raises(trunkline.ConnectionClosed):
            client.send_many(messages())
        with pytest.raises(trunkline.ConnectionClosedError, match="4000"):
            await server.recv()


async def test_iterables_of_two_connections_keep_apart(pair):
    async with pair() as (one, first), pair() as (other, second):

        def inner():
            for number in range(50):
                one.send_nowait(f"one {number}")
                yield "o" * 5_000

        one.send_many(["f" * 70_000])
        other.send_many(inner())
        one.send_many(["end"])
        got = [await first.recv() for _ in range(52)]
        assert got == ["f" * 70_000, *(f"one {number}" for number in range(50)), "end"]
        assert {await second.recv() for _ in range(50)} == {"o" * 5_000}
