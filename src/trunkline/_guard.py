"""What to do when the compiled core does not load. There is no pure-Python fallback."""

from importlib.util import find_spec

CORE = (
    "_backlog",
    "_batch",
    "_body_cache",
    "_connection",
    "_control",
    "_deflate",
    "_fanout",
    "_frame_protocol",
    "_frame_writer",
    "_frames",
    "_inbox",
    "_inflate",
    "_kernels",
    "_link",
    "_metrics",
    "_outlet",
    "_poller",
    "_stream",
    "_writer",
)


def check() -> None:
    """Raise ImportError if a compiled module is missing, or if the smallest of them does not load."""
    missing = [name for name in CORE if find_spec(f"trunkline.{name}") is None]
    if missing:
        raise explain(f"no {', '.join(missing)}")
    try:
        import trunkline._kernels  # noqa: F401 - it needs nothing but Python and the C library, as all of them do
    except ImportError as error:
        raise explain(str(error)) from error


def explain(fault: str) -> ImportError:
    """Say what is wrong with the compiled modules, which this Python takes, and how to get them."""
    import platform
    import sys
    import sysconfig
    from pathlib import Path

    wanted = sysconfig.get_config_var("EXT_SUFFIX")
    here = {
        "." + path.name.partition(".")[2] for path in Path(__file__).parent.glob("_*") if path.suffix in {".so", ".pyd"}
    }
    if here and wanted not in here:
        seen = (
            f"it was built for another Python: its modules end in {', '.join(sorted(here))}; this Python takes {wanted}"
        )
    else:
        seen = fault
    return ImportError(
        f"trunkline's compiled core is missing or does not load ({seen}). Install it with this very interpreter, "
        f"{platform.python_implementation()} {platform.python_version()} on {platform.machine()}: {sys.executable} "
        "-m pip install --force-reinstall trunkline; or build it, with a C compiler, in a checkout: pip install -e ."
    )
