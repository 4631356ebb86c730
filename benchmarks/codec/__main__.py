"""Runs the codec benchmark and prints it as a table: `python -m benchmarks.codec [pytest arguments]`."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.tables import machine, markdown

QUIET = ["-q", "--benchmark-quiet", "--benchmark-disable-gc", "--benchmark-warmup=on", "-p", "no:cacheprovider"]


def measure(words: list[str]) -> list[dict]:
    """Lets pytest-benchmark do its work in a process of its own; gives what it wrote."""
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "codec.json"
        tests = str(Path(__file__).parent)
        run = [sys.executable, "-m", "pytest", tests, *QUIET, f"--benchmark-json={result}", *words]
        done = subprocess.run(run, stdout=subprocess.PIPE, text=True, check=False)
        if done.returncode:
            raise SystemExit(done.stdout)
        return json.loads(result.read_text())["benchmarks"]


def main(words: list[str]) -> None:
    times: dict[tuple[str, int], dict[str, float]] = {}
    for entry in measure(words):
        work, info = entry["name"].partition("[")[0].removeprefix("test_"), entry["extra_info"]
        median = entry["stats"]["median"] / info["messages"] * 1e6
        times.setdefault((work, info["size"]), {})[entry["params"]["codec"]] = median
    rows = []
    for (work, size), of in times.items():
        theirs, ours = of["wsproto"], of["trunkline"]
        rows.append([f"{work} {size:,} bytes", f"{theirs:.2f}", f"{ours:.2f}", f"{theirs / ours:.1f}"])
    print(f"## Codec, sans-IO\n\n{machine(['trunkline', 'wsproto'])}\n")
    print(markdown(["masked message", "wsproto µs", "trunkline µs", "ratio"], rows))


if __name__ == "__main__":
    main(sys.argv[1:])
