"""What the README and the pages in docs/ promise: programs run as they stand, links and targets lead somewhere."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import trunkline
from trunkline.net.keepalive import SECOND_LOOK, STALL

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
OTHERS = (
    "benchmarks/README.md",
    "changes/README.md",
    "examples/README.md",
    "tests/hostile/README.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
)
PAGES = [README, *sorted(ROOT.glob("docs/*.md")), *(ROOT / name for name in OTHERS)]
VARIES = re.compile(r"\d[\d.]* (?:ms|s)\b")  # times: drawn at random, or taken from a clock


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


def test_the_readme_s_first_program_is_short() -> None:
    lines = [line for line in blocks(README, "python")[0].splitlines() if line.strip()]
    assert len(lines) <= 15


def told_outputs(page: Path) -> list[tuple[str, str]]:
    """The programs of a page with what it says that they print: a block or a line of code right after "It prints"."""
    _, *parts = re.split(r"^```python\n", page.read_text(), flags=re.MULTILINE)
    found = []
    for part in parts:
        program, _, rest = part.partition("\n```\n")
        said = re.match(r"\s*It prints\b[^`]*(?:```text\n(.*?)^```$|`([^`\n]+)`)", rest, re.MULTILINE | re.DOTALL)
        if said:
            found.append((program, said[1] or said[2] + "\n"))
    return found


OUTPUTS = [
    pytest.param(*pair, id=f"{page.relative_to(ROOT)} {number}")
    for page in PAGES
    for number, pair in enumerate(told_outputs(page), 1)
]


@pytest.mark.parametrize(("program", "said"), OUTPUTS)
def test_a_program_prints_what_the_page_says(program: str, said: str, tmp_path: Path) -> None:
    assert VARIES.sub("N s", run(program, tmp_path).stdout) == VARIES.sub("N s", said)


def test_the_log_record_that_is_shown_is_the_first_that_is_written(tmp_path: Path) -> None:
    page = ROOT / "docs/logging.md"
    written = json.loads(run(blocks(page, "python")[0], tmp_path).stdout.splitlines()[0])
    assert {**written, "time": ""} == {**json.loads(blocks(page, "json")[0]), "time": ""}


def test_the_programs_whose_output_is_told_were_found() -> None:
    pages = {page.name for page in PAGES if "It prints" in page.read_text()}
    assert pages == {page.name for page in PAGES if told_outputs(page)}
    assert len(OUTPUTS) >= 4


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_program_runs_as_it_stands(program: str, tmp_path: Path) -> None:
    told = run(program, tmp_path)
    assert (told.stderr, told.returncode) == ("", 0)


def test_the_targets_that_are_named_exist() -> None:
    made = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    code = "".join(re.findall(r"`+[^`]+`+", "".join(page.read_text() for page in PAGES)))
    named = set(re.findall(r"\bmake ([a-z-]+)\b", code))
    assert {"demo", "test"} <= named
    assert named <= made


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_what_is_linked_exists(page: Path) -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text())
    assert [link for link in links if not (page.parent / link).exists()] == []


def anchors(page: Path) -> set[str]:
    """The headings of a page as GitHub names them in links."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_headings_that_are_linked_exist(page: Path) -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]*)#([^)]+)\)", page.read_text())
    assert [link for link in links if link[1] not in anchors(page.parent / link[0] if link[0] else page)] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_files_that_are_named_exist(page: Path) -> None:
    codes = re.findall(r"`([^`\n]+)`", page.read_text())
    words = [word for code in codes for word in re.split(r"[\s=\"]+|::\S*", code)]
    named = [
        word
        for word in words
        if re.match(r"(?:tests|src|native|scripts|benchmarks|changes|docs|examples|\.ci|\.github)/", word)
    ]
    assert [name for name in named if not (ROOT / name).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_rows_of_a_table_have_as_many_cells_as_its_heading(page: Path) -> None:
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    tables = re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE)
    widths = [{len(re.findall(r"(?<!\\)\|", row)) for row in table.splitlines()} for table in tables]
    assert [table for table, width in zip(tables, widths, strict=True) if len(width) != 1] == []


def test_every_page_is_reached_from_the_readme_and_from_the_index() -> None:
    pages = {page.name for page in ROOT.glob("docs/*.md")} - {"README.md"}
    for start, folder in ((README, "docs/"), (ROOT / "docs/README.md", "")):
        assert pages - set(re.findall(rf"\]\({folder}([\w-]+\.md)", start.read_text())) == set()


def test_the_tree_of_errors_has_every_error() -> None:
    (tree,) = re.findall(r"^```\n(TrunklineError .*?)^```$", (ROOT / "docs/errors.md").read_text(), re.M | re.DOTALL)
    names = [name for name in trunkline.__all__ if issubclass(of(name), trunkline.TrunklineError)]
    assert sorted(re.findall(r"^[ │├└]*(\w+)  ", tree, re.MULTILINE)) == sorted(names)


def of(name: str) -> type:
    """What trunkline has under a name, if it is a class; object otherwise."""
    value = getattr(trunkline, name)
    return value if isinstance(value, type) else object


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


@pytest.mark.parametrize("name", ["reliability", "retrying", "threat-model"])
def test_the_time_in_which_a_dead_link_is_noticed_follows_from_the_defaults(name: str) -> None:
    settings = trunkline.Settings()
    assert settings.ping_interval is not None
    assert settings.ping_timeout is not None
    seconds = settings.ping_interval + settings.ping_timeout + SECOND_LOOK + STALL
    assert f" {seconds:g} s" in (ROOT / "docs" / f"{name}.md").read_text().replace("(", " ")
