"""What all tests share: Hypothesis profiles, the ClickHouse engine, the data sets, and the rule on skips.

A test that cannot run here skips, and the run ends with a loud list of what did not run and the one
command that helps. Under CI=true a test that skips for want of a broker or an engine fails instead.
"""

import itertools
import os
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Final

import pytest
from clickhouse_connect import get_client
from clickhouse_connect.driver.client import Client
from hypothesis import HealthCheck, settings

from tests.front.process import Front
from tests.live import broker
from tests.live.alertmanager import AlertManager
from tests.meta.files import alertmanager, promtool

CI: Final = os.environ.get("CI", "").lower() in ("1", "true", "yes")
SHARED_DATA: Final = os.environ.get("KPISTREAM_SHARED_DATA", "")
LIVE: Final = Path(__file__).parent / "live"
REMEDIES: Final = {
    "live": "a real Apache Kafka: make live-tools",
    "engine": "the embedded ClickHouse engine: pip install -c constraints.txt -e '.[embedded,dev]'",
    "alertmanager": "prometheus-alertmanager: make live-tools",
    "promtool": "promtool, of Prometheus: make live-tools",
    "data": "the data sets: KPISTREAM_SHARED_DATA=/path/to/data make test",
}
"""What a test with this marker needs, and the one command or setting that gives it."""

_NUMBERS = itertools.count(1)

# No deadline: a slow machine is no defect. `pytest --hypothesis-profile=long` is for an evening.
_ALWAYS: Final = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
settings.register_profile("short", max_examples=50, deadline=None, suppress_health_check=_ALWAYS)
settings.register_profile(
    "ci", max_examples=100, deadline=None, suppress_health_check=_ALWAYS, derandomize=True, print_blob=True
)
settings.register_profile("long", max_examples=5_000, deadline=None, suppress_health_check=_ALWAYS)
settings.load_profile("ci" if CI else "short")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark by place and by fixture, so that nobody forgets to."""
    for item in items:
        fixtures = set(getattr(item, "fixturenames", ()))
        if LIVE in item.path.parents:
            item.add_marker("live")
        if fixtures & {"engine_client", "http_clickhouse"}:
            item.add_marker("engine")
        if "alert_manager" in fixtures:
            item.add_marker("alertmanager")
        if "shared_data" in fixtures:
            item.add_marker("data")


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what cannot run here."""
    if item.get_closest_marker("live") and broker.missing():
        pytest.skip(broker.missing())
    if item.get_closest_marker("promtool") and promtool() is None:
        pytest.skip("no promtool")
    if item.get_closest_marker("alertmanager") and alertmanager() is None:
        pytest.skip("no prometheus-alertmanager")
    if item.get_closest_marker("data") and not SHARED_DATA:
        pytest.skip("KPISTREAM_SHARED_DATA is not set")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Under CI=true a skipped live, engine, promtool or alertmanager test is a failure."""
    report = yield
    needed = any(item.get_closest_marker(marker) for marker in ("live", "engine", "promtool", "alertmanager"))
    if CI and report.skipped and needed and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped under CI=true: {report.longrepr}"
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The loud list of what did not run."""
    skipped: list[pytest.TestReport] = terminalreporter.stats.get("skipped", [])
    for marker, remedy in REMEDIES.items():
        names = sorted({report.nodeid for report in skipped if marker in report.keywords})
        if names:
            terminalreporter.section(
                f"{len(names)} TESTS DID NOT RUN, they need {remedy}", sep="!", red=True, bold=True
            )
            for name in names:
                terminalreporter.line(f"  {name}", red=True)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of the shared data sets."""
    return Path(SHARED_DATA)


@pytest.fixture(scope="session")
def engine_client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """A client of the real ClickHouse engine in this process. It serves one path: ask for `.path`."""
    pytest.importorskip("chdb", reason="chdb is not installed")
    client = get_client(interface="chdb", path=str(tmp_path_factory.mktemp("engine")))
    yield client
    client.close()


@pytest.fixture
def database(engine_client: Client) -> Iterator[str]:
    """A fresh database, current for `engine_client` in this test, dropped after it; its name."""
    name, before = f"test_{next(_NUMBERS)}", engine_client.database
    engine_client.command(f"CREATE DATABASE {name}")
    engine_client.database = name
    yield name
    engine_client.database = before
    engine_client.command(f"DROP DATABASE {name} SYNC")


@pytest.fixture
def alert_manager(tmp_path: Path) -> Iterator[AlertManager]:
    """A running Prometheus Alertmanager, with a webhook receiver."""
    with AlertManager(tmp_path / "alertmanager") as running:
        yield running


@pytest.fixture(scope="session")
def _front_of_session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    pytest.importorskip("chdb", reason="chdb is not installed")
    with Front(tmp_path_factory.mktemp("front")) as front:
        yield front


@pytest.fixture
def http_clickhouse(_front_of_session: Front) -> Iterator[Front]:
    """A ClickHouse over HTTP: `host, port = http_clickhouse`, or `.url("database")`. Faults end with the test."""
    _front_of_session.start()
    yield _front_of_session
    _front_of_session.start()
    _front_of_session.clear_faults()
