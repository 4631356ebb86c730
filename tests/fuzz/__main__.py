"""`make fuzz`: inputs through every decoder, in several processes; what nothing explains goes to reports/fuzz.

An input is one stream: one to three messages or control frames, 60 bytes in the middle. The same seed gives the same
inputs in the same blocks, whatever the number of processes.
"""

import argparse
import json
import multiprocessing
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

from fuzz.check import check
from fuzz.streams import BLOCK, block

REPORTS = Path(__file__).parents[2] / "reports" / "fuzz"


def one_block(job: tuple[int, int, int, float]) -> tuple[int, Counter[str], list[dict[str, Any]], float]:
    """A block's inputs: how many, the divergences, what is unexplained, and the CPU seconds."""
    seed, number, count, deadline = job
    if time.monotonic() > deadline:
        return 0, Counter(), [], 0.0
    began = time.process_time()
    names: Counter[str] = Counter()
    found: list[dict[str, Any]] = []
    for stream in block(seed, number, count):
        try:
            names.update(check(stream))
        except Exception as error:  # whatever a decoder does must not end the run
            found.append({"stream": stream.to_json(), "error": f"{type(error).__name__}: {error}"})
    return count, names, found, time.process_time() - began


def main() -> int:
    parser = argparse.ArgumentParser(prog="make fuzz", description=__doc__)
    parser.add_argument("--inputs", type=int, default=200_000, help="how many (%(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="which (%(default)s)")
    parser.add_argument("--first", type=int, default=0, metavar="BLOCK", help="the block to begin with, to go on")
    parser.add_argument("--seconds", type=float, default=600, help="begin no block after so long (%(default)s)")
    parser.add_argument("--processes", type=int, default=2, help="(%(default)s)")
    options = parser.parse_args()
    deadline = time.monotonic() + options.seconds
    jobs = [
        (options.seed, options.first + number, min(BLOCK, options.inputs - number * BLOCK), deadline)
        for number in range(-(-options.inputs // BLOCK))
    ]
    REPORTS.mkdir(parents=True, exist_ok=True)
    unexplained = REPORTS / f"unexplained-{options.seed}.jsonl"
    total, cpu, names, bad = 0, 0.0, Counter[str](), 0
    with multiprocessing.Pool(options.processes) as pool, unexplained.open("a") as out:
        for count, seen, found, seconds in pool.imap(one_block, jobs):
            if not count:
                continue
            total, cpu, bad = total + count, cpu + seconds, bad + len(found)
            names.update(seen)
            out.writelines(json.dumps(one) + "\n" for one in found)
            out.flush()
            print(f"{total} inputs, {cpu / total * 1e6:.0f} µs each, {bad} unexplained", flush=True)
    print(f"seed {options.seed}, blocks from {options.first}: {total} inputs in {cpu:.0f} s of CPU")
    for name, times in names.most_common():
        print(f"{times:10} {name}")
    print(f"{bad:10} unexplained" + (f": {unexplained}" if bad else ""))
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
