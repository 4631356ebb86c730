"""The bill of materials: what it names, that it is valid, and that whoever makes it again makes the same."""

import hashlib
import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text())
VENDORED = ROOT / "src/trunkline/observe/dashboard/static/vendor"
VALIDATOR = JsonStrictValidator(SchemaVersion.V1_6)


def made(folder: Path, date: str = "1000000000") -> str:
    """The text of a bill that is made in a folder, with a date in seconds."""
    command = [sys.executable, ROOT / "scripts" / "sbom", folder]
    done = subprocess.run(
        command, env=os.environ | {"SOURCE_DATE_EPOCH": date}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    (file,) = folder.iterdir()
    assert file.name == f"trunkline-{SETTINGS['project']['version']}.cdx.json"
    return file.read_text()


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A bill's text."""
    return made(tmp_path_factory.mktemp("bill"))


@pytest.fixture(scope="module")
def parts(text: str) -> dict[str, dict[str, Any]]:
    """Its components, by their names."""
    return {part["name"]: part for part in json.loads(text)["components"]}


def test_it_is_valid_and_the_validator_would_say_if_not(text: str) -> None:
    assert VALIDATOR.validate_str(text) is None
    assert VALIDATOR.validate_str(text.replace('"scope": "required"', '"scope": "perhaps"')) is not None


def test_two_of_one_commit_are_the_same_and_only_the_date_is_the_commit_s(text: str, tmp_path: Path) -> None:
    for name in ("again", "later"):
        (tmp_path / name).mkdir()
    assert made(tmp_path / "again") == text
    assert "2001-09-09T01:46:40+00:00" in text
    later = made(tmp_path / "later", "1000000060")
    assert later == text.replace("2001-09-09T01:46:40+00:00", "2001-09-09T01:47:40+00:00")


def test_it_is_of_this_version_and_licence(text: str) -> None:
    project, root = SETTINGS["project"], json.loads(text)["metadata"]["component"]
    assert root["purl"] == f"pkg:pypi/trunkline@{project['version']}"
    assert [licence["expression"] for licence in root["licenses"]] == [project["license"]]


def test_what_is_needed_has_its_range_and_a_version_in_it(text: str, parts: dict[str, dict[str, Any]]) -> None:
    wanted = {one.name: one for one in map(Requirement, SETTINGS["project"]["dependencies"])}
    (root,) = [one for one in json.loads(text)["dependencies"] if one["ref"].startswith("pkg:pypi/trunkline@")]
    assert {parts[name]["bom-ref"] for name in wanted} <= set(root["dependsOn"])
    for name, requirement in wanted.items():
        assert parts[name]["scope"] == "required"
        assert requirement.specifier.contains(parts[name]["version"])
        told = {one["name"]: one["value"] for one in parts[name]["properties"]}
        assert Requirement(told["trunkline:requires"]) == requirement


def test_what_the_extras_bring_is_optional(parts: dict[str, dict[str, Any]]) -> None:
    extras = SETTINGS["project"]["optional-dependencies"]
    named = {Requirement(one).name for wanted in extras.values() for one in wanted}
    assert {"isal", "uvloop"} <= named
    assert {name for name, part in parts.items() if part["scope"] == "optional"} == named


def test_the_files_of_others_in_the_wheel_have_their_licence_and_checksums(parts: dict[str, dict[str, Any]]) -> None:
    library = parts["uPlot"]
    assert library["version"] in (VENDORED / "README.md").read_text()
    assert "MIT" in json.dumps(library["licenses"])
    held = {one["name"]: one["hashes"] for one in library["components"]}
    assert held == {
        file.name: [{"alg": "SHA-256", "content": hashlib.sha256(file.read_bytes()).hexdigest()}]
        for file in VENDORED.iterdir()
        if file.name not in {"README.md", "SHA256SUMS"}
    }


def test_cython_is_named_whose_code_is_in_the_core(parts: dict[str, dict[str, Any]]) -> None:
    assert parts["Cython"]["scope"] == "excluded"
