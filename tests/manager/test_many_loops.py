"""Managers in several event loops, each in a thread, that share their services and what retries pay into."""

import asyncio
from collections.abc import Callable

import pytest

import trunkline
from handlers import echo
from loops import meanwhile, running

LOOPS, LINES, ROUNDS, SAID = 2, 6, 3, 5

pytestmark = pytest.mark.usefixtures("hasty")


async def start() -> trunkline.Server:
    return await trunkline.serve(echo, "127.0.0.1", 0)


async def manage(
    service: trunkline.Service[str, str], budget: trunkline.manager.RetryBudget
) -> trunkline.ConnectionManager:
    return trunkline.ConnectionManager([service], budget=budget)


async def talk(manager: trunkline.ConnectionManager, service: trunkline.Service[str, str], room: int) -> None:
    async with asyncio.timeout(60):
        for turn in range(ROUNDS):
            line = await manager.connect(service, room=room)
            for number in range(SAID):
                await line.send(f"{turn} {number}")
                assert await anext(line) == f"{turn} {number}"
            if (turn + room) % 2:
                line.reconnect()
                await line.wait_connected()
            await line.close()


async def talk_all(manager: trunkline.ConnectionManager, service: trunkline.Service[str, str]) -> None:
    await asyncio.gather(*(talk(manager, service, room) for room in range(LINES)))


class Scraper:
    """Asks each manager for all that monitoring asks for. No counter goes back."""

    def __init__(self, managers: list[trunkline.ConnectionManager]) -> None:
        self._managers = managers
        self._before: list[dict[str, int]] = [{} for _ in managers]

    def __call__(self) -> None:
        for index, manager in enumerate(self._managers):
            (report,) = manager.service_health()
            for name, value in report.counters.items():
                assert value >= self._before[index].get(name, 0), name
            self._before[index] = dict(report.counters)
            assert report.latencies.count == sum(count for _, count in report.latencies.buckets())
            for health in manager.health():
                assert health.messages_received <= ROUNDS * SAID
                assert health.received_per_second.over_60 >= 0
            assert all(repr(line) for line in manager.connections())


def test_managers_in_threads_count_exactly_and_never_back(factory: Callable[[], asyncio.AbstractEventLoop]) -> None:
    budget = trunkline.manager.RetryBudget()
    with running(LOOPS + 1, factory) as (serving, *loops):
        server = serving.do(start())
        url = f"ws://127.0.0.1:{server.port}/{{room}}"
        service = trunkline.Service("echo", url, sends=str, receives=str)
        managers = [loop.do(manage(service, budget)) for loop in loops]
        with meanwhile(Scraper(managers), Scraper(managers)):
            talking = [loop.begin(talk_all(manager, service)) for loop, manager in zip(loops, managers, strict=True)]
            for one in talking:
                one.result(120)
        for loop, manager in zip(loops, managers, strict=True):
            (report,) = manager.service_health()
            assert report.counters["messages_sent"] == LINES * ROUNDS * SAID
            assert report.counters["messages_received"] == LINES * ROUNDS * SAID
            assert sum(report.connections.values()) == 0
            loop.do(manager.close())
        serving.do(end(server))


async def end(server: trunkline.Server) -> None:
    await server.close()
