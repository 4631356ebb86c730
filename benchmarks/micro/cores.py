"""The core of a commit, built once into build/microbench."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Final

__all__ = ["ROOT", "core_of", "file_of", "head_core", "name_of"]

ROOT: Final = Path(__file__).parents[2]
BUILT: Final = ROOT / "build" / "microbench"
COMPILED: Final = ["native", "src", "setup.py"]


def git(*arguments: str) -> str:
    """Return git's output. Exit if git fails, as for an unknown commit."""
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"git {' '.join(arguments)}: {done.stderr.strip()}; the base is a commit of this repository: BASE=...")
    return done.stdout.strip()


def name_of(base: str) -> str:
    """Return the short hash of a commit."""
    return git("rev-parse", "--short=12", "--verify", f"{base}^{{commit}}")


def file_of(base: str, path: Path) -> str:
    """Return the text of a file in a commit; "" if the commit does not have it."""
    name = path.relative_to(ROOT).as_posix()
    return git("show", f"{base}:{name}") if git("ls-tree", "--name-only", base, "--", name) else ""


def head_core() -> Path:
    """Return the folder to import the current trunkline from."""
    return ROOT / "src"


def core_of(base: str) -> Path:
    """Return the folder to import a commit's trunkline from. It is the head's if the core has not changed since."""
    commit = name_of(base)
    changed = git("diff", "--name-only", commit, "--", *COMPILED)
    new = git("ls-files", "--others", "--exclude-standard", "--", *COMPILED)
    if not changed and not new:
        return head_core()
    folder = BUILT / commit / f"{sys.implementation.cache_tag}"
    if not (folder / "done").exists():
        print(f"==> compiling the core of {commit} (a minute)", flush=True)
        build(commit, folder)
    return folder / "site"


def build(commit: str, folder: Path) -> None:
    """Build a commit in the same way as the head."""
    sources = folder / "sources"
    sources.mkdir(parents=True, exist_ok=True)
    archive = subprocess.run(["git", "archive", commit], cwd=ROOT, capture_output=True, check=True)
    subprocess.run(["tar", "x", "-C", str(sources)], input=archive.stdout, check=True)
    command = [sys.executable, "-m", "pip", "-qq", "install", "--no-deps", "--upgrade"]
    command += ["--target", str(folder / "site"), str(sources)]
    subprocess.run(command, env=os.environ | {"TRUNKLINE_CFLAGS": "-g"}, check=True)
    (folder / "done").touch()
