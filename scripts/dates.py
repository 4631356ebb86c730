"""The date given to everything built from a commit, so that builds are reproducible."""

import os
import subprocess
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]


def the_date() -> str:
    """Return the commit's date in seconds, or that of the archive that was unpacked."""
    if "SOURCE_DATE_EPOCH" in os.environ:
        return os.environ["SOURCE_DATE_EPOCH"]
    if (ROOT / ".git").exists():
        return subprocess.check_output(["git", "log", "-1", "--format=%ct"], cwd=ROOT, text=True).strip()  # noqa: S607
    return str(int((ROOT / "pyproject.toml").stat().st_mtime))
