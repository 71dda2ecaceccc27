"""Roles look at everything before they begin, and say all that is wrong at once; exit 2."""

from pathlib import Path

import pytest

from tests.live.broker import Broker
from tests.live.system import System


@pytest.mark.parametrize("role", ["worker", "sink"])
def test_missing_topics_are_all_named(kafka: Broker, tmp_path: Path, role: str) -> None:
    system = System(kafka, tmp_path)

    said = system.run(role, code=2).stderr

    for name in ("events", "panes", "readings", "team-panes", "alerts", "results", "dead-letters", "settings"):
        assert f"error: topic '{system.topic(name)}' is missing" in said


def test_all_faults_of_topics_come_at_once(kafka: Broker, tmp_path: Path) -> None:
    system = System(kafka, tmp_path)
    kafka.create_topics({system.topic("events"): 3}, {"message.timestamp.type": "CreateTime", "retention.ms": "60000"})
    kafka.create_topics({system.topic("panes"): 2}, {"cleanup.policy": "delete"})

    said = system.run("worker", code=2).stderr

    events, panes = system.topic("events"), system.topic("panes")
    assert f"topic '{events}': message.timestamp.type is 'CreateTime', must be 'LogAppendTime'" in said
    assert f"topic '{events}': retention.ms is 60000, at least " in said
    assert f"topic '{panes}': cleanup.policy is 'delete', must be 'compact'" in said
    assert f"topics must have the same number of partitions: {events} 3, {panes} 2" in said
    assert f"topic '{system.topic('alerts')}' is missing" in said


def test_a_topic_that_may_lose_confirmed_records_is_refused(kafka: Broker, tmp_path: Path) -> None:
    system = System(kafka, tmp_path)
    kafka.create_topics({system.topic("events"): 4}, {"unclean.leader.election.enable": "true"})

    said = system.run("worker", code=2).stderr

    assert f"topic '{system.topic('events')}': unclean.leader.election.enable is true, must be false" in said


def test_changed_pane_size_is_refused(kafka: Broker, tmp_path: Path) -> None:
    with System(kafka, tmp_path) as system:
        worker = system.worker()
        system.until("the worker", lambda: "recovered" in worker.said, worker)
        worker.stop()

        for role in ("worker", "sink"):
            assert "pane size in ms: 900000 here, 300000 on record" in system.run(role, code=2, pane_minutes=15).stderr


def test_settings_and_broker_faults_name_file_and_address(kafka: Broker, tmp_path: Path) -> None:
    settings = tmp_path / "settings"
    settings.mkdir()
    (settings / "targets.yaml").write_text("targets:\n  - {name: a, kpi: no-such-kpi, window: rolling-60m, bound: 1}\n")
    with System(kafka, tmp_path) as system:
        said = system.run("worker", code=2, settings=settings).stderr
        assert "targets.yaml:2" in said and "no-such-kpi" in said

        said = system.run("worker", code=2, broker="127.0.0.1:1").stderr
        assert "127.0.0.1:1" in said and "cannot be reached" in said
