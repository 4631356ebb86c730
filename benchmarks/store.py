"""Results on disk, a file a scenario and loop, so that a long run can be made in pieces.

A case holds the figures of one run only: measuring it anew replaces it whole. Ratios are therefore always between
subjects that took turns.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.sample import Sample

FOLDER = Path(__file__).parents[1] / "reports" / "bench"


@dataclass(frozen=True)
class Measured:
    """One case: the samples of each subject, and what can be said about the run they come from."""

    about: dict[str, str]  # date, machine, versions, command, rounds
    samples: dict[str, list[Sample]]


class Store:
    """What has been measured so far."""

    def __init__(self, folder: Path = FOLDER) -> None:
        self.folder = folder

    def save(self, scenario: str, loop: str, case: str, measured: Measured) -> None:
        """Keeps a case, in place of what was known of it."""
        path = self._path(scenario, loop)
        cases = json.loads(path.read_text()) if path.exists() else {}
        samples = {name: [asdict(sample) for sample in of_one] for name, of_one in measured.samples.items()}
        cases[case] = {"about": measured.about, "samples": samples}
        self.folder.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(cases, indent=1) + "\n")

    def load(self, scenario: str, loop: str) -> dict[str, Measured]:
        """The cases that were measured, by label."""
        path = self._path(scenario, loop)
        cases = json.loads(path.read_text()) if path.exists() else {}
        return {
            case: Measured(
                kept["about"],
                {name: [Sample(**sample) for sample in of_one] for name, of_one in kept["samples"].items()},
            )
            for case, kept in cases.items()
        }

    def all(self) -> Iterator[Measured]:
        """Every case that was measured."""
        for path in sorted(self.folder.glob("*.json")):
            yield from self.load(*path.stem.rsplit(".", 1)).values()

    def _path(self, scenario: str, loop: str) -> Path:
        return self.folder / f"{scenario}.{loop}.json"
