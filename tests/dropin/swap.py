"""Puts trunkline.protocol.wsproto in wsproto's place: whoever imports wsproto after `swap()` gets trunkline's.

trunkline itself has imported the real one by then, and keeps it.
"""

import importlib
import sys

MODULES = ["connection", "events", "extensions", "frame_protocol", "handshake", "typing", "utilities"]


def swap() -> None:
    """Changes this process for good."""
    importlib.import_module("trunkline")
    ours = {name: importlib.import_module(f"trunkline.protocol.wsproto.{name}") for name in MODULES}
    sys.modules["wsproto"] = importlib.import_module("trunkline.protocol.wsproto")
    sys.modules.update({f"wsproto.{name}": module for name, module in ours.items()})
