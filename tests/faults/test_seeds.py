"""A fixed set of seeds with the faults that have found most, on a real Apache Kafka. Many more: `make faults`."""

from collections.abc import Iterator

import pytest

from tests.faults.runner import Runner, planned
from tests.front.process import Front

pytestmark = [pytest.mark.live, pytest.mark.engine]


@pytest.fixture(scope="module")
def runner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runner]:
    pytest.importorskip("chdb", reason="chdb is not installed")
    directory = tmp_path_factory.mktemp("faults")
    with Front(directory / "front") as front, Runner(front, directory) as made:
        yield made


@pytest.mark.parametrize(
    ("seed", "strikes"),
    [
        (1, ("killed-after-events", "zombie-before-panes", "sink-killed-before-commit")),
        (2, ("rebalance-storm", "broker-killed", "sink-zombie-before-insert")),
    ],
)
def test_nothing_is_lost_or_double_or_wrong_after(seed: int, strikes: tuple[str, ...], runner: Runner) -> None:
    result = runner.play(planned(seed, strikes))

    assert result.faults == [], result.line()
    assert result.cells > 500
