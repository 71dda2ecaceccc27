"""The changelog on a real broker with its real cleaner: restarts do not make it grow, no closed pane comes back."""

import os
import time
from pathlib import Path
from typing import Final

from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

from kpistream.core.changelog import FrontierRecord, MarkRecord, PaneRecord, parse
from kpistream.core.placing import Place
from tests.live.broker import Broker
from tests.live.floor import HOUR_MS, Floor
from tests.live.system import System

RESTARTS: Final = int(os.environ.get("KPISTREAM_TEST_RESTARTS", "6"))
"""By hand: 50."""
EAGER: Final = {
    "segment.ms": "200",
    "min.compaction.lag.ms": "0",
    "max.compaction.lag.ms": "1000",
    "min.cleanable.dirty.ratio": "0.001",
    "delete.retention.ms": "0",
}
"""Settings of a topic with which the cleaner is always at work."""


def now_ms() -> int:
    return int(time.time() * 1000)


def compact_eagerly(system: System) -> None:
    admin = AdminClient({"bootstrap.servers": system.kafka.bootstrap})
    entries = [ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET) for name, value in EAGER.items()]
    wanted = ConfigResource(ResourceType.TOPIC, system.topic("panes"), incremental_configs=entries)
    for future in admin.incremental_alter_configs([wanted]).values():
        future.result(timeout=30)


def standing(system: System) -> list[PaneRecord | MarkRecord | FrontierRecord]:
    """What the changelog holds now."""
    return [parse(message.key(), message.value()) for message in system.read("panes") if message.value() is not None]


def live_places(system: System) -> set[Place]:
    """Places at or above the frontier of their partition, by what recovery would read."""
    frontiers: dict[int, int] = {}
    places: dict[int, set[Place]] = {}
    for message in system.read("panes"):
        record = None if message.value() is None else parse(message.key(), message.value())
        if isinstance(record, FrontierRecord):
            frontiers[message.partition()] = max(frontiers.get(message.partition(), 0), record.start_ms)
        elif isinstance(record, PaneRecord):
            places.setdefault(message.partition(), set()).add(record.place)
    return {it for number, some in places.items() for it in some if it.start_ms >= frontiers.get(number, 0)}


def test_restarts_do_not_make_the_changelog_grow(kafka: Broker, tmp_path: Path) -> None:
    """Killed and stopped in turn, each worker writes every pane again; half of the panes are closed on the way."""
    with System(kafka, tmp_path, partitions=2, horizon_hours=1, instance="one") as system:
        compact_eagerly(system)
        floor = Floor(now_ms(), agents=6, partitions=2, history_ms=2 * HOUR_MS)
        sink = system.sink()
        system.produce(floor.records(400))
        for number in range(RESTARTS):
            worker = system.worker()
            system.produce(floor.one_each())
            system.worked(worker, sink)
            worker.stop() if number % 2 else worker.kill()
        worker = system.worker()
        system.produce(floor.one_each())
        system.drained(worker, sink)

        last: list[str] = []

        def compacted() -> bool:
            """A few more events, so that tombstones that ride along go out and segments roll."""
            system.produce(
                Floor(now_ms(), seed=now_ms(), agents=40, partitions=2, history_ms=1, late_share=0).fresh(20)
            )
            live, found = live_places(system), standing(system)
            panes = [record for record in found if isinstance(record, PaneRecord)]
            marks = [record for record in found if isinstance(record, MarkRecord)]
            last[:] = [f"{len(panes)} panes, {len(marks)} marks, {len(live)} places live"]
            return len(panes) <= 2 * len(live) and not marks

        try:
            system.until("a compacted changelog of twice the live set at most", compacted, worker, sink)
        except AssertionError as error:
            raise AssertionError(f"{last}\n{error}") from error
        # A frontier of an earlier writer goes when its successor moves its own: some are always between the two.
        frontiers = [record for record in standing(system) if isinstance(record, FrontierRecord)]
        assert len(frontiers) <= 4 * system.partitions
        worker.kill()
        worker = system.worker()
        system.produce(floor.one_each())
        system.drained(worker, sink)
        assert {record.place for record in standing(system) if isinstance(record, PaneRecord)} == live_places(system)
        worker.stop()
        sink.stop()
        system.exact()
