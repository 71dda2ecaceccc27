"""The log is not what it was: roles say so and stop, with nothing acknowledged; they never go on in silence."""

import time
from pathlib import Path

from kpistream.judge.compare import Verdict, cells_of_rows, compare
from kpistream.judge.recompute import recompute
from tests.faults.administration import Administrator
from tests.live.broker import Broker
from tests.live.floor import Floor
from tests.live.system import PANE_MS, Role, System, raw


def now_ms() -> int:
    return int(time.time() * 1000)


def worked_off(system: System, floor: Floor, count: int = 2_000) -> None:
    """A worker and a sink have committed everything, and have left."""
    worker, sink = system.worker(), system.sink()
    system.produce(floor.records(count))
    system.drained(worker, sink)
    worker.stop()
    sink.stop()


def refused(role: Role) -> str:
    """What a role said that ended by itself as the operator must act."""
    assert role.wait() == 2, role.end_of_log()
    return role.said


def accepted(system: System) -> str:
    """What `topics accept` says, once the groups know that the members that failed are gone."""
    said: list[str] = []

    def done() -> bool:
        try:
            said.append(system.run("topics", "accept").stdout)
        except AssertionError as error:
            if "stop every role first" not in str(error):
                raise
        return bool(said)

    system.until("topics accepted", done)
    return said[0]


def test_lost_offsets_are_begun_anew_and_lost_records_are_refused(kafka: Broker, tmp_path: Path) -> None:
    with System(kafka, tmp_path) as system:
        floor = Floor(now_ms(), seed=21)
        worked_off(system, floor)
        administrator = Administrator(system)
        administrator.forget_groups(system.worker_group, system.sink_group)
        assert sum(system.committed(system.worker_group, "events").values()) == 0
        worked_off(system, floor, 500)
        assert system.exact().duplicates > 0

        before = {group: system.committed(group, "events") for group in (system.worker_group, system.sink_group)}
        system.produce(floor.records(400))
        oldest = system.ends("events")[3] - 3
        administrator.delete_before("events", 3, oldest)

        for role, group in ((system.worker(), system.worker_group), (system.sink(), system.sink_group)):
            said, offset = refused(role), before[group][3]
            fact = f"{system.topic('events')}[3]: offset {offset} is gone, oldest is {oldest}: "
            assert f"error: {fact}{oldest - offset} records lost to retention\nhint: " in said
            assert system.committed(group, "events") == before[group]


def test_events_made_again_stop_the_roles_and_are_refused_at_start(kafka: Broker, tmp_path: Path) -> None:
    """Offsets of a deleted topic go with it: without the ids on record the next start would look like a first one."""
    with System(kafka, tmp_path) as system:
        worker, sink = system.worker(), system.sink()
        system.produce(Floor(now_ms(), seed=25).records(2_000))
        system.drained(worker, sink)

        Administrator(system).make_again("events")
        system.produce(Floor(now_ms(), seed=26).records(300))

        seen = ("was deleted and made again: id ", "the topic was made again, or its", "' is missing: it was there")
        for role in (worker, sink):
            said = refused(role)
            assert any(fact in said for fact in seen), said
        fact = f"error: topic '{system.topic('events')}' was deleted and made again: id "
        for name in ("worker", "sink"):
            assert fact in system.run(name, code=2).stderr
        assert fact in system.run("topics", "verify", code=1).stderr


def test_lost_changelog_stops_the_worker_and_is_made_again_from_the_events(kafka: Broker, tmp_path: Path) -> None:
    with System(kafka, tmp_path) as system:
        floor = Floor(now_ms(), seed=27)
        worker = system.worker()
        system.produce(floor.records(1_000))
        system.worked(worker)

        administrator = Administrator(system)
        administrator.make_again("panes")
        system.produce(floor.records(300))

        assert f"error: topic '{system.topic('panes')}' was deleted and made again: id " in refused(worker)
        assert "was deleted and made again" in system.run("worker", code=2).stderr
        said = system.run("topics", "accept", code=2).stderr
        assert f"error: group '{system.worker_group}' has read {system.topic('events')}[" in said
        administrator.forget_groups(system.worker_group)
        assert f"accepted {system.topic('panes')} " in accepted(system)

        worked_off(system, floor, 300)
        assert system.exact().duplicates > 0


def test_partitions_added_stop_the_roles_and_a_new_log_replaces_nothing_by_less(kafka: Broker, tmp_path: Path) -> None:
    """All topics are made again then: late events and corrections of what the old log brought come in the new one."""
    with System(kafka, tmp_path) as system:
        floor, administrator = Floor(now_ms(), seed=28), Administrator(system)
        worker, sink = system.worker(), system.sink()
        system.produce(floor.records(1_000))
        system.drained(worker, sink)
        before = [raw(message) for message in system.read("events")]
        events, panes = system.topic("events"), system.topic("panes")

        administrator.add_partition("events")

        for role in (worker, sink):
            assert f"error: topic '{events}': 5 partitions, 4 when the roles began" in refused(role)
        said = system.run("worker", code=2).stderr
        assert f"topics must have the same number of partitions: {events} 5, {panes} 4" in said
        for name in ("panes", "readings", "team-panes", "alerts", "results"):
            administrator.add_partition(name)
        for name in ("worker", "sink"):
            assert "error: partitions of the events topic: 5 here, 4 on record" in system.run(name, code=2).stderr

        administrator.make_again(*administrator.topics())
        assert "closed every pane before " in accepted(system)
        worked_off(system, floor, 1_000)
        both = recompute([*before, *map(raw, system.read("events"))], PANE_MS)
        verdict = compare(both.cells(), cells_of_rows(system.rows()), both.behind)
        assert str(verdict) == str(Verdict(verdict.cells)), verdict.first
