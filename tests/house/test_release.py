"""What must be so before a version is released: tag, version, changelog, and the files."""

import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PYTHONS = ("cp311", "cp312", "cp313", "cp314", "cp314t", "cp315", "cp315t")
PLATFORMS = (
    "manylinux2014_x86_64.manylinux_2_17_x86_64.manylinux_2_28_x86_64",
    "manylinux_2_28_aarch64",
    "musllinux_1_2_x86_64",
    "musllinux_1_2_aarch64",
)
SDIST = "trunkline-1.2.3.tar.gz"


def named(python: str, platform: str, version: str = "1.2.3") -> str:
    """A wheel's file name."""
    return f"trunkline-{version}-{python.removesuffix('t')}-{python}-{platform}.whl"


def write_wheel(path: Path, member: str = "trunkline/_frames.so", content: bytes = b"\x7fELF") -> None:
    """Write a wheel that holds one file."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr(member, content)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of what `scripts/release` looks at, ready for the release of 1.2.3."""
    (tmp_path / "scripts").mkdir()
    for name in ("release", "news.py", "wheelfaults.py"):
        shutil.copy(ROOT / "scripts" / name, tmp_path / "scripts")
    (tmp_path / "docs").mkdir()
    shutil.copy(ROOT / "docs" / "installing.md", tmp_path / "docs")
    (tmp_path / "pyproject.toml").write_text('[project]\nversion = "1.2.3"\n')
    (tmp_path / "CHANGELOG.md").write_text("# Changelog\n\n## 1.2.3 (2026-01-31)\n\n- New.\n\n## 1.2.2 (2025-01-31)\n")
    (tmp_path / "dist").mkdir()
    (tmp_path / "dist" / SDIST).touch()
    for python in PYTHONS:
        for platform in PLATFORMS:
            write_wheel(tmp_path / "dist" / named(python, platform))
    return tmp_path


def released(project: Path, verb: str) -> tuple[int, str, str]:
    """The status of `release VERB v1.2.3`, what it says, and what it says went wrong."""
    command = [sys.executable, project / "scripts" / "release", verb, "v1.2.3"]
    told = subprocess.run(command, capture_output=True, text=True, check=False)
    return told.returncode, told.stdout.strip(), told.stderr.strip()


@pytest.mark.parametrize(
    ("file", "old", "new", "fault"),
    [
        ("CHANGELOG.md", "", "", ""),
        ("pyproject.toml", "1.2.3", "1.2.4", "the tag is v1.2.3, but pyproject.toml has version 1.2.4"),
        ("CHANGELOG.md", "## 1.2.3", "## 1.2.5", "CHANGELOG.md has no section for 1.2.3"),
        ("CHANGELOG.md", "(2026-01-31)", "(not yet released)", "CHANGELOG.md has '(not yet released)' after 1.2.3"),
        ("CHANGELOG.md", "- New.\n", "", "CHANGELOG.md has nothing under 1.2.3"),
    ],
)
def test_a_tag_is_released_if_version_and_changelog_agree(
    project: Path, file: str, old: str, new: str, fault: str
) -> None:
    path = project / file
    path.write_text(path.read_text().replace(old, new))
    status, _, error = released(project, "check")
    assert error.startswith(fault)
    assert status == bool(fault)


def test_a_tag_is_not_released_while_news_waits_for_the_changelog(project: Path) -> None:
    (project / "changes").mkdir()
    (project / "changes" / "ping.new.md").write_text("Pings.\n")
    told = "changes/ping.new.md is not in CHANGELOG.md yet: make changelog VERSION=1.2.3"
    assert released(project, "check") == (1, "", told)


def test_all_files_that_the_page_promises_are_a_release(project: Path) -> None:
    count = len(PYTHONS) * len(PLATFORMS)
    assert released(project, "files") == (0, f"v1.2.3 has its source distribution and {count} wheels", "")


WINDOWS = named("cp313", "win_amd64")
FIRST = named("cp311", PLATFORMS[1])
OLDER = named("cp311", PLATFORMS[1], "1.2.2")


@pytest.mark.parametrize(
    ("gone", "added", "fault"),
    [
        (SDIST, None, f"there is no {SDIST}"),
        (FIRST, None, "there is no wheel cp311-manylinux_aarch64"),
        (None, WINDOWS, "the wheel cp313-win_amd64 must not be released"),
        (None, named("cp314t", "macosx_11_0_arm64"), "the wheel cp314t-macosx_arm64 must not be released"),
        (None, named("cp311", "manylinux_2_34_aarch64"), "there are 2 wheels cp311-manylinux_aarch64"),
        (
            None,
            named("cp311", PLATFORMS[1], "1.2.2"),
            f"{named('cp311', PLATFORMS[1], '1.2.2')} is not a wheel of v1.2.3",
        ),
        (None, "trunkline-1.2.2.tar.gz", "trunkline-1.2.2.tar.gz does not belong in a release"),
    ],
)
def test_a_file_that_is_missing_or_does_not_belong_is_named(
    project: Path, gone: str | None, added: str | None, fault: str
) -> None:
    if gone:
        (project / "dist" / gone).unlink()
    if added:
        write_wheel(project / "dist" / added)
    assert released(project, "files") == (1, "", fault)


@pytest.mark.parametrize(
    ("member", "content", "fault"),
    [
        ("trunkline/_frames.c", b"", "trunkline/_frames.c is a source"),
        ("trunkline/_frames.so", b"\x7fELF .debug_info", "trunkline/_frames.so is not stripped"),
        ("trunkline/_frames.so", bytes(1_300_001), r"has 1,300,\d+ bytes, limit 1,300,000"),
    ],
)
def test_a_wheel_that_is_not_as_it_must_be_is_named(project: Path, member: str, content: bytes, fault: str) -> None:
    write_wheel(project / "dist" / FIRST, member, content)
    status, _, error = released(project, "files")
    assert status == 1
    assert re.fullmatch(rf"{re.escape(FIRST)}:? {fault}", error)
