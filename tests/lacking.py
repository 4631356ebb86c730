"""A plugin of pytest that takes away what Windows lacks: PYTHONPATH=tests LOOP=proactor pytest -p lacking -m portable.

It must come before trunkline, so it is named on the command line. Output is captured by --capture=sys: pytest looks for
Windows' console otherwise.
"""

import asyncio
import contextlib
import importlib
import os
import ssl
import struct

import without_posix

# What the tests are run with looks for a platform when it is imported.
for name in ("multiprocessing", "subprocess", "hypothesis.strategies", "trio", "trustme", "anyio._backends._asyncio"):
    with contextlib.suppress(ImportError):
        importlib.import_module(name)

without_posix.take_away()
trunkline_proxy = importlib.import_module("trunkline.testing.proxy")
trunkline_proxy.NO_LINGER = struct.pack("ii", 1, 0)  # type: ignore[attr-defined]  # the kernel is still Linux's
os.environ["TRUNKLINE_TRANSPORT"] = "asyncio"  # there is neither epoll nor kqueue
ssl.enum_certificates = lambda store: []  # type: ignore[attr-defined]  # Windows has the system's
asyncio.events.new_event_loop = {"selector": without_posix.SelectorLoop, "proactor": without_posix.Loop}[
    os.environ["LOOP"]
]
