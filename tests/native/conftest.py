"""Programs in C that the tests here are run with."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def make() -> Callable[[str], Path]:
    """make(target): has `make` build it, and gives its path. What is preloaded into this process is not for `make`."""
    environment = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}

    def build(target: str) -> Path:
        subprocess.run(["make", "-s", target], cwd=ROOT, env=environment, check=True)
        return ROOT / target

    return build
