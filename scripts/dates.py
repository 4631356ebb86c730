"""The one date that everything made of a commit has, so that whoever makes it again makes the same."""

import os
import subprocess
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]


def the_date() -> str:
    """The date of all files in the archives: that of the commit, or of the archive that this was unpacked from."""
    if "SOURCE_DATE_EPOCH" in os.environ:
        return os.environ["SOURCE_DATE_EPOCH"]
    if (ROOT / ".git").exists():
        return subprocess.check_output(["git", "log", "-1", "--format=%ct"], cwd=ROOT, text=True).strip()  # noqa: S607
    return str(int((ROOT / "pyproject.toml").stat().st_mtime))
