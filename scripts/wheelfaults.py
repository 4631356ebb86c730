"""Faults of a wheel, checked when one is built and again at a release."""

import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Final

LARGEST: Final = 1_300_000  # bytes
SOURCES: Final = (".pyx", ".pxd", ".c", ".h", ".cpp")


def faults(wheel: Path, places: Iterable[Path]) -> list[str]:
    """Say what is wrong with a wheel.

    Args:
        wheel: The file.
        places: Folders of the machine that built it, which it must not name.
    """
    found = []
    if wheel.stat().st_size > LARGEST:
        found.append(f"{wheel.name} has {wheel.stat().st_size:,} bytes, limit {LARGEST:,}")
    paths = [str(place).encode() for place in places if len(str(place)) > 4]
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            if name.endswith(SOURCES):
                found.append(f"{wheel.name}: {name} is a source")
            content = archive.read(name)
            found += [f"{wheel.name}: {name} has the path {path.decode()} in it" for path in paths if path in content]
            if name.endswith(".so") and b".debug_info" in content:
                found.append(f"{wheel.name}: {name} is not stripped")
    return found
