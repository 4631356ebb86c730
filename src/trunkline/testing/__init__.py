"""The fault kit: connections that break on purpose and reproducibly, and servers that follow a script.

It is for trunkline's own tests and for tests of programs that use trunkline. Nothing else in trunkline imports it.
"""

from trunkline.testing import script
from trunkline.testing.faults import Fault, Plan, seeded_faults
from trunkline.testing.network import Network, Passage, SimServer, SimSocket
from trunkline.testing.peer import PeerGone, ScriptedPeer
from trunkline.testing.proxy import FaultProxy, Incident, Line
from trunkline.testing.server import ScriptedServer
from trunkline.testing.transport import SimTransport
from trunkline.testing.virtual import VirtualLoop, run_virtual

__all__ = [
    "Fault",
    "FaultProxy",
    "Incident",
    "Line",
    "Network",
    "Passage",
    "PeerGone",
    "Plan",
    "ScriptedPeer",
    "ScriptedServer",
    "SimServer",
    "SimSocket",
    "SimTransport",
    "VirtualLoop",
    "run_virtual",
    "script",
    "seeded_faults",
]
