"""The native sources: one definition for each constant, one home for each kernel, and lists that name every module."""

import ast
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from trunkline import _guard

ROOT = Path(__file__).parents[2]
NATIVE = ROOT / "native"
CYTHON = sorted([*NATIVE.glob("trunkline/*.pyx"), *NATIVE.glob("trunkline/*.pxd")])
C = sorted(NATIVE.glob("c/*.[ch]"))

LITERAL = re.compile(r"""^(?:cdef \w+ |)([A-Z][A-Z0-9_]+)\s*=\s*(?:b?["']|[0-9])""")
C_KINDS = {"int", "bint", "unsigned", "double", "size_t", "Py_ssize_t", "uint64_t", "int64_t", "void", "PySendResult"}
C_ENUM = re.compile(r"\benum \{([^}]*)\}")


def block(lines: list[str], start: int) -> Iterator[str]:
    """The lines that are indented below a line."""
    indent = len(lines[start]) - len(lines[start].lstrip())
    for line in lines[start + 1 :]:
        if line.strip() and len(line) - len(line.lstrip()) <= indent:
            return
        yield line


def cython_constants(text: str) -> list[str]:
    """The constants that a Cython source defines: enumerators, and names of literals at the level of the module."""
    lines = text.splitlines()
    found = [match[1] for line in lines if (match := LITERAL.match(line))]
    for at, line in enumerate(lines):
        if re.match(r"cdef enum\b.*:", line):
            body = [inner.partition("#")[0].strip() for inner in block(lines, at)]
            found += [name for inner in body for name in re.findall(r"^([A-Z]\w*)", inner)]
    return found


def extern_constants(text: str) -> list[str]:
    """The constants that a Cython source takes from a header."""
    return re.findall(r"^\s+enum: (TL_\w+)", text, re.MULTILINE)


def c_constants(text: str) -> list[str]:
    """The enumerators that a C source defines."""
    plain = re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)
    return [
        name
        for body in C_ENUM.findall(plain)
        for name in re.findall(r"\b([A-Z]\w*)\s*(?:=[^,]*)?(?:,|$)", body.strip())
    ]


def python_constants(path: Path) -> list[str]:
    """The names that a Python module gives a number or bytes at its level, one by one or in a tuple."""
    found: list[str] = []
    for node in ast.parse(path.read_text()).body:
        if not isinstance(node, (ast.Assign, ast.AnnAssign)) or node.value is None:
            continue
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        values = node.value.elts if isinstance(node.value, ast.Tuple) else [node.value]
        if all(isinstance(value, ast.Constant) and isinstance(value.value, (int, bytes)) for value in values):
            names = [
                name for target in targets for name in (target.elts if isinstance(target, ast.Tuple) else [target])
            ]
            found += [name.id for name in names if isinstance(name, ast.Name)]
    return found


def linked() -> dict[str, list[str]]:
    """The modules of setup.py, and the kernels that are linked into each."""
    for node in ast.parse((ROOT / "setup.py").read_text()).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "MODULES":
            return ast.literal_eval(node.value)
    raise AssertionError("setup.py has no MODULES")


def repeated(names: list[str]) -> list[str]:
    return sorted(name for name, times in Counter(names).items() if times > 1)


def test_each_native_constant_has_one_definition() -> None:
    names = [name for path in CYTHON for name in cython_constants(path.read_text())]
    names += [name for path in C for name in c_constants(path.read_text())]
    assert {"TL_FIN", "TL_PONG", "TL_HUGE_LENGTH", "TL_BUCKETS", "MAX_FRAMES", "FINAL"} <= set(names)
    assert repeated(names) == []


def test_each_constant_of_a_header_is_declared_to_cython_once() -> None:
    declared = [name for path in CYTHON for name in extern_constants(path.read_text())]
    defined = [name for path in C if path.suffix == ".h" for name in c_constants(path.read_text())]
    assert repeated(declared) == []
    assert set(declared) <= set(defined)


def test_no_module_gives_a_number_of_the_wire_another_name() -> None:
    wire = {name.removeprefix("TL_") for name in c_constants((NATIVE / "c" / "header.h").read_text())}
    assert {"FIN", "RSV1", "MASKED", "TEXT", "CLOSE", "TOO_BIG"} <= wire
    again = wire | {f"OPCODE_{name}" for name in wire}
    found = [f"{path.name}: {name}" for path in CYTHON for name in cython_constants(path.read_text()) if name in again]
    for path in sorted((ROOT / "src").rglob("*.py")):
        found += [f"{path.relative_to(ROOT)}: {name}" for name in python_constants(path) if name in again]
    assert found == []


def test_each_kernel_is_linked_once() -> None:
    kernels = [kernel for linked_here in linked().values() for kernel in linked_here]
    assert sorted(kernels) == sorted(path.stem for path in NATIVE.glob("c/*.c"))


def test_setup_and_the_import_guard_name_every_compiled_module() -> None:
    modules = sorted(path.stem for path in NATIVE.glob("trunkline/*.pyx"))
    assert sorted(linked()) == modules
    assert list(_guard.CORE) == modules


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("cdef enum:\n    FIN = 0x80\n    A_B\n\n    C = 2 * A_B  # D = 5\nx = 1", ["FIN", "A_B", "C"]),
        ("cdef enum:  # words\n    FIN", ["FIN"]),
        ('cdef bytes TAIL = b"x"\nEND = 5\nOTHER = call()', ["TAIL", "END"]),
        ('cdef extern from "a.h":\n    enum: TL_FIN', []),
    ],
)
def test_constants_of_cython_are_found(text: str, names: list[str]) -> None:
    assert sorted(cython_constants(text)) == sorted(names)


def test_constants_of_c_are_found() -> None:
    assert c_constants("enum { A = 1 << 2, /* B = 3, */ C_D }; enum {\n  E = A,\n  F = 2 };") == ["A", "C_D", "E", "F"]


def returning_handlers(text: str) -> list[str]:
    """The `except` clauses that leave their function, or a loop, from within: their lines, and how."""
    lines = text.splitlines()
    return [
        f"{at + 1}: {inner.strip()}"
        for at, line in enumerate(lines)
        if re.match(r"\s+except\b.*:", line)
        for inner in block(lines, at)
        if re.match(r"\s+(?:return|break|continue)\b", inner)
    ]


def test_no_handler_returns() -> None:
    """An exception has no traceback if there was no memory for one. Where a handler returns, Cython's C releases it all
    the same, a null pointer; where it falls through or raises, it looks first (cython/cython#5495; true of 3.2, 3.3).
    """
    assert [f"{path.name}:{found}" for path in CYTHON for found in returning_handlers(path.read_text())] == []


def test_a_handler_that_returns_is_found() -> None:
    text = "def f():\n    try:\n        return 1\n    except E:\n        if x:\n            return None\n    return 2\n"
    assert returning_handlers(text) == ["4: return None"]


def signatures(text: str) -> Iterator[tuple[str, str, str]]:
    """The C functions of a Cython source: what each returns, its name, and what stands behind its parameters."""
    for match in re.finditer(r"^ *(?:cdef|cpdef) (?!class|extern|enum)([\w* ]*?)(\w+)\(", text, re.MULTILINE):
        at, depth = match.end(), 1
        while depth:
            depth += {"(": 1, ")": -1}.get(text[at], 0)
            at += 1
        yield match[1].strip(), match[2], re.split(r"[:#\n]", text[at:], maxsplit=1)[0]


def silent_functions(text: str) -> list[str]:
    """The functions that return a number or a pointer, and do not say how they fail."""
    return [
        name
        for kind, name, behind in signatures(text)
        if (kind.endswith("*") or kind.split()[-1] in C_KINDS) and not re.search(r"\b(?:no)?except\b", behind)
    ]


def long_functions(text: str) -> list[str]:
    """The functions of a Cython source that have more than 40 lines beside their docstring."""
    lines = text.splitlines()
    found = []
    for at, line in enumerate(lines):
        if re.match(r" *(?:cdef|cpdef|def) (?!class)[^=]*\(", line):
            body = re.sub(r'^(\s*)""".*?"""', "", "\n".join(block(lines, at)), count=1, flags=re.DOTALL)
            size = 1 + len(body.strip("\n").rstrip().splitlines())
            if size > 40:
                found.append(f"{size} lines: {line.strip()}")
    return found


def test_each_c_function_says_how_it_fails() -> None:
    assert [f"{path.name}: {name}" for path in CYTHON for name in silent_functions(path.read_text())] == []


def test_each_module_opens_with_its_theory_of_operation() -> None:
    opening = re.compile(r'""".+?\n\nTheory of operation\. .+?"""\n', re.DOTALL)
    assert [path.name for path in CYTHON if path.suffix == ".pyx" and not opening.match(path.read_text())] == []


def test_native_sources_are_short() -> None:
    lines = {path: path.read_text().count("\n") for path in [*CYTHON, *C]}
    assert [f"{path.name}: {n}" for path, n in lines.items() if n > (149 if path in C else 500)] == []
    assert [f"{path.name}: {found}" for path in CYTHON for found in long_functions(path.read_text())] == []


def test_python_sources_are_short() -> None:
    lines = {path: path.read_text().count("\n") for path in (ROOT / "src").rglob("*.py")}
    assert len(lines) > 100
    assert [f"{path.name}: {n}" for path, n in lines.items() if n > 400] == []


def test_functions_that_do_not_say_how_they_fail_and_long_ones_are_found() -> None:
    text = (
        "cdef int a(\n    self) except -1:\n    f()\n\ncdef const char *b(int x)  # except\ncdef C c(int x):\n"
        + "    g()\n" * 40
    )
    assert silent_functions(text) == ["b"]
    assert long_functions(text) == ["41 lines: cdef C c(int x):"]
