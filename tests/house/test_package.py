"""The source distribution and the wheel: what they hold, that they work where there is no checkout, and what one is
told where something is missing: a compiler, Cython, the compiled core.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CORE = {path.stem for path in ROOT.glob("native/trunkline/*.pyx")}
LARGEST_WHEEL = 1_300_000  # bytes
# What only the repository itself uses; and what building the archive adds to it.
NOT_SOURCES = [".*", "build", "dist", "reports", "*.so", "*.egg-info", "__pycache__"]
ADDED = {"PKG-INFO", "setup.cfg"}


def run(*command: str | Path, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=cwd, env=os.environ | environment, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the sources in which nothing has been built, with something beside them that is none."""
    folder = tmp_path_factory.mktemp("sources") / "sources"
    shutil.copytree(ROOT, folder, ignore=shutil.ignore_patterns(*NOT_SOURCES))
    shutil.copytree(ROOT / ".ci", folder / ".ci")
    for made in ("src/trunkline/_old.cpython-310-x86_64-linux-gnu.so", "tests/__pycache__/old.pyc", "dist/old.whl"):
        (folder / made).parent.mkdir(exist_ok=True)
        (folder / made).touch()
    return folder


@pytest.fixture(scope="module")
def sdist(sources: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source distribution."""
    folder = tmp_path_factory.mktemp("sdist")
    built = run(sys.executable, "-m", "build", "--sdist", "--outdir", folder, sources, cwd=folder)
    assert built.returncode == 0, built.stdout + built.stderr
    (made,) = folder.glob("*.tar.gz")
    return made


@pytest.fixture(scope="module")
def unpacked(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that the source distribution unpacks into."""
    folder = tmp_path_factory.mktemp("unpacked")
    with tarfile.open(sdist) as archive:
        archive.extractall(folder, filter="data")
    (top,) = folder.iterdir()
    return top


@pytest.fixture(scope="module")
def wheel(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel, built from the source distribution, away from the checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    built = run(sys.executable, "-m", "pip", "wheel", "--no-deps", "-w", folder, sdist, cwd=folder)
    assert built.returncode == 0, built.stdout + built.stderr
    (made,) = folder.glob("*.whl")
    return made


def test_the_source_distribution_holds_all_sources_and_nothing_else(sources: Path, unpacked: Path) -> None:
    ours = {path.relative_to(sources).as_posix() for path in sources.rglob("*") if path.is_file()}
    ours = {name for name in ours if not name.endswith((".so", ".pyc", ".whl")) and ".egg-info/" not in name}
    held = {path.relative_to(unpacked).as_posix() for path in unpacked.rglob("*") if path.is_file()}
    assert {"native/trunkline/_frames.pyx", "native/trunkline/_frames.pxd", "native/c/mask.c", "tests/leaks.py"} <= held
    assert {name for name in held if ".egg-info/" not in name} - ADDED == ours - ADDED


def test_programs_in_the_source_distribution_can_still_be_run(unpacked: Path) -> None:
    files = [path for path in (unpacked / "scripts").rglob("*") if path.is_file()]
    programs = [path for path in files if path.read_bytes().startswith(b"#!")]
    assert len(programs) > 10
    assert [path.name for path in programs if not path.stat().st_mode & 0o100] == []


def test_the_wheel_is_small_and_has_neither_symbols_nor_paths_of_where_it_was_built(wheel: Path, sdist: Path) -> None:
    assert wheel.stat().st_size <= LARGEST_WHEEL
    with zipfile.ZipFile(wheel) as archive:
        core = {name: archive.read(name) for name in archive.namelist() if name.endswith(".so")}
    assert core
    places = [str(sdist.parents[1]), str(ROOT), sys.base_prefix + "/lib", "/tmp/pip-"]
    assert [(name, place) for name, content in core.items() for place in places if place.encode() in content] == []
    assert [name for name, content in core.items() if b".debug_info" in content or b".symtab" in content] == []


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of a new environment that has the wheel and what the wheel asks for, and nothing else."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=True)
    installed = run(folder / "bin" / "python", "-m", "pip", "install", wheel, cwd=folder)
    assert installed.returncode == 0, installed.stdout + installed.stderr
    return folder / "bin" / "python"


def test_the_wheel_holds_the_core_the_python_and_the_types(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    sources = {path.relative_to(ROOT / "src").as_posix() for path in (ROOT / "src").rglob("*.py*") if path.is_file()}
    wanted = {name for name in sources if name.endswith((".py", ".pyi", "py.typed"))} | {"trunkline/py.typed"}
    assert wanted - names == set()
    assert {Path(name).name.partition(".")[0] for name in names if name.endswith(".so")} == CORE


def test_the_wheel_holds_the_page_of_the_dashboard_and_the_licence_of_what_it_draws_with(wheel: Path) -> None:
    static = ROOT / "src/trunkline/observe/dashboard/static"
    files = {path.relative_to(ROOT / "src").as_posix() for path in static.rglob("*") if path.is_file()}
    assert "trunkline/observe/dashboard/static/vendor/uPlot.LICENSE" in files
    assert files - set(zipfile.ZipFile(wheel).namelist()) == set()


def test_the_vendored_files_are_those_that_were_vendored() -> None:
    vendor = ROOT / "src/trunkline/observe/dashboard/static/vendor"
    wanted = dict(reversed(line.split()) for line in (vendor / "SHA256SUMS").read_text().splitlines())
    assert wanted == {name: hashlib.sha256((vendor / name).read_bytes()).hexdigest() for name in wanted}
    assert {"uPlot.iife.min.js", "uPlot.min.css", "uPlot.LICENSE"} == set(wanted)


def test_the_wheel_holds_no_sources_of_the_core_and_no_tests(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert [name for name in names if name.endswith((".pyx", ".pxd", ".c", ".h"))] == []
    assert {name.split("/")[0].partition("-")[0] for name in names} == {"trunkline"}


def test_the_wheel_is_of_this_version_and_carries_the_licence(wheel: Path) -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    archive = zipfile.ZipFile(wheel)
    (licence,) = [name for name in archive.namelist() if name.endswith("/LICENSE")]
    assert wheel.name.startswith(f"trunkline-{version}-")
    assert archive.read(licence) == (ROOT / "LICENSE").read_bytes()


def test_an_installed_wheel_works_away_from_the_checkout(python: Path, tmp_path: Path) -> None:
    program = "import trunkline; print(trunkline.__file__, trunkline.__version__)"
    told = run(python, "-c", program, cwd=tmp_path)
    assert told.returncode == 0, told.stderr
    path, version = told.stdout.split()
    assert Path(path).is_relative_to(python.parents[1])
    assert version == tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert run(python, "-m", "trunkline", "--help", cwd=tmp_path).returncode == 0


def test_without_a_compiler_the_build_says_what_to_install(unpacked: Path, tmp_path: Path) -> None:
    for compiler in ("/nonexistent/cc", "false"):
        command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "-w", tmp_path, unpacked]
        told = run(*command, cwd=tmp_path, CC=compiler, LDSHARED=f"{compiler} -shared")
        assert told.returncode == 1
        error = told.stdout + told.stderr
        assert "trunkline's core could not be compiled" in error
        assert "apt-get install gcc libc6-dev python3-dev" in error
        assert "xcode-select --install" in error


def test_without_cython_the_build_says_what_to_install(unpacked: Path, tmp_path: Path) -> None:
    (tmp_path / "Cython").mkdir()
    (tmp_path / "Cython/__init__.py").write_text("raise ImportError('No module named Cython')\n")
    command = [sys.executable, "-c", "import setuptools; print(setuptools.__version__)"]
    if int(run(*command, cwd=tmp_path).stdout.partition(".")[0] or 0) < 77:
        installed = run(sys.executable, "-m", "pip", "install", "-t", tmp_path, "setuptools>=77", cwd=tmp_path)
        assert installed.returncode == 0, installed.stderr
    told = run(sys.executable, "setup.py", "build_ext", cwd=unpacked, PYTHONPATH=str(tmp_path))
    assert told.returncode == 1
    assert "this environment has no Cython 3.2 (No module named Cython)" in told.stderr
    assert "pip install 'setuptools>=77' 'Cython>=3.2,<4'" in told.stderr


def test_a_python_that_is_too_old_is_refused_by_the_wheel(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (metadata,) = [name for name in archive.namelist() if name.endswith("/METADATA")]
        assert b"\nRequires-Python: >=3.11\n" in archive.read(metadata)


def test_modules_of_another_python_are_named(wheel: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
    suffix = sysconfig.get_config_var("EXT_SUFFIX")
    for module in (tmp_path / "trunkline").glob(f"*{suffix}"):
        module.rename(module.with_name(module.name.replace(suffix, ".cpython-310-riscv64-linux-gnu.so")))
    told = run(sys.executable, "-c", "import sys; sys.path.insert(0, ''); import trunkline", cwd=tmp_path)
    assert told.returncode == 1
    error = told.stderr.splitlines()[-1]
    assert "cpython-310-riscv64-linux-gnu.so" in error
    assert f"this Python takes {suffix}" in error
    assert f"{sys.executable} -m pip install --force-reinstall" in error


def test_without_its_core_the_import_says_how_to_build_it(wheel: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path, [name for name in archive.namelist() if not name.endswith(".so")])
    told = run(sys.executable, "-c", "import sys; sys.path.insert(0, ''); import trunkline", cwd=tmp_path)
    assert told.returncode == 1
    error = told.stderr.splitlines()[-1]
    assert error.startswith("ImportError: trunkline's compiled core is missing")
    assert "pip install" in error
    assert "C compiler" in error
