"""Metrics for Prometheus: `prometheus_client.REGISTRY.register(trunkline.observe.prometheus.Collector(manager))`.

Needs the extra `trunkline[prometheus]`. Metrics use base units (seconds, bytes); counters end in `_total` and never
decrease while the program runs. Ids of connections become labels only with `per_connection=True`, since each id is a
time series of its own. A scrape reads counters; between scrapes this costs nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector as _Collector

from trunkline._metrics import Histogram
from trunkline.manager import ConnectionManager
from trunkline.manager.logs import redact
from trunkline.net.health import ServerHealth
from trunkline.net.serve import Server
from trunkline.observe.instruments import BOUNDS, CONNECTION_GAUGES, SERVER_COUNTERS, SERVICE_COUNTERS

__all__ = ["Collector"]

_PREFIX: Final = "trunkline_"


class Collector(_Collector):
    """A collector that reads managers and servers at each scrape.

    Args:
        sources: Managers and servers.
        bounds: Upper bounds of the latency histogram's buckets, in seconds.
        per_connection: Also collect gauges labelled with each connection's id, without secrets. Mind the number of
            time series.
    """

    def __init__(
        self,
        *sources: ConnectionManager | Server,
        bounds: Sequence[float] = BOUNDS,
        per_connection: bool = False,
    ) -> None:
        self._managers = [source for source in sources if isinstance(source, ConnectionManager)]
        self._servers = [source for source in sources if isinstance(source, Server)]
        self._bounds = tuple(sorted(bounds))
        self._per_connection = per_connection

    def describe(self) -> Iterable[Metric]:
        """Return nothing, so that registering the collector does not collect."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Yield all metrics with their current values."""
        yield from self._of_services()
        yield from self._of_servers()
        if self._per_connection:
            yield from self._of_connections()

    def _of_services(self) -> Iterator[Metric]:
        reports = [report for manager in self._managers for report in manager.service_health()]
        states = GaugeMetricFamily(_PREFIX + "connections", "Connections by state.", labels=["service", "status"])
        failures = CounterMetricFamily(
            _PREFIX + "failures", "Failed attempts and lost links.", labels=["service", "category"]
        )
        waiting = GaugeMetricFamily(_PREFIX + "queue_messages", "Messages in outboxes.", labels=["service"])
        waiting_bytes = GaugeMetricFamily(
            _PREFIX + "queue_bytes", "Bytes in outboxes, as they lie in memory.", labels=["service"]
        )
        trips = HistogramMetricFamily(_PREFIX + "round_trip_seconds", "Round trips of pings.", labels=["service"])
        for report in reports:
            for status, count in report.connections.items():
                states.add_metric([report.service, str(status)], count)
            for category, count in report.failures.items():
                failures.add_metric([report.service, category], count)
            waiting.add_metric([report.service], report.queue_depth)
            waiting_bytes.add_metric([report.service], report.queue_bytes)
            self._add_histogram(trips, [report.service], report.latencies)
        yield from (states, failures, waiting, waiting_bytes, trips)
        for counter in SERVICE_COUNTERS:
            family = CounterMetricFamily(_PREFIX + counter.name, counter.text, labels=["service"])
            for report in reports:
                family.add_metric([report.service], report.counters[counter.source])
            yield family

    def _of_servers(self) -> Iterator[Metric]:
        reports = [(server.name, server.health()) for server in self._servers]
        opened = GaugeMetricFamily(_PREFIX + "server_connections", "Open connections.", labels=["server"])
        pending = GaugeMetricFamily(_PREFIX + "server_pending_handshakes", "Handshakes under way.", labels=["server"])
        trips = HistogramMetricFamily(
            _PREFIX + "server_round_trip_seconds", "Round trips of keepalive pings.", labels=["server"]
        )
        for name, report in reports:
            opened.add_metric([name], report.connections)
            pending.add_metric([name], report.pending_handshakes)
            self._add_histogram(trips, [name], report.latencies)
        yield from (opened, pending, trips)
        for counter in SERVER_COUNTERS:
            family = CounterMetricFamily(_PREFIX + "server_" + counter.name, counter.text, labels=["server"])
            for name, report in reports:
                family.add_metric([name], _server_value(report, counter.source))
            yield family

    def _of_connections(self) -> Iterator[Metric]:
        reports = [report for manager in self._managers for report in manager.health()]
        for gauge in CONNECTION_GAUGES:
            family = GaugeMetricFamily(
                _PREFIX + "connection_" + gauge.name, gauge.text, labels=["service", "connection"]
            )
            for report in reports:
                value = getattr(report, gauge.source)
                if value is not None:
                    family.add_metric([report.service, redact(report.connection_id)], value)
            yield family

    def _add_histogram(self, family: HistogramMetricFamily, labels: list[str], histogram: Histogram) -> None:
        buckets = [(f"{bound:g}", float(histogram.count_within(bound))) for bound in self._bounds]
        family.add_metric(labels, [*buckets, ("+Inf", float(histogram.count))], sum_value=histogram.sum)


def _server_value(report: ServerHealth, source: str) -> int:
    value = getattr(report, source, None)
    return int(value if value is not None else getattr(report.stats, source))
