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


def test_records_lost_to_retention_stop_worker_and_sink(kafka: Broker, tmp_path: Path) -> None:
    with System(kafka, tmp_path) as system:
        floor = Floor(now_ms(), seed=21)
        worked_off(system, floor)
        group = {"events": (system.worker_group, system.sink_group)}
        before = {each: system.committed(each, "events") for each in group["events"]}
        system.produce(floor.records(400))
        oldest = system.ends("events")[3] - 3
        Administrator(system).delete_before("events", 3, oldest)

        for role, name in ((system.worker(), system.worker_group), (system.sink(), system.sink_group)):
            said, offset = refused(role), before[name][3]
            fact = f"{system.topic('events')}[3]: offset {offset} is gone, oldest is {oldest}: "
            assert f"error: {fact}{oldest - offset} records lost to retention\nhint: " in said
            assert system.committed(name, "events") == before[name]


def test_groups_whose_offsets_were_lost_begin_at_the_oldest_record(kafka: Broker, tmp_path: Path) -> None:
    with System(kafka, tmp_path) as system:
        floor = Floor(now_ms(), seed=22)
        worked_off(system, floor)
        Administrator(system).forget_groups(system.worker_group, system.sink_group)
        assert sum(system.committed(system.worker_group, "events").values()) == 0

        worked_off(system, floor, 500)

        assert system.exact().duplicates > 0


def test_topics_made_again_are_refused_at_start(kafka: Broker, tmp_path: Path) -> None:
    """Offsets of a deleted topic go with it: without the ids on record everything would look like a first start."""
    with System(kafka, tmp_path) as system:
        worked_off(system, Floor(now_ms(), seed=23))
        Administrator(system).make_again("events")
        system.produce(Floor(now_ms(), seed=24).records(300))

        for role in ("worker", "sink"):
            said = system.run(role, code=2).stderr
            assert f"error: topic '{system.topic('events')}' was deleted and made again: id " in said
        assert system.run("topics", "verify", code=1).stderr.startswith("error: topic")
        for group in (system.worker_group, system.sink_group):
            assert sum(system.committed(group, "events").values()) == 0


def test_events_made_again_while_roles_run_stop_them(kafka: Broker, tmp_path: Path) -> None:
    with System(kafka, tmp_path) as system:
        worker, sink = system.worker(), system.sink()
        system.produce(Floor(now_ms(), seed=25).records(2_000))
        system.drained(worker, sink)

        Administrator(system).make_again("events")
        system.produce(Floor(now_ms(), seed=26).records(300))

        seen = (
            "was deleted and made again: id ",
            "the topic was made again, or its end was lost",
            "' is missing: it was",
        )
        for role in (worker, sink):
            said = refused(role)
            assert any(fact in said for fact in seen), said
        for role_name in ("worker", "sink"):
            system.run(role_name, code=2)


def test_a_lost_changelog_stops_the_worker_that_runs(kafka: Broker, tmp_path: Path) -> None:
    with System(kafka, tmp_path) as system:
        worker = system.worker()
        system.produce(Floor(now_ms(), seed=27).records(1_000))
        system.worked(worker)

        Administrator(system).make_again("panes")

        assert f"error: topic '{system.topic('panes')}' was deleted and made again: id " in refused(worker)
        assert "was deleted and made again" in system.run("worker", code=2).stderr


def test_lost_panes_are_made_again_from_the_events(kafka: Broker, tmp_path: Path) -> None:
    with System(kafka, tmp_path) as system:
        floor = Floor(now_ms(), seed=29)
        worked_off(system, floor)
        Administrator(system).make_again("panes")
        system.produce(floor.records(300))
        said = system.run("topics", "accept", code=2).stderr
        assert f"error: group '{system.worker_group}' has read {system.topic('events')}[" in said

        Administrator(system).forget_groups(system.worker_group)
        assert f"accepted {system.topic('panes')} " in system.run("topics", "accept").stdout

        worked_off(system, floor, 300)
        assert system.exact().duplicates > 0


def test_new_log_beside_an_old_store_replaces_nothing_by_less(kafka: Broker, tmp_path: Path) -> None:
    """All topics lost: late events and corrections of what the old log brought come in the new one."""
    with System(kafka, tmp_path) as system:
        floor = Floor(now_ms(), seed=30)
        worked_off(system, floor)
        before = [raw(message) for message in system.read("events")]
        administrator = Administrator(system)
        administrator.make_again(*administrator.topics())
        assert "closed every pane before " in system.run("topics", "accept").stdout

        worked_off(system, floor, 1_000)

        both = recompute([*before, *map(raw, system.read("events"))], PANE_MS)
        verdict = compare(both.cells(), cells_of_rows(system.rows()), both.behind)
        assert str(verdict) == str(Verdict(verdict.cells)), verdict.first


def test_partitions_added_stop_the_roles_and_are_refused_at_start(kafka: Broker, tmp_path: Path) -> None:
    with System(kafka, tmp_path) as system:
        worker, sink = system.worker(), system.sink()
        system.produce(Floor(now_ms(), seed=28).records(1_000))
        system.drained(worker, sink)
        events, panes = system.topic("events"), system.topic("panes")

        Administrator(system).add_partition("events")

        for role in (worker, sink):
            assert f"error: topic '{events}': 5 partitions, 4 when the roles began" in refused(role)
        said = system.run("worker", code=2).stderr
        assert f"topics must have the same number of partitions: {events} 5, {panes} 4" in said
        for name in ("panes", "readings", "team-panes", "alerts"):
            Administrator(system).add_partition(name)
        for role_name in ("worker", "sink"):
            said = system.run(role_name, code=2).stderr
            assert "error: partitions of the events topic: 5 here, 4 on record" in said
