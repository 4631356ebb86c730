"""Libraries that build on wsproto work the same on trunkline.protocol: their real code, over loopback."""

import importlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

import trunkline.protocol

PROGRAMS = Path(__file__).parent / "programs.py"
SAID: list[str | bytes] = ["text: ✓ 🐎", b"\x00\xff", "", b"", "x" * 126, b"y" * 70_000, "ž" * 200_000]
CAME = [["text", message] if isinstance(message, str) else ["binary", message.hex()] for message in SAID]


@pytest.mark.parametrize("library", ["uvicorn", "hypercorn", "trio_websocket", "simple_websocket"])
def test_a_library_runs_on_it(library: str) -> None:
    done = subprocess.run([sys.executable, PROGRAMS, library], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["module"].startswith("trunkline.protocol")
    assert told["came"] == CAME
    assert told["close"] == [4001, "as told"]


@pytest.mark.parametrize("module", ["connection", "events", "extensions", "frame_protocol", "typing", "utilities"])
def test_the_paths_of_old_still_lead_there(module: str) -> None:
    sys.modules.pop(f"trunkline.protocol.{module}", None)
    with pytest.warns(DeprecationWarning, match=f"trunkline.protocol.wsproto.{module}"):
        old = importlib.import_module(f"trunkline.protocol.{module}")
    new = importlib.import_module(f"trunkline.protocol.wsproto.{module}")
    assert {name: getattr(old, name) for name in new.__all__} == {name: getattr(new, name) for name in new.__all__}


def test_the_handshake_of_old_is_found_beside_the_new() -> None:
    module = importlib.import_module("trunkline.protocol.handshake")
    with pytest.warns(DeprecationWarning, match="is now in trunkline.protocol.wsproto.handshake"):
        found = module.H11Handshake
    assert found is trunkline.protocol.H11Handshake
    with pytest.raises(AttributeError, match="no attribute 'H12Handshake'"):
        _ = module.H12Handshake
