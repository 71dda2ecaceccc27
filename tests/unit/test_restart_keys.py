"""Restart loop: what fifty writers that die young leave in the changelog, and that it goes at eviction."""

import pytest

from kpistream.core.changelog import start_of_key
from kpistream.core.measures import TALK_MS
from kpistream.core.partition import Partition, PartitionSettings
from kpistream.core.placing import Place
from tests.unit.test_partition import PANE, event

HORIZON_MS = 12 * PANE
RESTARTS = 50
AGENTS = 40
BACKLOG = [
    event(f"acme/pbx/call/{number}", place=Place(f"acme/agent:{number}", 0), talk_ms=1000) for number in range(AGENTS)
]


class Changelog:
    """A compacted topic: the last record of each key, at its offset."""

    def __init__(self):
        self.records, self.end = {}, 0

    def append(self, key, value):
        self.records[key] = (self.end, value)
        self.end += 1
        return self.end - 1

    def standing(self):
        """Keys of panes that compaction keeps."""
        return [key for key, (_, value) in self.records.items() if value is not None and start_of_key(key) is not None]


def started(changelog, number):
    worker = Partition(3, PartitionSettings(f"w{number}", PANE, horizon_ms=HORIZON_MS))
    for key, (offset, value) in sorted(changelog.records.items(), key=lambda record: record[1][0]):
        worker.recover(offset, key, value)
    worker.recovered(changelog.end)
    return worker


def read(worker, events, next_offset, newest_ms):
    for offset, each in enumerate(events):
        worker.accept(each, offset)
    worker.advance(next_offset, newest_ms)


def published(worker, changelog):
    flush = worker.snapshot(changelog.end)
    for key, value in flush.changelog:
        worker.published(key, changelog.append(key, value), value is None)
    return flush


@pytest.mark.parametrize(("publishes", "left"), [(0, 0), (1, RESTARTS * AGENTS)])
def test_writers_that_die_young_leave_a_key_for_each_pane_they_published_until_eviction(publishes, left):
    """One key a writer and pane of the uncommitted backlog: that is the bound within the horizon."""
    changelog = Changelog()
    for number in range(RESTARTS):
        worker = started(changelog, number)
        read(worker, BACKLOG, AGENTS, newest_ms=PANE)
        for _ in range(publishes):
            published(worker, changelog)
        assert sum(pane.tally[TALK_MS] for pane in worker.live_panes()) == AGENTS * 1000
        assert worker.frontier_ms == -1
    assert len(changelog.standing()) == left

    healthy = started(changelog, RESTARTS)
    read(healthy, BACKLOG, AGENTS, newest_ms=PANE)
    for newest_ms in (PANE, HORIZON_MS + PANE, HORIZON_MS + PANE, HORIZON_MS + PANE):
        healthy.advance(healthy.at.next_offset + 1, newest_ms)
        flush = published(healthy, changelog)
        healthy.acknowledged(flush)
        healthy.committed(flush.upto)

    assert healthy.frontier_ms == PANE
    assert changelog.standing() == []
