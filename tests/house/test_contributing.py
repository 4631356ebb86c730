"""What a contributor meets first: recipes that name files and tests, forms that ask for what helps, the hook."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "CONTRIBUTING.md").read_text()
RECIPES = re.split(r"^### ", PAGE.partition("\n## Recipes\n")[2], flags=re.MULTILINE)[1:]
FORMS = sorted(path for path in (ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml") if path.stem != "config")


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.partition("\n")[0].strip())
def test_a_recipe_names_the_files_to_change_and_the_tests_that_tell(recipe: str) -> None:
    files, tests = recipe.split("Tests: ")
    assert re.search(r"`(?:src|native)/|`__init__.py`", files)
    assert re.search(r"`tests/\w+/\w+\.\w+`", tests)


def test_there_is_a_recipe_for_each_kind_of_change() -> None:
    titles = " ".join(recipe.partition("\n")[0] for recipe in RECIPES)
    kinds = ("limit", "default", "close code", "counter", "metric", "kernel", "compiled core", "setting of a service")
    assert [kind for kind in kinds if kind not in titles] == []


@pytest.mark.parametrize("path", FORMS, ids=lambda path: path.stem)
def test_a_form_has_what_github_asks_for(path: Path) -> None:
    form = yaml.safe_load(path.read_text())
    assert form["name"]
    assert form["description"]
    asked = [part for part in form["body"] if part["type"] != "markdown"]
    assert asked
    assert len({part["id"] for part in asked}) == len(asked)
    assert all(part["attributes"]["label"] for part in asked)


def test_a_bug_report_asks_for_the_output_of_commands_that_exist() -> None:
    commands = re.findall(r"python -m trunkline (\w+)", (ROOT / ".github/ISSUE_TEMPLATE/bug.yml").read_text())
    assert set(commands) == {"info", "doctor"}
    for command in commands:
        subprocess.run([sys.executable, "-m", "trunkline", command, "--help"], check=True, capture_output=True)


def test_the_hook_runs_make_lint_and_fetches_nothing() -> None:
    repositories = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    assert [repository["repo"] for repository in repositories] == ["local"]
    assert [hook["entry"] for hook in repositories[0]["hooks"]] == ["make -s lint"]
    assert [hook["language"] for hook in repositories[0]["hooks"]] == ["system"]


def test_the_autobahn_suite_is_pinned_by_digest() -> None:
    folder = ROOT / "scripts" / "autobahn"
    packages = [line for line in (folder / "requirements.txt").read_text().splitlines() if not line.startswith("#")]
    assert [line for line in packages if not re.fullmatch(r"[\w.]+==[\d.]+ --hash=sha256:[0-9a-f]{64}", line)] == []
    debian = (folder / "debian.sha256").read_text().splitlines()
    assert [line for line in debian if not re.fullmatch(r"[0-9a-f]{64}  [\w.-]+_[^_]+_amd64\.deb", line)] == []
    assert len(packages) > len(debian) > 0


def test_the_autobahn_suite_is_not_installed_where_it_is_not_pinned(tmp_path: Path) -> None:
    (tmp_path / "dpkg").write_text("#!/bin/sh\necho s390x\n")
    (tmp_path / "dpkg").chmod(0o755)
    command = [ROOT / "scripts/autobahn/install", sys.executable, tmp_path / "suite"]
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
    told = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    wanted = "it is pinned for Debian on x86-64 only; WSTEST=... names a wstest that you have"
    assert (told.returncode, told.stderr) == (1, f"cannot install the Autobahn suite: {wanted}\n")
