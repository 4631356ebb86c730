"""`trunkline info`: versions, SIMD, event loop and transport, for a bug report."""

from __future__ import annotations

import argparse
import asyncio
import importlib.metadata
import json
import os
import platform
import ssl
import sys
from typing import Any, Final

import trunkline
from trunkline._kernels import mask_variant
from trunkline.cli.options import Commands, add_command, add_json
from trunkline.net.streams import has_streams

__all__ = ["add", "gather", "show_info"]

REQUIRED: Final = ("wsproto", "h11", "httptools", "msgspec", "aiohappyeyeballs")
LOOP: Final = "winloop" if sys.platform == "win32" else "uvloop"
OPTIONAL: Final = (LOOP, "isal", "rich", "prometheus-client", "opentelemetry-api", "python-socks")


def add(commands: Commands) -> None:
    """Add the `info` command."""
    summary = "show versions, SIMD, event loop and transport in use, for a bug report"
    add_json(add_command(commands, "info", show_info, summary, epilog="exit status: 0"))


def gather() -> dict[str, Any]:
    """Return versions and platform as data. The version of a package that is not installed is None."""
    names, loop = [*REQUIRED, *OPTIONAL], asyncio.get_running_loop()
    return {
        "trunkline": trunkline.__version__,
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "platform": platform.platform(),
        "cores": os.cpu_count(),
        "masking": mask_variant(),
        "tls": ssl.OPENSSL_VERSION,
        "loop": type(loop).__module__,
        "transport": "stream, with TLS asyncio" if has_streams(loop) else "asyncio",
        "installed_at": os.path.dirname(trunkline.__file__),
        "packages": {name: _version(name) for name in names},
    }


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


async def show_info(options: argparse.Namespace) -> int:
    """Print what `gather` returns."""
    seen = gather()
    if options.json:
        print(json.dumps(seen))
        return 0
    packages = seen.pop("packages")
    for name, value in seen.items():
        print(f"{name.replace('_', ' '):<20}{value}")
    for name in (*REQUIRED, *OPTIONAL):
        print(f"{name:<20}{packages[name] or 'not installed' + ('' if name in OPTIONAL else ', but required')}")
    sys.stdout.flush()
    return 0
