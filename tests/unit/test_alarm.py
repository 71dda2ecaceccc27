"""Alarm: one line when a partition refuses too much, a gauge while it does, and a stop only when told so."""

import json
import logging
from collections import Counter

import pytest
from prometheus_client import CollectorRegistry

from kpistream.core.partition import PartitionSettings
from kpistream.core.refusals import Limits
from kpistream.errors import Reason
from kpistream.log.reading import EventReader
from kpistream.metrics import WorkerMetrics
from kpistream.stream.alarm import Alarm, FloodStop
from kpistream.stream.decode import Decoder, Intake
from kpistream.stream.state import Shard
from tests.contract.strategies import sound_objects
from tests.fuzz.inputs import Record

LIMITS = Limits(percent=20, window=100, consecutive=50, stop_consecutive=300)


class Clock:
    now_s = 1_000.0

    def __call__(self) -> float:
        return self.now_s


def made(limits: Limits = LIMITS) -> tuple[Alarm, CollectorRegistry, Clock]:
    registry, clock = CollectorRegistry(), Clock()
    return Alarm(limits, WorkerMetrics(registry), clock), registry, clock


def bad(count: int, before: int = 0) -> Intake:
    return Intake(
        records=count, rejected=Counter({Reason.NOT_JSON: count}), longest_run=before + count, run=before + count
    )


def good(count: int) -> Intake:
    return Intake(records=count)


def gauge(registry: CollectorRegistry, partition: int) -> float | None:
    return registry.get_sample_value("kpistream_bad_input", {"partition": str(partition)})


def test_flood_is_told_once_and_shown_until_a_calm_window(caplog: pytest.LogCaptureFixture) -> None:
    alarm, registry, _ = made()
    with caplog.at_level(logging.WARNING):
        for number in range(5):
            alarm.take(3, 1, bad(50, 50 * number))

    [line] = caplog.messages
    assert line.startswith("bad input partition=3 share=0% in_a_row=50 reasons=not-json:50 hint=kpistream dlq list")
    assert (gauge(registry, 3), gauge(registry, 4)) == (1, None)

    for _ in range(3):
        alarm.take(3, 1, good(100))

    assert caplog.messages[1:] == ["bad input is over partition=3 share=0%"]
    assert gauge(registry, 3) == 0


def test_flood_that_lasts_is_told_again_after_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    alarm, _, clock = made(Limits(percent=20, window=100, consecutive=50))
    for second in range(130):
        clock.now_s = 1_000.0 + second
        alarm.take(0, 1, bad(10, 10 * second))

    assert len(caplog.messages) == 3


def test_partitions_have_alarms_of_their_own() -> None:
    alarm, registry, _ = made()
    alarm.take(0, 1, bad(60))
    alarm.take(1, 1, good(60))

    assert (gauge(registry, 0), gauge(registry, 1)) == (1, None)
    assert (alarm.run(0, 1), alarm.run(1, 1), alarm.run(0, 2)) == (60, 0, 0)
    alarm.keep({1})
    assert gauge(registry, 0) is None


def test_stop_names_the_limit_and_only_when_it_is_set() -> None:
    alarm, _, _ = made()
    alarm.take(0, 1, bad(299))
    with pytest.raises(FloodStop, match=r"300 records in a row were refused, the limit is 300 \(KPISTREAM_BAD_STOP\)"):
        alarm.take(0, 1, bad(1, 299))

    goes_on, _, _ = made(Limits())
    goes_on.take(0, 1, bad(1_000_000))


def test_rows_are_counted_across_batches_and_end_with_an_accepted_event() -> None:
    shard = Shard(0, PartitionSettings("w"))
    shard.assigned(1)
    shard.partition.recovered(0)
    decoder = Decoder(EventReader(300_000, 1), 300_000, "kpi.events")
    value = json.dumps(sound_objects()[0]).encode()

    first = decoder.take(shard, [Record(b"{", offset=0), Record(value, offset=1), Record(b"{", offset=2)])
    second = decoder.take(shard, [Record(b"{", offset=3), Record(None, offset=4), Record(value, offset=5)], first.run)

    assert (first.longest_run, first.run) == (1, 1)
    assert (second.longest_run, second.run) == (3, 0)
