"""What docs/installing.md promises: the wheels of a release, the Pythons, the extras, and what an error means."""

import re
import runpy
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from trunkline import _guard

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "installing.md").read_text()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
ARCHITECTURES = {"linux": "x86_64,aarch64", "macos": "x86_64,arm64", "windows": "AMD64,ARM64"}
SYSTEMS = {"manylinux": "linux-gnu.2.17", "musllinux": "linux-musl", "macosx": "macos", "win": "windows-gnu"}
PROCESSORS = {"x86_64": "x86_64", "amd64": "x86_64", "aarch64": "aarch64", "arm64": "aarch64"}
PLATFORMS = {"linux": ("manylinux", "musllinux"), "macos": ("macosx",), "windows": ("win",)}


def table(first: str) -> list[list[str]]:
    """The cells of the page's table whose heading begins so, the heading first."""
    (rows,) = re.findall(rf"(?:^\| {first} .*\n)(?:^\|.*\n)+", PAGE, re.MULTILINE)
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in rows.splitlines()]
    return [lines[0], *lines[2:]]


def promised() -> set[str]:
    """The build identifiers of the wheels that the page has a yes for."""
    heading, *rows = table("platform")
    pythons = ["cp" + version.replace(".", "") for version in heading[1:]]
    return {
        f"{python}-{platform.strip('`')}"
        for platform, *cells in rows
        for python, cell in zip(pythons, cells, strict=True)
        if cell == "yes"
    }


@pytest.mark.parametrize("platform", ARCHITECTURES)
def test_cibuildwheel_builds_the_wheels_that_the_page_promises(platform: str) -> None:
    command = [sys.executable, "-m", "cibuildwheel", "--print-build-identifiers", "--platform", platform]
    told = subprocess.run(
        [*command, "--archs", ARCHITECTURES[platform], ROOT], capture_output=True, text=True, check=True
    )
    wheels = {wheel for wheel in promised() if wheel.partition("-")[2].startswith(PLATFORMS[platform])}
    assert set(told.stdout.split()) == wheels


def test_the_core_is_compiled_for_each_platform_that_the_page_promises_wheels_for() -> None:
    names = [row[0].strip("`").partition("_") for row in table("platform")[1:]]
    promised = {f"{PROCESSORS[processor]}-{SYSTEMS[system]}" for system, _, processor in names}
    others = {"s390x-linux-gnu", "x86-linux-musl"}
    assert set(runpy.run_path(str(ROOT / "scripts" / "cross"))["TARGETS"]) == promised | others


def test_the_classifiers_name_the_pythons_of_the_wheels() -> None:
    versions = {version.removesuffix("t") for version in table("platform")[0][1:]}
    named = re.findall(r"Python :: (3\.\d+)", "\n".join(PROJECT["classifiers"]))
    assert set(named) == versions


def test_the_page_names_every_extra() -> None:
    assert [row[0].strip("`") for row in table("extra")[1:]] == list(PROJECT["optional-dependencies"])


def test_what_the_page_explains_is_what_one_is_told() -> None:
    told = (ROOT / "setup.py").read_text() + str(_guard.explain("no _kernels"))
    ours = [row[0].strip("`") for row in table("pip or Python says")[1:] if "trunkline's" in row[0]]
    assert len(ours) == 3
    assert [line for line in ours if line not in told] == []
