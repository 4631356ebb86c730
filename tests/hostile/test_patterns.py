"""Regular expressions that see what a peer or a user's URL holds take time in proportion to it.

Nothing is timed: every pattern of the package, and what `redact` does with them, runs over long texts made of repeated
pieces, in a process whose processor time the system bounds. One that goes over a text again for each of its characters
would need hours, and is killed.
"""

import importlib
import itertools
import pkgutil
import re
import resource
import subprocess
import sys
import warnings
from typing import Any

import trunkline
from trunkline.manager.redacting import MAX_SHOWN, _hide, redact

LENGTH = 20_000  # characters
SECONDS = 300  # of processor time; it takes about five, and twenty times as long with sanitizers

PIECES = [*'?&=;:/ \ta0.@"\\', "key", "?key", "&token", "=token", "://", "\\0"]
ENDS = ["", "\0", "\n", "=", '"']


def patterns() -> dict[str, re.Pattern[Any]]:
    """Every compiled pattern of the package's modules, by where it stands."""
    found = {}
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):  # of modules that have moved
        modules = [
            importlib.import_module(module.name)
            for module in pkgutil.walk_packages(trunkline.__path__, "trunkline.")
            if not module.name.endswith("__main__")
        ]
    for module in modules:
        for name, value in vars(module).items():
            if isinstance(value, re.Pattern):
                found[f"{module.__name__}.{name}"] = value
    return found


def texts() -> list[str]:
    pairs = {one + other for one, other in itertools.product(PIECES, repeat=2)} | set(PIECES)
    repeated = [piece * (LENGTH // len(piece)) for piece in sorted(pairs)]
    return [f"{start}{text}{end}" for text in repeated for start in ("", "a") for end in ENDS]


def run_all() -> None:
    """Runs every pattern over every text. The process is killed if that takes too long."""
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
    every = set(patterns().values())
    for text in texts():
        for pattern in every:
            seen = text if isinstance(pattern.pattern, str) else text.encode()
            pattern.fullmatch(seen)
            pattern.match(seen)
        _hide(text)


def test_no_pattern_goes_over_a_text_again_and_again() -> None:
    done = subprocess.run([sys.executable, __file__], check=False)
    assert done.returncode == 0, "it was killed: a pattern takes more than its part"


def test_there_are_patterns() -> None:
    assert {"trunkline.net.http.TOKEN", "trunkline.manager.redacting._NAME"} <= patterns().keys()


def test_what_is_shown_of_a_text_is_bounded() -> None:
    shown = redact("?key" * MAX_SHOWN)
    assert shown == "?key" * (MAX_SHOWN // 4) + f"… ({3 * MAX_SHOWN} more characters)"
    assert "hunter2" not in redact("x" * (MAX_SHOWN - 6) + "?token=hunter2")


if __name__ == "__main__":
    run_all()
