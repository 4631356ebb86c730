"""The promises under fault are tested on a virtual clock: every test on a loop of its own, from second 0."""

import gc

import pytest

import trunkline
from trunkline.testing import VirtualLoop
from turns import open_files


@pytest.fixture
def anyio_backend():
    """Time that jumps, and a network without a kernel."""
    return "asyncio", {"loop_factory": VirtualLoop}


def alive(kind: type) -> int:
    """How many objects of a class there are."""
    gc.collect()
    return sum(isinstance(one, kind) for one in gc.get_objects())


@pytest.fixture
def nothing_left():
    """What a test opens is gone when it ends: descriptors and WebSockets. (Tasks that are left, anyio reports.)"""
    files, sockets = open_files(), alive(trunkline.WebSocket)
    yield
    assert open_files().keys() <= files.keys() | set()
    assert alive(trunkline.WebSocket) == sockets
