"""What an import costs: a program loads what it uses, and the manager is most of trunkline."""

import ast
import subprocess
import sys
from pathlib import Path

import trunkline
from trunkline import _guard

ROOT = Path(__file__).parents[2]
TREE = ast.parse(Path(trunkline.__file__).read_text())


def loaded_after(program: str) -> set[str]:
    """The modules that a new interpreter has loaded after a program, and had not before."""
    before, after = "import sys; old = set(sys.modules)", "new = set(sys.modules) - old; print(*new, sep=chr(10))"
    told = subprocess.check_output([sys.executable, "-c", f"{before}\n{program}\n{after}"], text=True)
    return set(told.split())


def ours(modules: set[str]) -> set[str]:
    return {name for name in modules if name.split(".")[0] == "trunkline"}


def test_the_package_alone_loads_next_to_nothing() -> None:
    loaded = loaded_after("import trunkline")
    assert ours(loaded) == {"trunkline", "trunkline._guard", "trunkline._kernels"}
    assert loaded & {"asyncio", "ssl", "logging", "msgspec", "h11", "wsproto", "dataclasses", "inspect"} == set()


def test_a_client_and_a_server_load_no_manager_and_no_messages() -> None:
    for name in ("connect", "serve", "WebSocket", "broadcast"):
        loaded = loaded_after(f"import trunkline; trunkline.{name}")
        assert {module for module in loaded if module.startswith(("trunkline.manager", "trunkline.observe"))} == set()
        assert loaded & {"msgspec", "http.client", "urllib.request", "uvloop", "rich"} == set()
        assert "trunkline.net" in loaded


def test_the_exceptions_load_no_client() -> None:
    assert "trunkline.net" not in loaded_after("import trunkline; trunkline.ConnectionClosed")


def test_names_come_from_where_type_checkers_think_they_come_from() -> None:
    (guarded,) = [node for node in TREE.body if isinstance(node, ast.If) and "not" not in ast.unparse(node.test)]
    seen = {
        alias.name: node.module for node in guarded.body if isinstance(node, ast.ImportFrom) for alias in node.names
    }
    assert seen == trunkline._HOME
    assert sorted(seen) == trunkline.__all__


def test_all_names_can_be_imported_at_once_and_are_listed() -> None:
    program = "from trunkline import *; import trunkline; assert set(trunkline.__all__) <= set(globals())"
    assert "trunkline.manager.manager" in loaded_after(program)
    assert set(trunkline.__all__) | {"manager", "net", "protocol"} <= set(dir(trunkline))


def test_no_live_connection_loads_the_drop_in_for_wsproto() -> None:
    program = "from trunkline import *; import trunkline.net.serve, trunkline.net.connect, trunkline.cli.commands"
    assert [name for name in loaded_after(program) if name.startswith("trunkline.protocol.wsproto")] == []


def test_parts_are_there_without_an_import_of_their_own() -> None:
    loaded_after("import trunkline; trunkline.protocol.WSConnection; trunkline.net; trunkline.manager.Service")


def test_a_name_that_is_not_there_is_named() -> None:
    program = "import trunkline\ntry: trunkline.conect\nexcept AttributeError as error: assert 'conect' in str(error)"
    loaded_after(program)


def test_every_compiled_module_is_guarded() -> None:
    assert {path.stem for path in ROOT.glob("native/trunkline/*.pyx")} == set(_guard.CORE)
