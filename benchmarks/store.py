"""Results on disk, a file for each scenario and loop, so that a long run can be made in pieces.

A case has the figures of only one run: measuring it again replaces all of them. So ratios are always between subjects
that took turns.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.figures import Sample

FOLDER = Path(__file__).parents[1] / "reports" / "bench"


@dataclass(frozen=True)
class Measured:
    """One case: the samples of each subject, and facts about the run that they come from."""

    about: dict[str, str]  # date, machine, versions, command, rounds
    samples: dict[str, list[Sample]]


class Store:
    """The results so far."""

    def __init__(self, folder: Path = FOLDER) -> None:
        self.folder = folder

    def save(self, scenario: str, loop: str, case: str, measured: Measured) -> None:
        """Save a case in place of its earlier results."""
        path = self._path(scenario, loop)
        cases = json.loads(path.read_text()) if path.exists() else {}
        samples = {name: [asdict(sample) for sample in of_one] for name, of_one in measured.samples.items()}
        cases[case] = {"about": measured.about, "samples": samples}
        self.folder.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(cases, indent=1) + "\n")

    def load(self, scenario: str, loop: str) -> dict[str, Measured]:
        """Return the measured cases by label."""
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
        """Yield every measured case."""
        for path in sorted(self.folder.glob("*.json")):
            yield from self.load(*path.stem.rsplit(".", 1)).values()

    def _path(self, scenario: str, loop: str) -> Path:
        return self.folder / f"{scenario}.{loop}.json"
