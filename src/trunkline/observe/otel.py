"""Metrics for OpenTelemetry: `trunkline.observe.otel.instrument(manager, server, meter=meter)`.

Needs the extra `trunkline[otel]`, which is only the API; your program brings the SDK and its exporter. All instruments
are observable: they read counters when the SDK collects and cost nothing in between. Names begin with `trunkline.`.
Attributes follow the semantic conventions where there are any (`error.type`, `server.address`, `server.port`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final
from urllib.parse import urlsplit

from opentelemetry import metrics
from opentelemetry.metrics import CallbackOptions, Meter, Observation

from trunkline.manager import ConnectionManager
from trunkline.manager.totals import ServiceHealth
from trunkline.net.serve import Server
from trunkline.observe.instruments import SERVER_COUNTERS, SERVICE_COUNTERS

__all__ = ["instrument"]

QUANTILES: Final = (0.5, 0.9, 0.99)
Observe = Callable[[CallbackOptions], Iterator[Observation]]


def instrument(*sources: ConnectionManager | Server, meter: Meter | None = None) -> None:
    """Create the instruments for managers and servers. meter: "trunkline" of the global provider by default."""
    managers = [source for source in sources if isinstance(source, ConnectionManager)]
    servers = [source for source in sources if isinstance(source, Server)]
    _Instruments(managers, servers).create(meter if meter is not None else metrics.get_meter("trunkline"))


class _Instruments:
    def __init__(self, managers: list[ConnectionManager], servers: list[Server]) -> None:
        self._managers = managers
        self._servers = servers

    def create(self, meter: Meter) -> None:
        gauges: list[tuple[str, Observe, str, str]] = [
            ("trunkline.connections", self._states, "{connection}", "Connections by state."),
            ("trunkline.queue.messages", self._queue("queue_depth"), "{message}", "Messages in outboxes."),
            (
                "trunkline.queue.bytes",
                self._queue("queue_bytes"),
                "By",
                "Bytes in outboxes, as they lie in memory.",
            ),
            ("trunkline.round_trip", self._round_trips, "s", "Quantiles of the round trips of pings."),
            ("trunkline.server.connections", self._server_connections, "{connection}", "Open connections."),
        ]
        for name, observe, unit, text in gauges:
            meter.create_observable_gauge(name, [observe], unit, text)
        meter.create_observable_counter(
            "trunkline.failures", [self._failures], "{failure}", "Failed attempts and lost links."
        )
        for counter in SERVICE_COUNTERS:
            observe = self._service_counter(counter.source)
            meter.create_observable_counter(f"trunkline.{counter.name}", [observe], counter.unit, counter.text)
        for counter in SERVER_COUNTERS:
            observe = self._server_counter(counter.source)
            meter.create_observable_counter(f"trunkline.server.{counter.name}", [observe], counter.unit, counter.text)

    def _reports(self) -> Iterator[tuple[dict[str, str | int], ServiceHealth]]:
        for manager in self._managers:
            for report in manager.service_health():
                yield {"trunkline.service": report.service, **manager_address(manager, report.service)}, report

    def _states(self, options: CallbackOptions) -> Iterator[Observation]:
        for attributes, report in self._reports():
            for status, count in report.connections.items():
                yield Observation(count, {**attributes, "trunkline.status": str(status)})

    def _failures(self, options: CallbackOptions) -> Iterator[Observation]:
        for attributes, report in self._reports():
            for category, count in report.failures.items():
                yield Observation(count, {**attributes, "error.type": category})

    def _queue(self, source: str) -> Observe:
        def observe(options: CallbackOptions) -> Iterator[Observation]:
            for attributes, report in self._reports():
                yield Observation(getattr(report, source), attributes)

        return observe

    def _round_trips(self, options: CallbackOptions) -> Iterator[Observation]:
        for attributes, report in self._reports():
            for quantile in QUANTILES:
                value = report.latencies.quantile(quantile)
                if value is not None:
                    yield Observation(value, {**attributes, "quantile": quantile})

    def _service_counter(self, source: str) -> Observe:
        def observe(options: CallbackOptions) -> Iterator[Observation]:
            for attributes, report in self._reports():
                yield Observation(report.counters[source], attributes)

        return observe

    def _server_connections(self, options: CallbackOptions) -> Iterator[Observation]:
        for server in self._servers:
            yield Observation(server.health().connections, server_address(server))

    def _server_counter(self, source: str) -> Observe:
        def observe(options: CallbackOptions) -> Iterator[Observation]:
            for server in self._servers:
                report = server.health()
                value = getattr(report, source, None)
                yield Observation(value if value is not None else getattr(report.stats, source), server_address(server))

        return observe


def manager_address(manager: ConnectionManager, service: str) -> dict[str, str | int]:
    """Return the attributes for where a service connects to: host and port of its first URL."""
    parts = urlsplit(manager.service(service).urls[0])
    port = parts.port or (443 if parts.scheme == "wss" else 80)
    return {"server.address": parts.hostname or "", "server.port": port}


def server_address(server: Server) -> dict[str, str | int]:
    """Return the attributes for where a server listens."""
    address, _, port = server.name.rpartition(":")
    return {"server.address": address, "server.port": int(port)} if port.isdigit() else {"server.address": server.name}
