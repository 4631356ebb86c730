"""Which tests pass on every platform: TCP on loopback, no program but Python, nothing that only POSIX or Linux has.

They run against each wheel that is built, with the packages of the group `portable`. `make portable` runs them here.
"""

import socket
import sys
from pathlib import Path
from typing import Final

import pytest

__all__ = ["fits", "has"]

TESTS: Final = Path(__file__).parent
FOLDERS: Final = ("frames", "manager", "metrics", "net", "protocol")
SYSTEMS: Final = {"posix": hasattr(socket, "AF_UNIX"), "linux": sys.platform == "linux"}
# What these folders have that is not portable.
EXCEPT: Final = {
    "manager/test_network.py": "netlink",
    "manager/test_supervision.py": "slow",
    "net/test_addresses.py": "addresses of loopback that only Linux has",
    "net/test_answers.py": "slow",
    "net/test_leftovers.py": "slow",
    "net/test_progress.py": "what only Linux knows of a connection",
    "net/test_process_request.py": "slow",
    "net/test_loss.py": "slow",
    "net/test_growth.py": "slow",
    "net/test_bombs.py": "the C library's count of memory",
    "net/test_review.py": "uvloop",
    "net/test_streams.py": "epoll or kqueue",
    "net/test_unix.py": "unix sockets",
}


def has(path: Path) -> bool:
    """Whether the tests of a file are portable, or a folder has some that are."""
    name = path.relative_to(TESTS).as_posix() if path.is_relative_to(TESTS) else "."
    return name == "." or (name.partition("/")[0] in FOLDERS and name not in EXCEPT)


def fits(item: pytest.Item) -> bool:
    """Whether this system has what a test is marked to need."""
    return all(is_here for name, is_here in SYSTEMS.items() if item.get_closest_marker(name))
