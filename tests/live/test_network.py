"""The network between roles and broker cuts, delays and loses answers: whatever got through, every cell is exact."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults import proxy as wire
from tests.faults.proxy import Proxied
from tests.live.floor import Floor
from tests.live.system import Role, System


def now_ms() -> int:
    return int(time.time() * 1000)


@pytest.fixture(scope="module")
def proxied() -> Iterator[Proxied]:
    with Proxied() as broker:
        yield broker


def until_lost(system: System, broker: Proxied, floor: Floor, *alive: Role) -> None:
    """Let records flow until every answer that was to be lost is lost."""

    def lost() -> bool:
        system.produce(floor.records(50))
        return broker.proxy.waiting == 0

    system.until(f"answers lost, so far {broker.proxy.lost}", lost, *alive)


@pytest.mark.parametrize("how", ["swallow", pytest.param("halve", marks=pytest.mark.long)])
def test_answers_lost_after_the_broker_did_what_was_asked(proxied: Proxied, tmp_path: Path, how: str) -> None:
    lose = getattr(proxied.proxy, how)
    with System(proxied, tmp_path) as system:
        floor = Floor(now_ms(), seed=51)
        worker, sink = system.worker(), system.sink()
        system.produce(floor.records(500))
        system.drained(worker, sink)
        for api in (wire.PRODUCE, wire.OFFSET_COMMIT, wire.FETCH, wire.HEARTBEAT):
            lose(api, 3)
            until_lost(system, proxied, floor, worker, sink)
        for api in (wire.JOIN_GROUP, wire.SYNC_GROUP, wire.OFFSET_FETCH):
            lose(api, 2)
        other = system.worker()
        until_lost(system, proxied, floor, worker, other, sink)

        system.drained(worker, other, sink)
        for role in (worker, other, sink):
            role.stop()
        assert system.exact().duplicates > 0


@pytest.mark.long
def test_cut_refused_and_slow_connections(proxied: Proxied, tmp_path: Path) -> None:
    proxy = proxied.proxy
    with System(proxied, tmp_path) as system:
        floor = Floor(now_ms(), seed=52)
        worker, sink = system.worker(), system.sink()
        with system.feeding(floor.records(6_000)):
            for share in (0.1, 0.2, 0.3):
                system.progressed(share, 6_000, worker, sink)
                proxy.cut()
            with proxy.ruled(delay_s=0.05, bytes_per_s=200_000):
                system.progressed(0.5, 6_000, worker, sink)
        proxy.refuse()
        system.produce(floor.records(500))
        system.until("the roles notice", lambda: worker.said.count("Connect call failed") > 5, worker, sink)
        proxy.accept()

        system.drained(worker, sink)
        worker.stop()
        sink.stop()
        system.exact()
