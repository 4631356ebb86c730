"""The C kernels at the end of their memory: `guards.c`, compiled by `make`."""

import subprocess
from collections.abc import Callable
from pathlib import Path


def test_no_kernel_touches_a_byte_beside_its_memory(make: Callable[[str], Path]) -> None:
    told = subprocess.run([make("build/native/guards")], capture_output=True, text=True, timeout=120)
    assert (told.returncode, told.stderr) == (0, "")
    assert told.stdout.splitlines()[0] == "mask scalar"
    assert told.stdout.splitlines()[-2:] == ["utf8", "header"]
