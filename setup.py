"""Builds the compiled core: Cython modules under native/trunkline on top of the C kernels under native/c."""

import os
import sys
from glob import glob

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.errors import CompileError, LinkError

MODULES = {
    "_kernels": ["header", "mask", "utf8"],
    "_inflate": [],
    "_deflate": [],
    "_body_cache": [],
    "_control": [],
    "_frames": [],
    "_batch": [],
    "_inbox": [],
    "_backlog": [],
    "_poller": ["ready"],
    "_writer": [],
    "_outlet": [],
    "_fanout": [],
    "_link": [],
    "_stream": ["sock"],
    "_metrics": ["histogram"],
    "_frame_writer": [],
    "_frame_protocol": [],
    "_connection": [],
}  # and the kernels that are linked into each: each into one alone, for a kernel may have a state

# Developers' flags go behind ours, so that they win: sanitizers, -g. With them the symbols stay; a wheel has none.
DEVELOPERS = os.environ.get("TRUNKLINE_CFLAGS", "").split()
if sys.platform == "win32":
    FLAGS, LINK = ["/O2"], []
else:
    FLAGS = ["-O3", "-g0", "-fvisibility=hidden", "-Wall", "-Wextra", "-Wno-unused-parameter"]
    LINK = ["-Wl,-x"] if sys.platform == "darwin" else ["-Wl,-s"]

DIRECTIVES = {
    "language_level": 3,
    "boundscheck": False,
    "wraparound": False,
    "initializedcheck": False,
    "nonecheck": True,  # a link that is used before it is set up raises, and does not read from None
    "cdivision": True,
    "embedsignature": True,
    "auto_pickle": False,
    "autotestdict": False,
    "freethreading_compatible": True,  # docs/free-threading.md: what each module shares
}

NO_CYTHON = """\
trunkline's core is written in Cython, and this environment has no Cython 3.2 ({error}).
Either let pip build in an environment of its own (without --no-build-isolation), or first:
  pip install 'setuptools>=77' 'Cython>=3.2,<4'"""
NO_COMPILER = """\
trunkline's core could not be compiled: {error}
It takes a C compiler and Python's headers:
  Debian, Ubuntu   apt-get install gcc libc6-dev python3-dev
  Fedora           dnf install gcc python3-devel
  Alpine           apk add gcc musl-dev python3-dev
  macOS            xcode-select --install
  Windows          Visual Studio Build Tools with "Desktop development with C++"
A wheel needs neither: pip install --only-binary trunkline trunkline"""


def extension(name: str, kernels: list[str]) -> Extension:
    """One compiled module and the kernels that are linked into it."""
    return Extension(
        f"trunkline.{name}",
        [f"native/trunkline/{name}.pyx", *(f"native/c/{kernel}.c" for kernel in kernels)],
        include_dirs=["native/c"],
        depends=sorted(glob("native/c/*.h")),
        extra_compile_args=FLAGS + DEVELOPERS,
        extra_link_args=[] if DEVELOPERS else LINK,
    )


def translated(extensions: list[Extension]) -> list[Extension]:
    """Translate the Cython sources of extensions into C, under build/cython."""
    try:
        from Cython.Build import cythonize
    except ImportError as error:
        raise SystemExit(NO_CYTHON.format(error=error)) from None
    return cythonize(extensions, include_path=["native"], build_dir="build/cython", compiler_directives=DIRECTIVES)


class BuildCore(build_ext):
    """Translates when it compiles, and not before: a source distribution needs no Cython."""

    def run(self) -> None:
        sources = {module.name: module.sources for module in translated(self.extensions)}
        for module in self.extensions:
            module.sources = sources[module.name]
        self.parallel = self.parallel or os.cpu_count()
        super().run()

    def build_extensions(self) -> None:
        # Some Pythons' command has the folder of their libpython in it, which an extension does not link to.
        linker = getattr(self.compiler, "linker_so", None)
        if linker:
            self.compiler.linker_so = [word for word in linker if not word.startswith("-Wl,-rpath")]
        try:
            super().build_extensions()
        except (CompileError, LinkError) as error:
            raise SystemExit(NO_COMPILER.format(error=error)) from error


setup(ext_modules=[extension(name, kernels) for name, kernels in MODULES.items()], cmdclass={"build_ext": BuildCore})
