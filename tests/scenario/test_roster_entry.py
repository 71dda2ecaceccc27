"""Aliases where events enter: three systems' ids of one person become one row, an unknown id keeps its own name."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import pytest

pytest.importorskip("chdb", reason="chdb is not installed")
pytestmark = pytest.mark.engine

KPISTREAM: Final = str(Path(sys.executable).with_name("kpistream"))
LIMIT_S: Final = 120
ROSTER: Final = """
tenants:
  acme:
    zone: Europe/Berlin
    teams:
      north: {name: North}
    people:
      anna:
        name: Anna Berg
        team: north
        aliases:
          pbx:
            - {id: ext-12, from: 2026-03-01}
          crm: "4711"
          forms: anna.berg@acme.example
"""
# 28 February: the extension is not Anna's yet. 2 and 3 March: it is. ext-99 is nobody's.
CALLS: Final = """id,extension,start,seconds
c-1,ext-12,2026-03-02 09:00:00,120
c-2,ext-12,2026-03-03 09:00:00,60
c-3,ext-12,2026-02-28 09:00:00,30
c-4,ext-99,2026-03-02 10:00:00,45
c-5,ext-99,2026-03-03 16:30:00,15
"""
DEALS: Final = """deal,owner,closed,value
d-1,4711,2026-03-02 09:05:00,499.00
"""
SURVEYS: Final = """response,mail,score,when
s-1,anna.berg@acme.example,4,2026-03-04 12:00:00
"""
TIME: Final = 'format: "%Y-%m-%d %H:%M:%S"'
CALLS_MAP: Final = f"""
source: pbx
format: csv
zone: Europe/Berlin
events:
  - type: call.ended
    event_id: "{{id}}"
    agent_id: "{{extension}}"
    direction: outbound
    outcome: connected
    started_at: {{column: start, {TIME}}}
    answered_at: {{field: started_at}}
    ended_at: {{field: started_at, plus: {{column: seconds, unit: s}}}}
"""
DEALS_MAP: Final = f"""
source: crm
format: csv
zone: Europe/Berlin
events:
  - type: deal.closed
    event_id: "{{deal}}"
    agent_id: "{{owner}}"
    outcome: won
    amount_minor: {{column: value, unit: major}}
    currency: EUR
    closed_at: {{column: closed, {TIME}}}
"""
SURVEYS_MAP: Final = f"""
source: forms
format: csv
zone: Europe/Berlin
events:
  - type: survey.completed
    event_id: "{{response}}"
    agent_id: "{{mail}}"
    kind: csat
    score: {{column: score}}
    scale_min: 1
    scale_max: 5
    completed_at: {{column: when, {TIME}}}
"""


def kpistream(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("KPISTREAM_")}
    done = subprocess.run(
        [KPISTREAM, *arguments], cwd=cwd, env=environment, capture_output=True, text=True, timeout=LIMIT_S, check=False
    )
    assert done.returncode == 0, done.stderr
    return done


@pytest.fixture(scope="module")
def tried(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a store into which all three files went, one after the other."""
    directory = tmp_path_factory.mktemp("entry")
    (directory / "settings").mkdir()
    (directory / "settings" / "roster.yaml").write_text(ROSTER)
    for name, rows, mapping in (
        ("calls", CALLS, CALLS_MAP),
        ("deals", DEALS, DEALS_MAP),
        ("surveys", SURVEYS, SURVEYS_MAP),
    ):
        (directory / f"{name}.csv").write_text(rows)
        (directory / f"{name}.yaml").write_text(mapping)
        where = ("--tenant", "acme", "--settings", "settings", "--store", "store")
        kpistream("try", f"{name}.csv", "--map", f"{name}.yaml", *where, cwd=directory)
    return directory


def report(directory: Path, *arguments: str) -> dict[str, dict[str, Any]]:
    done = kpistream("report", "agents", "--store", "store", "--json", *arguments, cwd=directory)
    return {row["agent_id"]: row for row in json.loads(done.stdout)["rows"]}


def test_three_ids_of_one_person_are_one_row(tried: Path) -> None:
    rows = report(tried)

    assert set(rows) == {"anna", "ext-12", "ext-99"}
    anna = rows["anna"]
    assert (anna["calls"], anna["talk_ms"], anna["deals_won"], anna["surveys"]) == (2, 180_000, 1, 1)
    assert anna["revenue"]["EUR"] == 49_900


def test_alias_holds_only_from_its_date(tried: Path) -> None:
    rows = report(tried)

    assert (rows["ext-12"]["calls"], rows["ext-12"]["talk_ms"]) == (1, 30_000)
    assert (rows["ext-99"]["calls"], rows["ext-99"]["talk_ms"]) == (2, 60_000)


def test_unknown_ids_are_listed_with_counts_and_when_they_were_seen(tried: Path) -> None:
    command = ("roster", "unknown", "--store", "store", "--settings", "settings")
    unknown = json.loads(kpistream(*command, "--json", cwd=tried).stdout)

    assert unknown == [
        {
            "tenant": "acme",
            "agent_id": "ext-12",
            "events": 1,
            "first_seen": "2026-02-28T08:00:30+00:00",
            "last_seen": "2026-02-28T08:00:30+00:00",
        },
        {
            "tenant": "acme",
            "agent_id": "ext-99",
            "events": 2,
            "first_seen": "2026-03-02T09:00:45+00:00",
            "last_seen": "2026-03-03T15:30:15+00:00",
        },
    ]
    table = kpistream(*command, cwd=tried).stdout.splitlines()
    assert [line.split() for line in table[1:]] == [
        ["acme", "ext-12", "1", "2026-02-28T08:00:30+00:00", "2026-02-28T08:00:30+00:00"],
        ["acme", "ext-99", "2", "2026-03-02T09:00:45+00:00", "2026-03-03T15:30:15+00:00"],
    ]


def test_whoever_is_named_by_no_settings_is_told_so(tried: Path) -> None:
    done = kpistream("roster", "unknown", "--store", "store", cwd=tried)

    assert "no settings are named, so nobody is known" in done.stderr
    assert [line.split()[1] for line in done.stdout.splitlines()[1:]] == ["anna", "ext-12", "ext-99"]
