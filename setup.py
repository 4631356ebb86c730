"""Builds the compiled core: Cython modules under native/trunkline on top of the C kernels under native/c."""

import os
import re
import sys
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup

KERNELS = ["mask", "utf8", "header"]
FLAGS = (
    ["/O2"] if sys.platform == "win32" else ["-O3", "-fvisibility=hidden", "-Wall", "-Wextra", "-Wno-unused-parameter"]
)
FLAGS += os.environ.get("TRUNKLINE_CFLAGS", "").split()  # behind ours, so that they win: sanitizers


def extension(name: str, kernels: list[str]) -> Extension:
    """One compiled module and the kernels that are linked into it."""
    return Extension(
        f"trunkline.{name}",
        [f"native/trunkline/{name}.pyx", *(f"native/c/{kernel}.c" for kernel in kernels)],
        include_dirs=["native/c"],
        depends=[f"native/c/{kernel}.h" for kernel in [*KERNELS, "histogram", "thread"]],
        extra_compile_args=FLAGS,
    )


def tolerate(source: Path) -> None:
    """Has Cython's handlers bear an exception without a traceback: where memory was too short to make one, they would
    drop a null pointer.
    """
    text = source.read_text()
    functions = text.split("\n}\n")
    for index, function in enumerate(functions):
        for caught in re.findall(r"__Pyx_GetException\((&__pyx_t_.*?)\)", function):
            for name in re.findall(r"__pyx_t_\d+", caught):
                functions[index] = functions[index].replace(f"__Pyx_DECREF({name})", f"__Pyx_XDECREF({name})")
    mended = "\n}\n".join(functions)
    if mended != text:
        source.write_text(mended)


modules = cythonize(
    [
        extension("_mask", ["mask"]),
        extension("_inflate", ["utf8"]),
        extension("_deflate", []),
        extension("_shelf", []),
        extension("_control", ["utf8"]),
        extension("_frames", ["utf8", "header"]),
        extension("_batch", ["header"]),
        extension("_inbox", []),
        extension("_backlog", []),
        extension("_writer", []),
        extension("_outlet", []),
        extension("_fanout", []),
        extension("_link", []),
        extension("_metrics", ["histogram"]),
        extension("_frame_writer", ["header"]),
        extension("_frame_protocol", ["header", "utf8"]),
        extension("_connection", []),
    ],
    include_path=["native"],
    build_dir="build/cython",
    compiler_directives={
        "language_level": 3,
        "boundscheck": False,
        "wraparound": False,
        "initializedcheck": False,
        "nonecheck": True,  # a link that is used before it is set up raises, and does not read from None
        "cdivision": True,
        "embedsignature": True,
        "auto_pickle": False,
        "autotestdict": False,
    },
)
for module in modules:
    tolerate(Path(next(source for source in module.sources if "/cython/" in Path(source).as_posix())))
setup(ext_modules=modules)
