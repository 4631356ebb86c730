"""The table of threats in README.md: every row names tests, and all of them exist."""

import ast
import re
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROWS = dict(re.findall(r"^\| (?!threat)([^|-].*?) \| (.*) \|$", (HERE / "README.md").read_text(), re.MULTILINE))


def names_in(path: Path) -> set[str]:
    """The names of the tests of a module, those in classes included."""
    found = ast.walk(ast.parse(path.read_text()))
    return {node.name for node in found if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))}


@pytest.mark.parametrize("row", ROWS)
def test_a_row_names_tests_that_exist(row: str) -> None:
    named = re.findall(r"`([^`]+)::(test_\w+)`", ROWS[row])
    assert named
    for module, name in named:
        assert name in names_in(HERE / module), f"{module} has no {name}"


def test_there_are_rows() -> None:
    assert len(ROWS) >= 26
