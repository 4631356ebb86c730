"""The wheel: what it holds, that it works where there is no checkout, and what happens without its compiled core."""

import hashlib
import shutil
import subprocess
import sys
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CORE = {path.stem for path in ROOT.glob("native/trunkline/*.pyx")}
NOT_SOURCES = shutil.ignore_patterns(".*", "build", "dist", "reports", "*.so", "*.egg-info", "__pycache__")


def run(*command: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel, built from a copy of the sources in which nothing has been built before."""
    folder = tmp_path_factory.mktemp("wheel")
    shutil.copytree(ROOT, folder / "sources", ignore=NOT_SOURCES)
    built = run(sys.executable, "-m", "pip", "wheel", "--no-deps", "-w", folder, folder / "sources", cwd=folder)
    assert built.returncode == 0, built.stdout + built.stderr
    (made,) = folder.glob("*.whl")
    return made


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


def test_without_its_core_the_import_says_how_to_build_it(wheel: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path, [name for name in archive.namelist() if not name.endswith(".so")])
    told = run(sys.executable, "-c", "import sys; sys.path.insert(0, ''); import trunkline", cwd=tmp_path)
    assert told.returncode == 1
    error = told.stderr.splitlines()[-1]
    assert error.startswith("ImportError: trunkline's compiled core is missing")
    assert "pip install" in error
    assert "C compiler" in error
