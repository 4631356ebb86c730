"""Every benchmark, in the order of the report."""

from benchmarks.scenario import Scenario
from benchmarks.scenarios.broadcast import BROADCAST
from benchmarks.scenarios.clients import FEED, PUSH, WAIT
from benchmarks.scenarios.codec import CODEC
from benchmarks.scenarios.connections import HANDSHAKES, MEMORY
from benchmarks.scenarios.echo import DEFLATE, ECHO, TLS

SCENARIOS: dict[str, Scenario] = {
    scenario.name: scenario for scenario in [ECHO, TLS, DEFLATE, FEED, PUSH, WAIT, BROADCAST, HANDSHAKES, MEMORY, CODEC]
}
