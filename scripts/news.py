"""Collect the news fragments in changes/ into CHANGELOG.md.

    news.py check                  fail unless every fragment is well formed
    news.py collect VERSION [DAY]  move the fragments into the changelog as VERSION, released on DAY (default: today)

A fragment is a file changes/SUBJECT.KIND.md with one paragraph. changes/README.md says how to write one.
"""

import re
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
FOLDER: Final = ROOT / "changes"
CHANGELOG: Final = ROOT / "CHANGELOG.md"
KINDS: Final = {"breaking": "Breaking", "new": "New", "fixed": "Fixed"}  # in the changelog's order
NAME: Final = re.compile(rf"[\w-]+\.({'|'.join(KINDS)})\.md")


def pending() -> list[Path]:
    """Return the fragments that no version has taken yet."""
    return sorted(path for path in FOLDER.glob("*") if path.name != "README.md")


def fault(path: Path) -> str:
    """Say what is wrong with a fragment; nothing if it is well formed."""
    if not NAME.fullmatch(path.name):
        return f"name it SUBJECT.KIND.md, KIND one of {', '.join(KINDS)}"
    text = path.read_text().strip()
    if not text:
        return "it is empty"
    if "\n\n" in text:
        return "write one paragraph, without empty lines"
    if re.search(r"^\s*([-*#]|\d+\.) ?", text, re.MULTILINE):
        return "write sentences, no list and no heading"
    return "" if text.endswith(".") else "end with a full stop"


def check() -> None:
    """Exit with the faults of all fragments, if there are any."""
    faults = [f"changes/{path.name}: {fault(path)}" for path in pending() if fault(path)]
    if faults:
        sys.exit("\n".join(faults))


def sections(fragments: list[Path]) -> str:
    """Return the fragments as lists under the headings of their kinds."""
    parts = []
    for kind, heading in KINDS.items():
        texts = [path.read_text().strip() for path in fragments if path.name.endswith(f".{kind}.md")]
        items = ["- " + text.replace("\n", "\n  ") for text in texts]
        parts += [f"### {heading}\n\n" + "\n".join(items) + "\n"] if items else []
    return "\n".join(parts)


def collect(version: str, day: str) -> None:
    """Move the fragments into the changelog, under a heading with the version and the day."""
    check()
    text, fragments = CHANGELOG.read_text(), pending()
    head, *rest = re.split(r"^(?=## )", text, flags=re.MULTILINE)
    title, body = f"## {version} ({day})\n", ""
    if rest and rest[0].startswith(f"## {version} "):
        written, _, body = rest.pop(0).partition("\n")
        if not written.endswith("(not yet released)"):
            sys.exit(f"CHANGELOG.md already has {written.removeprefix('## ')}")
    if not body and not fragments:
        sys.exit("there are no fragments in changes/")
    new = "\n\n".join(part.strip("\n") for part in (title, body, sections(fragments)) if part)
    CHANGELOG.write_text(head + new + "\n" + ("\n" + "".join(rest) if rest else ""))
    for path in fragments:
        path.unlink()


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["check"]:
            check()
        case ["collect", version]:
            collect(version, datetime.now(UTC).date().isoformat())
        case ["collect", version, day]:
            collect(version, day)
        case _:
            sys.exit(__doc__)
