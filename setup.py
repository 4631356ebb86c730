"""Builds the compiled core: Cython modules under native/trunkline on top of the C kernels under native/c."""

import sys

from Cython.Build import cythonize
from setuptools import Extension, setup

KERNELS = ["mask", "utf8", "header"]
FLAGS = (
    ["/O2"] if sys.platform == "win32" else ["-O3", "-fvisibility=hidden", "-Wall", "-Wextra", "-Wno-unused-parameter"]
)


def extension(name: str, kernels: list[str]) -> Extension:
    """One compiled module and the kernels that are linked into it."""
    return Extension(
        f"trunkline.{name}",
        [f"native/trunkline/{name}.pyx", *(f"native/c/{kernel}.c" for kernel in kernels)],
        include_dirs=["native/c"],
        depends=[f"native/c/{kernel}.h" for kernel in [*KERNELS, "histogram"]],
        extra_compile_args=FLAGS,
    )


setup(
    ext_modules=cythonize(
        [
            extension("_inflate", ["mask", "utf8"]),
            extension("_deflate", []),
            extension("_shelf", []),
            extension("_frames", KERNELS),
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
    ),
)
