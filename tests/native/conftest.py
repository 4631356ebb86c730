"""The programs in C and the pair of sockets that the tests here are run with."""

import importlib.util
import os
import socket
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from loops import is_free_threaded

ROOT = Path(__file__).parents[2]
VERSION = f"{sys.version_info[0]}.{sys.version_info[1]}" + "t" * bool(sysconfig.get_config_var("Py_GIL_DISABLED"))

# A free-threaded interpreter does not survive memory that runs out: its PyList_New lets go of a list whose items it
# never set.
collect_ignore = ["test_no_memory.py"] if is_free_threaded() else []


@pytest.fixture(scope="session")
def make() -> Callable[[str], Path]:
    """make(target): has `make` build it for the Python that runs this, and gives its path. What is preloaded into this
    process is not for `make`.
    """
    environment = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}

    def build(target: str) -> Path:
        subprocess.run(["make", "-s", target, f"PYTHON={sys.executable}"], cwd=ROOT, env=environment, check=True)
        return ROOT / target

    return build


@pytest.fixture(scope="session")
def load(make: Callable[[str], Path]) -> Callable[[str], Any]:
    """load(name): the module of tests/native/<name>.c."""

    def loaded(name: str) -> Any:
        spec = importlib.util.spec_from_file_location(name, make(f"build/{VERSION}/native/{name}.so"))
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return loaded


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Both ends of a line: ours and the peer's. Neither blocks."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        theirs.setblocking(False)
        yield ours, theirs
