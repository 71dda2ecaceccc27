"""Settings as versions on a real Kafka: what is published, shown and got back, and who wins."""

import asyncio
import json
from pathlib import Path

from kpistream import applying
from kpistream.applying import Note
from kpistream.config import Config
from kpistream.core.versions import ABSENCE_FILE
from kpistream.errors import KpistreamError
from tests.live.broker import Broker
from tests.live.system import System

ROSTER = """
tenants:
  acme:
    zone: Europe/Berlin
    teams: {north: {name: North}, south: {name: South}}
    people:
      ann: {team: north}
      bob: {team: north}
"""
TARGETS = """
targets:
  - {name: busy, kpi: calls, window: rolling-60m, bound: 3}
"""
SCHEDULES = """
absences:
  - {agent: bob, from: 2026-08-03, to: 2026-08-17, reason: holiday}
"""


def directory(where: Path, **files: str) -> Path:
    """A settings directory with these files beside the roster."""
    where.mkdir(exist_ok=True)
    for name, text in ({"roster": ROSTER} | files).items():
        (where / f"{name}.yaml").write_text(text)
    return where


def config(system: System) -> Config:
    return Config(broker=system.kafka.bootstrap, topic_prefix=system.prefix)


def test_a_version_is_published_once_shown_and_got_back(kafka: Broker, tmp_path: Path) -> None:
    with System(kafka, tmp_path) as system:
        settings = directory(tmp_path / "settings", targets=TARGETS)
        assert system.run("settings", "show", code=1).stderr.startswith("no version has been applied\n")

        dry = system.run("apply", str(settings), "--dry-run")
        assert dry.stderr == "dry run: nothing published\n"
        first = system.run("apply", str(settings), "--by", "kim", "--message", "begin")
        assert (first.stdout, first.stderr) == (dry.stdout, "version 1 is published\n")
        assert "target busy is new: calls at least 3, rolling-60m, for each agent\n" in first.stdout
        again = system.run("apply", str(settings))
        assert (again.stdout, again.stderr) == ("", "nothing to change: version 1 is in force\n")

        directory(settings, roster=ROSTER.replace("bob: {team: north}", "bob: {team: south}"))
        second = system.run("apply", str(settings))
        assert (second.stdout, second.stderr) == (
            "acme: bob: team north -> south\n",
            "version 2 is published\n",
        )

        (settings / "targets.yaml").write_text(TARGETS.replace("calls", "cals"))
        refused = system.run("apply", str(settings), code=1)
        assert refused.stdout == f'{settings}/targets.yaml:3 targets[0].kpi: "cals" is no KPI, did you mean "calls"?\n'
        assert refused.stdout == system.run("check", str(settings), code=1).stdout

        shown = json.loads(system.run("settings", "show", "--json").stdout)
        assert (shown["version"], sorted(shown["files"])) == (2, ["roster.yaml", "targets.yaml"])
        history = json.loads(system.run("settings", "history", "--json").stdout)
        assert [(row["version"], row["by"], row["message"]) for row in history] == [(1, "kim", "begin"), (2, "", "")]
        system.run("settings", "get", "1", "--into", str(tmp_path / "got"))
        assert {path.name: path.read_text() for path in (tmp_path / "got").iterdir()} == {
            "roster.yaml": ROSTER,
            "targets.yaml": TARGETS,
        }
        full = system.run("settings", "get", "1", "--into", str(tmp_path / "got"), code=2)
        assert "is not empty" in full.stderr
        gone = system.run("settings", "get", "9", "--into", str(tmp_path / "none"), code=2)
        assert gone.stderr == "error: there is no version 9\n"


def test_of_two_that_apply_at_the_same_time_one_wins_and_the_other_says_so(kafka: Broker, tmp_path: Path) -> None:
    with System(kafka, tmp_path) as system:
        one = directory(tmp_path / "one", targets=TARGETS)
        two = directory(tmp_path / "two")

        async def both() -> list[int | BaseException]:
            prepared = [applying.prepare(await applying.versions_of(config(system)), str(each)) for each in (one, two)]
            published = (applying.publish(config(system), each, Note(1)) for each in prepared)
            return await asyncio.gather(*published, return_exceptions=True)

        came = asyncio.run(both())

        [number] = [each for each in came if isinstance(each, int)]
        [lost] = [each for each in came if isinstance(each, KpistreamError)]
        assert number == 1
        assert str(lost).startswith("somebody else has applied version 1 at the same time: that one is in force")
        shown = json.loads(system.run("settings", "show", "--json").stdout)
        winner = ["roster.yaml", "targets.yaml"] if came[0] == 1 else ["roster.yaml"]
        assert (shown["version"], sorted(shown["files"])) == (1, winner)


def test_absences_by_command_stay_when_a_directory_is_applied(kafka: Broker, tmp_path: Path) -> None:
    with System(kafka, tmp_path) as system:
        settings = directory(tmp_path / "settings", schedules=SCHEDULES)
        nothing = system.run("absence", "add", "ann", "today", code=2)
        assert "holds no settings: absences are kept beside them" in nothing.stderr
        system.run("apply", str(settings))

        added = system.run("absence", "add", "ann", "2127-03-05", "--reason", "ill", "--by", "kim")
        assert (added.stdout, added.stderr) == (
            "acme: ann: absent from 2127-03-05 to 2127-03-06 (ill)\n",
            "version 2 is published\n",
        )
        twice = system.run("absence", "add", "ann", "2127-03-05", "--reason", "ill")
        assert twice.stderr == "nothing to change: version 2 says so already\n"

        (settings / ABSENCE_FILE).write_text("absences: []\n")
        (settings / "targets.yaml").write_text(TARGETS)
        third = system.run("apply", str(settings))
        assert third.stdout.startswith("target busy is new")
        assert third.stderr.splitlines() == [
            f"{settings}/{ABSENCE_FILE}: not taken: absences are kept by `kpistream absence`, those in force stay",
            "version 3 is published",
        ]
        rows = json.loads(system.run("absence", "list", "--past", "--json").stdout)
        assert [(row["agent"], row["from"], row["reason"], row["kept_in"]) for row in rows] == [
            ("bob", "2026-08-03T00:00:00+02:00", "holiday", "files"),
            ("ann", "2127-03-05T00:00:00+01:00", "ill", "command"),
        ]

        (settings / "roster.yaml").write_text(ROSTER.replace("ann", "eve"))
        left = system.run("apply", str(settings), code=1)
        assert left.stdout == f'{ABSENCE_FILE}:3 absences[0].agent: agent "ann" is not in the roster\n'
        wrong = system.run("absence", "remove", "ann", "2127-03-06", code=2)
        assert "absence 2127-03-06 that was added by command, there are: 2127-03-05" in wrong.stderr
        removed = system.run("absence", "remove", "ann", "2127-03-05")
        assert removed.stdout == "acme: ann: no longer absent from 2127-03-05 to 2127-03-06 (ill)\n"


def test_aliases_of_the_version_in_force_hold_where_events_enter(kafka: Broker, tmp_path: Path) -> None:
    event = {
        "type": "deal.closed",
        "tenant": "acme",
        "source": "crm",
        "event_id": "1",
        "agent_id": "4711",
        "outcome": "lost",
        "closed_at": "2026-11-24T09:05:00Z",
    }
    (tmp_path / "deals.jsonl").write_text(json.dumps(event) + "\n")
    with System(kafka, tmp_path, settings=directory(tmp_path / "local")) as system:
        aliased = ROSTER.replace("ann: {team: north}", 'ann: {team: north, aliases: {crm: "4711"}}')
        system.run("apply", str(directory(tmp_path / "settings", roster=aliased)))

        system.run("load", str(tmp_path / "deals.jsonl"), "--as", "canonical")

        assert [json.loads(message.value())["agent_id"] for message in system.read("events")] == ["ann"]


def test_absences_that_are_added_at_the_same_time_are_all_there(kafka: Broker, tmp_path: Path) -> None:
    with System(kafka, tmp_path) as system:
        system.run("apply", str(directory(tmp_path / "settings")))

        async def everybody() -> None:
            from kpistream import settings_commands

            days = [f"2127-03-{day:0>2}" for day in range(1, 6)]
            added = (
                settings_commands.absence_add_command(config(system), "ann", day, by="", reason="", tenant=None)
                for day in days
            )
            assert await asyncio.gather(*added) == [0] * len(days)

        asyncio.run(everybody())

        rows = json.loads(system.run("absence", "list", "--json").stdout)
        assert [row["from"][:10] for row in rows] == [f"2127-03-{day:0>2}" for day in range(1, 6)]
        assert json.loads(system.run("settings", "show", "--json").stdout)["version"] == 6


def test_a_version_larger_than_a_message_is_published_and_got_back(kafka: Broker, tmp_path: Path) -> None:
    import random

    noise = random.Random(1)
    with System(kafka, tmp_path) as system:
        settings = directory(tmp_path / "settings")
        large = ROSTER + "".join(f"# {noise.getrandbits(512):x}\n" for _ in range(20_000))
        (settings / "roster.yaml").write_text(large)

        system.run("apply", str(settings))

        system.run("settings", "get", "1", "--into", str(tmp_path / "got"))
        assert len(large) > 2_000_000
        assert (tmp_path / "got" / "roster.yaml").read_text() == large
