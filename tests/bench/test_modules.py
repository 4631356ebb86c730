"""Benchmarks whose figures the pages quote must be there to be run, also when the core has changed."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "benchmarks").rglob("*.py"))


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def test_every_module_can_be_imported() -> None:
    names = [module_name(path) for path in FILES]
    assert len(names) > 20
    program = f"import importlib\nfor name in {names}: importlib.import_module(name)"
    told = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (told.stdout, told.stderr, told.returncode) == ("", "", 0)


def test_the_benchmarks_that_the_pages_name_are_there() -> None:
    pages = [ROOT / "README.md", ROOT / "CHANGELOG.md", *ROOT.glob("docs/*.md"), *ROOT.glob("benchmarks/*.md")]
    named = set(re.findall(r"-m (benchmarks(?:\.[a-z_]+)*)", "".join(page.read_text() for page in pages)))
    runs = {module_name(path).removesuffix(".__main__") for path in FILES if "__main__" in path.read_text() + path.name}
    assert named
    assert named <= runs
