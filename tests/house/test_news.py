"""News fragments: what is refused, and how they become a version's part of the changelog."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "scripts" / "news.py"
OLD = "# Changelog\n\nIntroduction.\n\n## 1.0.0 (2026-01-31)\n\n- Old.\n"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with a released version and no news."""
    (tmp_path / "scripts").mkdir()
    shutil.copy(SCRIPT, tmp_path / "scripts")
    (tmp_path / "changes").mkdir()
    (tmp_path / "changes" / "README.md").touch()
    (tmp_path / "CHANGELOG.md").write_text(OLD)
    return tmp_path


def news(project: Path, *arguments: str) -> tuple[int, str]:
    """Run the script; return its status and what it says went wrong."""
    command = [sys.executable, project / "scripts" / "news.py", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode, done.stderr.strip()


def test_the_fragments_of_this_project_are_well_formed() -> None:
    assert news(ROOT, "check") == (0, "")


@pytest.mark.parametrize(
    ("name", "text", "fault"),
    [
        ("ping.new.md", "`connect` pings twice.\n", ""),
        ("ping.md", "Two pings.\n", "changes/ping.md: name it SUBJECT.KIND.md, KIND one of breaking, new, fixed"),
        ("ping.newer.md", "Two.\n", "changes/ping.newer.md: name it SUBJECT.KIND.md, KIND one of breaking, new, fixed"),
        ("ping.new.txt", "Two.\n", "changes/ping.new.txt: name it SUBJECT.KIND.md, KIND one of breaking, new, fixed"),
        ("ping.new.md", "", "changes/ping.new.md: it is empty"),
        ("ping.new.md", "- Two pings.\n", "changes/ping.new.md: write sentences, no list and no heading"),
        ("ping.new.md", "Pings.\n\n## 9.9.9\n", "changes/ping.new.md: write one paragraph, without empty lines"),
        ("ping.new.md", "Two pings\n", "changes/ping.new.md: end with a full stop"),
    ],
)
def test_a_fragment_that_would_spoil_the_changelog_is_refused(project: Path, name: str, text: str, fault: str) -> None:
    (project / "changes" / name).write_text(text)
    assert news(project, "check") == (bool(fault), fault)
    assert (news(project, "collect", "1.1.0", "2026-02-28")[0] != 0) is bool(fault)


def test_fragments_become_the_newest_version_with_breaking_changes_first(project: Path) -> None:
    for name, text in {
        "b.new.md": "B is new.\n",
        "a.new.md": "A is new,\nand long.\n",
        "c.fixed.md": "C works.\n",
        "d.breaking.md": "D is gone.\n",
    }.items():
        (project / "changes" / name).write_text(text)
    assert news(project, "collect", "1.1.0", "2026-02-28") == (0, "")
    assert (project / "CHANGELOG.md").read_text() == OLD.replace(
        "## 1.0.0",
        "## 1.1.0 (2026-02-28)\n\n### Breaking\n\n- D is gone.\n\n### New\n\n- A is new,\n  and long.\n- B is new.\n\n"
        "### Fixed\n\n- C works.\n\n## 1.0.0",
    )
    assert [path.name for path in (project / "changes").iterdir()] == ["README.md"]


def test_a_version_that_was_written_by_hand_gets_its_day_and_its_fragments(project: Path) -> None:
    by_hand = OLD.replace("(2026-01-31)", "(not yet released)")
    (project / "CHANGELOG.md").write_text(by_hand)
    (project / "changes" / "a.new.md").write_text("A is new.\n")
    assert news(project, "collect", "1.0.0", "2026-02-28") == (0, "")
    wanted = "# Changelog\n\nIntroduction.\n\n## 1.0.0 (2026-02-28)\n\n- Old.\n\n### New\n\n- A is new.\n"
    assert (project / "CHANGELOG.md").read_text() == wanted


def test_a_version_that_is_released_is_left_alone(project: Path) -> None:
    (project / "changes" / "a.new.md").write_text("A is new.\n")
    assert news(project, "collect", "1.0.0", "2026-02-28") == (1, "CHANGELOG.md already has 1.0.0 (2026-01-31)")
    assert (project / "CHANGELOG.md").read_text() == OLD


def test_a_version_without_news_is_refused(project: Path) -> None:
    assert news(project, "collect", "1.1.0", "2026-02-28") == (1, "there are no fragments in changes/")
