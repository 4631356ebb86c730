"""Imported first, has trunkline's compiled modules come from where they were compiled with counters for libFuzzer."""

import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType

BUILT = Path(__file__).parents[2] / "build" / "fuzz" / "trunkline"


class WithCounters:
    """Finds them; everything else is left to Python."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """As importlib asks for it."""
        return PathFinder.find_spec(name, [str(BUILT)]) if name.startswith("trunkline._") else None


sys.meta_path.insert(0, WithCounters())
