"""The exporters, scraped and parsed as a monitoring system does."""

import contextlib
import random
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

import trunkline
from handlers import echo
from trunkline.observe import otel, prometheus
from turns import until

pytestmark = pytest.mark.anyio

TRIPS = "trunkline_round_trip_seconds"


class Tick(msgspec.Struct):
    n: int


class Scene:
    """A server, a service that connects to it, and another service that is refused."""

    def __init__(self, server: trunkline.Server, manager: trunkline.ConnectionManager, good: Any, bad: Any) -> None:
        self.server, self.manager, self.good, self.bad = server, manager, good, bad

    async def exchange(self, room: str, count: int) -> Any:
        """Return a connection over which `count` messages were sent and echoed."""
        connection = await self.manager.connect(self.good, room=room)
        for n in range(count):
            await connection.send(Tick(n))
            assert (await anext(connection)).n == n
        await connection.websocket.ping()
        return connection

    async def fail(self) -> None:
        """A connection that is refused, and waits."""
        changes = self.manager.events()
        await self.manager.connect(self.bad, wait=False, token="s3cret")
        while (await anext(changes)).after != "waiting":
            pass


@contextlib.asynccontextmanager
async def scene(refusing_port: int) -> AsyncIterator[Scene]:
    async with trunkline.serve(echo, "127.0.0.1", 0) as server:
        good = trunkline.Service("good", f"ws://127.0.0.1:{server.port}/{{room}}", sends=Tick, receives=Tick)
        bad = trunkline.Service("bad", f"ws://127.0.0.1:{refusing_port}/?token={{token}}", sends=Tick, receives=Tick)
        async with trunkline.ConnectionManager([good, bad], rng=random.Random(1)) as manager:
            yield Scene(server, manager, good, bad)


def scrape(*sources: Any, **options: Any) -> dict[str, Any]:
    """Return what Prometheus would see: families by name."""
    registry = CollectorRegistry()
    registry.register(prometheus.Collector(*sources, **options))
    return {family.name: family for family in text_string_to_metric_families(generate_latest(registry).decode())}


def value(family: Any, name: str = "", **labels: str) -> float:
    """Return the value of the one sample with these labels."""
    (found,) = [
        sample.value
        for sample in family.samples
        if sample.name == (name or sample.name) and labels.items() <= sample.labels.items()
    ]
    return found


async def test_prometheus(refusing_port: int) -> None:
    async with scene(refusing_port) as seen:
        await seen.exchange("a", 3)
        await seen.fail()
        families = scrape(seen.manager, seen.server)
        assert value(families["trunkline_connections"], service="good", status="connected") == 1
        assert value(families["trunkline_connections"], service="bad", status="connected") == 0
        assert value(families["trunkline_sent_messages"], service="good") == 3
        assert value(families["trunkline_received_messages"], service="good") == 3
        assert value(families["trunkline_failures"], service="bad", category="connection_refused") == 1
        assert value(families["trunkline_server_received_messages"], server=seen.server.name) == 3
        assert value(families["trunkline_server_connections"]) == 1
        assert value(families["trunkline_server_received_bytes"]) > 3 * len('{"n":0}')
        trips = families[TRIPS]
        assert value(trips, f"{TRIPS}_count", service="good") == 1
        assert 0 < value(trips, f"{TRIPS}_sum", service="good") < 10
        assert value(trips, f"{TRIPS}_bucket", service="good", le="+Inf") == 1


async def test_every_counter_ends_in_total_and_has_help(refusing_port: int) -> None:
    async with scene(refusing_port) as seen:
        families = scrape(seen.manager, seen.server)
        counters = [family for family in families.values() if family.type == "counter"]
        assert len(counters) >= 15
        assert all(sample.name.endswith("_total") for family in counters for sample in family.samples)
        assert all(family.documentation for family in families.values())


async def test_buckets_are_cumulative_and_no_id_is_a_label(refusing_port: int) -> None:
    async with scene(refusing_port) as seen:
        connection = await seen.exchange("lobby", 1)
        for _ in range(20):
            await connection.websocket.ping()
        families = scrape(seen.manager)
        trips = families[TRIPS].samples
        counts = [s.value for s in trips if s.name.endswith("_bucket") and s.labels["service"] == "good"]
        assert counts == sorted(counts)
        assert counts[-1] == 21
        assert {label for family in families.values() for s in family.samples for label in s.labels} == {
            "service", "status", "category", "le"
        } - ({"category"} if not families["trunkline_failures"].samples else set())  # fmt: skip


async def test_gauges_of_each_connection(refusing_port: int) -> None:
    async with scene(refusing_port) as seen:
        await seen.exchange("lobby", 2)
        await seen.manager.connect(seen.bad, wait=False, token="s3cret")
        families = scrape(seen.manager, per_connection=True)
        assert value(families["trunkline_connection_latency_seconds"], connection="good?room=lobby") > 0
        assert "s3cret" not in str(families)


async def test_counters_never_decrease(refusing_port: int) -> None:
    async with scene(refusing_port) as seen:
        connection = await seen.exchange("a", 5)
        await connection.close()
        assert seen.manager.connections() == []
        families = scrape(seen.manager)
        assert value(families["trunkline_sent_messages"], service="good") == 5
        assert value(families[TRIPS], f"{TRIPS}_count", service="good") >= 1
        await seen.exchange("a", 2)
        assert value(scrape(seen.manager)["trunkline_sent_messages"], service="good") == 7
        await until(lambda: seen.server.health().connections == 1)
        assert seen.server.health().stats.messages_received == 7
        assert seen.server.health().opened == 2


async def test_opentelemetry(refusing_port: int) -> None:
    async with scene(refusing_port) as seen:
        reader = InMemoryMetricReader()
        provider = MeterProvider([reader])
        otel.instrument(seen.manager, seen.server, meter=provider.get_meter("test"))
        await seen.exchange("a", 4)
        await seen.fail()
        (resource,) = reader.get_metrics_data().resource_metrics
        metrics = {metric.name: metric for scope in resource.scope_metrics for metric in scope.metrics}
        provider.shutdown()

    def points(name: str, **wanted: Any) -> list[Any]:
        found = metrics[name].data.data_points
        return [point.value for point in found if wanted.items() <= point.attributes.items()]

    assert points("trunkline.sent_messages", **{"trunkline.service": "good", "server.address": "127.0.0.1"}) == [4]
    assert points("trunkline.connections", **{"trunkline.service": "good", "trunkline.status": "connected"}) == [1]
    assert points("trunkline.failures", **{"error.type": "connection_refused"}) == [1]
    assert points("trunkline.round_trip", quantile=0.5)[0] > 0
    assert points("trunkline.server.received_messages") == [4]
    assert metrics["trunkline.sent_bytes"].unit == "By"
    assert metrics["trunkline.sent_messages"].data.is_monotonic
    assert all(name.startswith("trunkline.") for name in metrics)
    assert "s3cret" not in str(metrics)
