"""What GitHub runs: one make target a job, pinned actions, least permissions, the Pythons that are promised."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / ".github" / "workflows"
TARGETS = set(re.findall(r"^([a-z][\w-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))
PINNED = re.compile(r"uses: [\w/-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$")
# What has no make: Windows runs the target's program; the last job of all asks how the others ended.
ELSE = {"python scripts/wheels", 'test "$FAILED" = false'}
WRITES = {"publish": {"id-token", "attestations"}, "announce": {"contents"}}


def jobs(workflow: dict[Any, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    yield from workflow["jobs"].items()


def matrix_of(job: dict[str, Any]) -> dict[str, Any]:
    return job.get("strategy", {}).get("matrix", {})


def commands(job: dict[str, Any]) -> list[str]:
    """What its steps run, once for each target of its matrix."""
    lines = [step["run"].strip() for step in job.get("steps", []) if "run" in step]
    targets = matrix_of(job).get("target", [""])
    return sorted({line.replace("${{ matrix.target }}", target) for line in lines for target in targets})


def faults(text: str, targets: set[str]) -> list[str]:
    """What a workflow must not be."""
    workflow = yaml.safe_load(text)
    found = [] if workflow.get("permissions") == {} else ["it has permissions for all of its jobs"]
    uses = [line.strip().removeprefix("- ") for line in text.splitlines() if re.search(r"^\s*(- )?uses:", line)]
    found += [f"not pinned: {line}" for line in uses if not PINNED.search(line) and ": ./" not in line]
    for name, job in jobs(workflow):
        written = {right for right, level in job.get("permissions", {}).items() if level == "write"}
        if "permissions" not in job or written != WRITES.get(name, set()):
            found.append(f"{name}: permissions")
        if "steps" in job and "timeout-minutes" not in job:
            found.append(f"{name}: no timeout")
        run = [step for step in job.get("steps", []) if "run" in step]
        if len(run) > 1:
            found.append(f"{name}: runs more than one thing")
        for step in job.get("steps", []):
            if "checkout@" in step.get("uses", "") and step.get("with", {}).get("persist-credentials") is not False:
                found.append(f"{name}: leaves its credentials in the checkout")
        for line in commands(job):
            words = line.split()
            named = [word for word in words[1:] if re.fullmatch(r"[a-z][\w-]*", word)]
            if line not in ELSE and (words[0] != "make" or not named or not targets.issuperset(named)):
                found.append(f"{name}: {line} is no make target")
            if "${{" in line:
                found.append(f"{name}: {line} takes an expression into the shell")
    return found


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.yml")), ids=lambda path: path.stem)
def test_each_job_calls_one_target_with_pinned_actions_and_the_least_of_permissions(path: Path) -> None:
    assert faults(path.read_text(), TARGETS) == []


PLANTED = """\
permissions: {}
jobs:
  test:
    timeout-minutes: 5
    permissions: {}
    steps:
      - uses: actions/checkout@3d3c42e5aac5ba805825da76410c181273ba90b1 # v7.0.1
        with: {persist-credentials: false}
      - run: make test
"""


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("", "", None),
        ("permissions: {}\njobs", "permissions: {contents: write}\njobs", "it has permissions for all of its jobs"),
        ("    permissions: {}\n", "", "test: permissions"),
        ("    permissions: {}\n", "    permissions: {contents: write}\n", "test: permissions"),
        ("    timeout-minutes: 5\n", "", "test: no timeout"),
        (" # v7.0.1", "", "not pinned: uses: actions/checkout@3d3c42e5aac5ba805825da76410c181273ba90b1"),
        ("3d3c42e5aac5ba805825da76410c181273ba90b1 # v7.0.1", "v7", "not pinned: uses: actions/checkout@v7"),
        ("{persist-credentials: false}", "{fetch-depth: 0}", "test: leaves its credentials in the checkout"),
        ("make test", "make teste", "test: make teste is no make target"),
        ("make test", "pytest", "test: pytest is no make target"),
        ("make test", "make test\n      - run: make test", "test: runs more than one thing"),
        ("make test", "make test A=${{ x }}", "test: make test A=${{ x }} takes an expression into the shell"),
    ],
)
def test_the_rules_find_what_is_planted(old: str, new: str, fault: str | None) -> None:
    found = faults(PLANTED.replace(old, new), {"test"})
    assert fault in found if fault else found == []


def pythons(name: str, job: str) -> set[str]:
    matrix = matrix_of(yaml.safe_load((FOLDER / name).read_text())["jobs"][job])
    return {*matrix.get("python", []), *(one["python"] for one in matrix.get("include", []))}


def test_the_suite_runs_on_each_python_that_there_are_wheels_for() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    built = re.findall(r"cp3(\d+t?)-", settings["tool"]["cibuildwheel"]["build"])
    assert pythons("ci.yml", "test") | {one for one in pythons("ci.yml", "portable") if one.endswith("t")} == {
        f"3.{minor}" for minor in built
    }


def test_nothing_is_released_but_what_the_checks_have_passed() -> None:
    release = yaml.safe_load((FOLDER / "release.yml").read_text())["jobs"]
    assert set(release["publish"]["needs"]) == {"complete", "sbom"}
    assert release["complete"]["needs"] == "ci"
    assert release["ci"]["uses"] == "./.github/workflows/ci.yml"
    assert release["ci"]["needs"] == release["sbom"]["needs"] == "ready"
    ci = yaml.safe_load((FOLDER / "ci.yml").read_text())["jobs"]
    assert set(ci["all"]["needs"]) == set(ci) - {"all"} - for_reading(ci)


def for_reading(ci: dict[str, Any]) -> set[str]:
    """The jobs whose failure fails nothing."""
    return {name for name, job in ci.items() if job.get("continue-on-error") is True}


def test_nothing_of_the_repository_runs_where_there_are_rights_to_publish() -> None:
    publish = yaml.safe_load((FOLDER / "release.yml").read_text())["jobs"]["publish"]
    assert publish["environment"] == "pypi"
    assert [step for step in publish["steps"] if "run" in step or "checkout@" in step["uses"]] == []


def test_only_what_is_built_on_linux_is_released() -> None:
    workflow = yaml.safe_load((FOLDER / "wheels.yml").read_text())["jobs"]
    names = {one["name"]: one["runner"] for one in matrix_of(workflow["wheels"])["include"]}
    released = {name: runner for name, runner in names.items() if name.startswith("dist-")}
    assert released == {"dist-x86_64": "ubuntu-24.04", "dist-aarch64": "ubuntu-24.04-arm"}
    assert workflow["wheels"]["continue-on-error"] == "${{ !startsWith(matrix.name, 'dist-') }}"
    assert not any(runner.startswith("dist-") for runner in matrix_of(workflow["windows"])["runner"])
    readme = (ROOT / "README.md").read_text()
    assert "| macOS, Windows | **builds, not released**, until a runner's tests have passed." in readme


def test_times_are_shown_and_instructions_decide() -> None:
    ci = yaml.safe_load((FOLDER / "ci.yml").read_text())["jobs"]
    assert for_reading(ci) == {"microbench"}
    assert 'BASE="$BASE"' in ci["instructions"]["steps"][-1]["run"]
    assert "--summary $GITHUB_STEP_SUMMARY" in ci["microbench"]["steps"][-1]["run"]


def test_what_must_hold_before_a_change_lands_here_must_hold_there() -> None:
    run = (ROOT / ".ci" / "run").read_text()
    lines = re.findall(r"^(?:start .* |    )make -s (?!build)([\w -]+)", run, re.MULTILINE)
    here = {word for line in lines for word in line.split() if word.islower()}
    there = {
        target
        for workflow in ("ci.yml", "wheels.yml")
        for _, job in jobs(yaml.safe_load((FOLDER / workflow).read_text()))
        for line in commands(job)
        for target in line.split()[1:]
    }
    assert {"test", "conformance", "wheel-test"} <= here
    assert here - there == set()
