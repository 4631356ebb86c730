"""Imports point down: a module imports only from floors below its own, or from its own without a cycle.

The floors, from the ground: C kernels (native/c), the compiled core, protocol, net, manager, and the surfaces that
people touch. The package itself, `trunkline`, gathers what stands on the floors up to manager, so only a surface may
import it.
"""

import ast
import re
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]
FLOORS = ["core", "protocol", "net", "manager", "trunkline", "surface"]
SURFACES = {"__main__", "asgi", "cli", "observe", "testing"}

# Cython: `from PACKAGE import NAMES`, with or without parentheses, or `import MODULE`; cimport alike.
CYTHON = re.compile(
    r"^[ \t]*(?:from\s+(?P<package>trunkline[\w.]*)\s+c?import\s+(?P<names>\([^)]*\)|[^\n]+)"
    r"|c?import\s+(?P<module>trunkline[\w.]*))",
    re.MULTILINE,
)
INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"]+)', re.MULTILINE)
EXTERN = re.compile(r'^[ \t]*cdef extern from "([^"]+)"', re.MULTILINE)


class Import(NamedTuple):
    """One import of trunkline by trunkline."""

    importer: str
    imported: str
    where: str


def floor(module: str) -> int:
    """The floor a module stands on, from the ground."""
    if module == "trunkline":
        return FLOORS.index("trunkline")
    part = module.split(".")[1]
    if part in SURFACES:
        return FLOORS.index("surface")
    return FLOORS.index("core" if part.startswith("_") else part)


def module_name(path: Path, root: Path) -> str:
    """The dotted name of a source file: of a .py or a stub under src, or of a .pyx or .pxd under native."""
    parts = path.relative_to(root / ("native" if path.suffix in (".pyx", ".pxd") else "src")).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def python_imports(path: Path, root: Path, modules: set[str]) -> Iterator[Import]:
    """What a Python module or a stub imports, wherever in it that stands, be it for type checkers alone."""
    importer = module_name(path, root)
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: imports are absolute here"
            names = [submodule_or_package(node.module or "", alias.name, modules) for alias in node.names]
        else:
            continue
        where = f"{path.relative_to(root)}:{node.lineno}"
        yield from (Import(importer, name, where) for name in names if is_ours(name))


def cython_imports(path: Path, root: Path, modules: set[str]) -> Iterator[Import]:
    """What a Cython source imports and cimports."""
    importer = module_name(path, root)
    text = path.read_text()
    for found in CYTHON.finditer(text):
        where = f"{path.relative_to(root)}:{text.count(chr(10), 0, found.start()) + 1}"
        if found["module"]:
            yield Import(importer, found["module"], where)
        else:
            for name in re.findall(r"\w+", found["names"]):
                yield Import(importer, submodule_or_package(found["package"], name, modules), where)


def submodule_or_package(package: str, name: str, modules: set[str]) -> str:
    """What `from package import name` imports: a module of that name if there is one, otherwise from the package."""
    return f"{package}.{name}" if f"{package}.{name}" in modules else package


def is_ours(module: str) -> bool:
    return module == "trunkline" or module.startswith("trunkline.")


def read_imports(root: Path) -> list[Import]:
    """Every import of trunkline by trunkline under a project's root."""
    python = sorted([*root.glob("src/trunkline/**/*.py"), *root.glob("src/trunkline/**/*.pyi")])
    cython = sorted([*root.glob("native/trunkline/*.pyx"), *root.glob("native/trunkline/*.pxd")])
    modules = {module_name(path, root) for path in [*python, *cython]}
    found = [one for path in python for one in python_imports(path, root, modules)]
    found += [one for path in cython for one in cython_imports(path, root, modules)]
    return [one for one in found if one.importer != one.imported]


def upward(imports: list[Import]) -> list[str]:
    """The imports that point up, each with its place."""
    return [
        f"{one.where}: {one.importer} imports {one.imported}"
        for one in imports
        if floor(one.imported) > floor(one.importer)
    ]


def cycle(imports: list[Import]) -> list[str]:
    """Modules that import one another in a circle, be it for types alone; empty if there are none."""
    graph: dict[str, set[str]] = {}
    for one in imports:
        graph.setdefault(one.importer, set()).add(one.imported)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return error.args[1]
    return []


def test_imports_point_down() -> None:
    imports = read_imports(ROOT)
    assert len(imports) > 50, "the sources were not found"
    assert upward(imports) == []


def test_no_modules_import_one_another_in_a_circle() -> None:
    assert cycle(read_imports(ROOT)) == []


def test_no_benchmarks_import_one_another_in_a_circle() -> None:
    paths = sorted(ROOT.glob("benchmarks/**/*.py"))
    names = {path: ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__") for path in paths}
    imports = [
        Import(names[path], found, str(path))
        for path in paths
        for node in ast.walk(ast.parse(path.read_text()))
        for found in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [submodule_or_package(node.module or "", alias.name, set(names.values())) for alias in node.names]
            if isinstance(node, ast.ImportFrom)
            else []
        )
        if found in names.values() and found != names[path]
    ]
    assert len(imports) > 50, "the benchmarks were not found"
    assert cycle(imports) == []


def test_kernels_know_bytes_and_not_python() -> None:
    kernels = sorted([*ROOT.glob("native/c/*.c"), *ROOT.glob("native/c/*.h")])
    included = {found for path in kernels for found in INCLUDE.findall(path.read_text())}
    assert ("<", "stdint.h") in included
    assert ("<", "Python.h") not in included
    assert {name for mark, name in included if mark == '"'} <= {path.name for path in kernels}


def test_the_core_takes_its_c_from_the_kernels() -> None:
    sources = [*ROOT.glob("native/trunkline/*.pyx"), *ROOT.glob("native/trunkline/*.pxd")]
    headers = {path.name for path in ROOT.glob("native/c/*.h")}
    taken = {name for path in sources for name in EXTERN.findall(path.read_text())}
    assert taken - {"Python.h"} == headers


@pytest.mark.parametrize(
    ("path", "text", "fault"),
    [
        ("src/trunkline/net/a.py", "import trunkline.manager", "imports trunkline.manager"),
        ("src/trunkline/protocol/a.py", "def f():\n    from trunkline.net import x", "imports trunkline.net"),
        ("src/trunkline/manager/a.py", "from trunkline import connect", "imports trunkline"),
        ("native/trunkline/_a.pyx", "from trunkline.protocol.errors import E", "imports trunkline.protocol.errors"),
        ("native/trunkline/_a.pxd", "cimport trunkline.net", "imports trunkline.net"),
    ],
)
def test_an_import_that_points_up_is_found(tmp_path: Path, path: str, text: str, fault: str) -> None:
    (tmp_path / path).parent.mkdir(parents=True)
    (tmp_path / path).write_text(text)
    assert [line.partition(" ")[2].partition(" ")[2] for line in upward(read_imports(tmp_path))] == [fault]


@pytest.mark.parametrize("before", ["", "if TYPE_CHECKING:\n    "])
def test_a_circle_is_found(tmp_path: Path, before: str) -> None:
    folder = tmp_path / "src/trunkline/net"
    folder.mkdir(parents=True)
    for one, other in [("a", "b"), ("b", "c"), ("c", "a")]:
        (folder / f"{one}.py").write_text(f"{before}from trunkline.net import {other}")
    assert set(cycle(read_imports(tmp_path))) == {"trunkline.net.a", "trunkline.net.b", "trunkline.net.c"}
