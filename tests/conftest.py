"""What every folder of tests shares: both event loops, a throw-away certificate authority, sockets of one's own.

A test that needs the network listens on port 0 and asks the server which port it got; nothing here hands out numbers.
"""

import asyncio
import os
import signal
import socket
import ssl
import tempfile
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme

import portable
import trunkline
from loops import FACTORIES, hastily

pytest_plugins = ["leaks"]

LOOPS = [pytest.param(("asyncio", {"use_uvloop": name == "uvloop"}), id=name) for name in FACTORIES]


def pytest_configure(config: pytest.Config) -> None:
    """Stop if the suite is to test what is installed in an environment, and would test another copy of trunkline."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # A shell starts background jobs so, and the programs that tests interrupt would inherit it.
        signal.signal(signal.SIGINT, signal.default_int_handler)
    wanted = os.environ.get("TRUNKLINE_INSTALLED")
    if wanted and not Path(trunkline.__file__).is_relative_to(wanted):
        raise pytest.UsageError(
            f"the suite would test {trunkline.__file__}, which is not in TRUNKLINE_INSTALLED={wanted}"
        )


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out what is not portable, if that is what is asked for: it could not even be imported everywhere."""
    if config.option.markexpr == "portable" and not portable.has(collection_path):
        return True
    return None


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if portable.has(item.path) and portable.fits(item):
            item.add_marker("portable")


@pytest.fixture(scope="module", params=LOOPS)
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, bool]]:
    """The loop that a test marked `anyio` runs on: each such test runs once on asyncio's and once on uvloop's."""
    return request.param


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    """A certificate authority that nobody trusts but `client_tls`."""
    return trustme.CA()


@pytest.fixture(scope="session")
def server_tls(authority: trustme.CA) -> ssl.SSLContext:
    """What a server shows: a certificate for localhost, 127.0.0.1 and ::1."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost", "127.0.0.1", "::1").configure_cert(context)
    return context


@pytest.fixture(scope="session")
def wrong_name_tls(authority: trustme.CA) -> ssl.SSLContext:
    """A certificate that is good, but for somebody else: elsewhere.example."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("elsewhere.example").configure_cert(context)
    return context


@pytest.fixture(scope="session")
def client_tls(authority: trustme.CA) -> ssl.SSLContext:
    """A client's context that trusts the test authority, and checks host names as the default one does."""
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


@pytest.fixture
def unix_path() -> Iterator[str]:
    """A path for a unix socket, not there yet. Short, as the kernel takes 107 bytes and tmp_path may have more."""
    with tempfile.TemporaryDirectory(prefix="trunkline-") as folder:
        yield str(Path(folder) / "socket")


@pytest.fixture
def refusing_port() -> Iterator[int]:
    """A TCP port that refuses connections while the test runs: bound, so nobody else gets it, but not listening."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        yield holder.getsockname()[1]


def _refuse_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    """In CI a skip is a failure: a program that is missing there is a hole in the suite, not a circumstance."""
    if report.skipped and not hasattr(report, "wasxfail") and os.environ.get("CI"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"nothing may skip in CI, but {report.nodeid} did: {reason}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    _refuse_skip(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    _refuse_skip(report)
    return report


@pytest.fixture
def hasty() -> Iterator[None]:
    """Threads that take turns as often as the interpreter lets them."""
    with hastily():
        yield


@pytest.fixture(params=FACTORIES)
def factory(request: pytest.FixtureRequest) -> Callable[[], asyncio.AbstractEventLoop]:
    """What makes a loop: asyncio's, and uvloop's."""
    return FACTORIES[request.param]


@pytest.fixture(params=[False, True], ids=["at once", "late"])
def late(request: pytest.FixtureRequest) -> bool:
    """When a cancellation comes: while the task waits, or after it was woken and before it runs."""
    return bool(request.param)


@pytest.fixture
async def quiet_loop() -> AsyncIterator[None]:
    """Nothing may reach the exception handler of the loop."""
    reached: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reached.append(context))
    yield
    assert reached == []
