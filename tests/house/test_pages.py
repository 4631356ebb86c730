"""What the README and the pages in docs/ promise: programs run as they stand, links and targets lead somewhere."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
PAGES = [README, *sorted(ROOT.glob("docs/*.md")), ROOT / "benchmarks/README.md", ROOT / "CHANGELOG.md"]


def blocks(page: Path, language: str) -> list[str]:
    """The code blocks of a page in this language, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)


PROGRAMS = [
    pytest.param(text, id=f"{page.relative_to(ROOT)} {number}")
    for page in PAGES
    for number, text in enumerate(blocks(page, "python"), 1)
]


def run(program: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Runs a program as a reader would who pasted it into a file."""
    path = folder / "pasted.py"
    path.write_text(program)
    return subprocess.run([sys.executable, path], cwd=folder, capture_output=True, text=True, timeout=60, check=False)


def test_the_readme_s_first_program_prints_what_stands_below_it(tmp_path: Path) -> None:
    assert run(blocks(README, "python")[0], tmp_path).stdout == blocks(README, "text")[0]


def test_the_readme_s_first_program_is_short() -> None:
    lines = [line for line in blocks(README, "python")[0].splitlines() if line.strip()]
    assert len(lines) <= 15


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_program_runs_as_it_stands(program: str, tmp_path: Path) -> None:
    told = run(program, tmp_path)
    assert (told.stderr, told.returncode) == ("", 0)


def test_the_targets_that_are_named_exist() -> None:
    made = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    code = "".join(re.findall(r"`+[^`]+`+", "".join(page.read_text() for page in PAGES)))
    named = set(re.findall(r"\bmake ([a-z]+)\b", code))
    assert {"demo", "test"} <= named
    assert named <= made


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_what_is_linked_exists(page: Path) -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text())
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_every_module_of_the_core_is_explained() -> None:
    page = (ROOT / "docs/architecture.md").read_text()
    modules = [path.stem for path in ROOT.glob("native/trunkline/*.pyx")]
    assert modules
    assert [name for name in modules if f"`{name}`" not in page] == []


def test_diagrams_and_tables_are_those_of_the_code() -> None:
    told = subprocess.run(
        [sys.executable, ROOT / "scripts/diagrams", "--check"], capture_output=True, text=True, check=False
    )
    assert (told.stdout, told.returncode) == ("", 0)
