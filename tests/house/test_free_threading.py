"""What lets the core run without the GIL: it is declared, and what other threads read is written in one way."""

import re
import subprocess
import sys
from pathlib import Path

from loops import is_free_threaded

ROOT = Path(__file__).parents[2]
NATIVE = ROOT / "native" / "trunkline"
PAGE = ROOT / "docs" / "free-threading.md"
SHARED = re.compile(r"^\s+cdef (?:readonly )?tl_(?:counter|flag|word) (\w+)", re.MULTILINE)


def test_the_page_says_what_each_compiled_module_and_each_kernel_shares() -> None:
    said = re.findall(r"^\| `([\w.]+)` \|", PAGE.read_text(), re.MULTILINE)
    modules = {path.stem for path in NATIVE.glob("*.pyx")}
    kernels = {path.name for path in (ROOT / "native" / "c").glob("*.c")} | {"thread.h", "atomic.h"}
    assert sorted(said) == sorted(modules | kernels)


def test_words_that_other_threads_read_are_written_by_the_verbs_for_it() -> None:
    """A plain assignment works as well, and costs a locked instruction in every message."""
    words = {word for path in NATIVE.glob("*.pxd") for word in SHARED.findall(path.read_text())}
    assert {"_messages_sent", "bytes_received", "_corked", "_thread", "count"} <= words
    written = re.compile(rf"\b(?:self|outlet|decoder|other)\.(?:\w+\.)?({'|'.join(words)}) [-+]?= ")
    # The standalone encoders are one thread's, and count in plain words.
    sources = [path for path in NATIVE.glob("*.pyx") if path.stem not in ("_batch", "_frame_writer")]
    found = [(path.name, line) for path in sources for line in path.read_text().splitlines() if written.search(line)]
    assert found == []


# Elsewhere there is no GIL to stay off, and in CI no test may skip.
if is_free_threaded():

    def test_the_gil_stays_off() -> None:
        program = """if True:
            import importlib, pkgutil, sys, trunkline
            for module in pkgutil.walk_packages(trunkline.__path__, "trunkline."):
                if not module.name.endswith("__main__"):
                    try:
                        importlib.import_module(module.name)
                    except ImportError:  # an extra that is not installed
                        pass
            assert not sys._is_gil_enabled()
        """
        command = [sys.executable, "-W", "error", "-c", program]
        told = subprocess.run(command, capture_output=True, text=True, check=False)
        assert (told.stderr, told.returncode) == ("", 0)
