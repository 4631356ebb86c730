"""Libraries that build on wsproto work the same on trunkline.protocol: their real code, over loopback."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

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
