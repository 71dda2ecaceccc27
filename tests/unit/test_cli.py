"""Command line: what a newcomer meets. 0 is fine, 1 a problem found, 2 wrong usage; a message is one fact."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

import click
import pytest
from click.testing import CliRunner

from kpistream import cli

GOOD: Final = {
    "type": "deal.closed",
    "tenant": "acme",
    "source": "crm",
    "event_id": "7",
    "agent_id": "ann",
    "outcome": "lost",
    "closed_at": "2026-11-24T09:05:00Z",
}
ROSTER: Final = "tenants:\n  acme:\n    people:\n      ann: {name: Ann}\n"


class Ran(NamedTuple):
    """What a command did."""

    code: int
    out: str
    err: str


def run(*arguments: str, stdin: str | None = None) -> Ran:
    """The command as the shell would run it, in this process."""

    @click.command(add_help_option=False, context_settings={"ignore_unknown_options": True})
    def shell() -> None:
        before, sys.argv = sys.argv, ["kpistream", *arguments]
        try:
            cli.main()
        finally:
            sys.argv = before

    result = CliRunner().invoke(shell, [], input=stdin)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exc_info
    return Ran(result.exit_code, result.stdout, result.stderr)


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty directory, and no setting from outside."""
    monkeypatch.chdir(tmp_path)
    for name in os.environ:
        if name.startswith("KPISTREAM_"):
            monkeypatch.delenv(name)


def commands(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for name, command in group.commands.items():
        yield (*path, name)
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))


@pytest.mark.parametrize("path", [(), *commands(cli.cli)], ids=" ".join)
def test_every_command_has_help(path: tuple[str, ...]) -> None:
    ran = run(*path, "--help")

    assert (ran.code, ran.err) == (0, "")
    assert ran.out.startswith(f"Usage: kpistream {' '.join(path)}".rstrip())


def test_summary_of_no_command_is_cut_short() -> None:
    assert "..." not in run("--help").out.replace("[ARGS]...", "")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nonsense"], "No such command 'nonsense'."),
        (["try", "gone.csv", "--as", "technion", "--store", "s"], "File 'gone.csv' does not exist."),
        (["try", "here.csv", "--store", "s"], "by --as NAME or by --map MAP.yaml: neither is given"),
        (
            ["try", "here.csv", "--as", "technion", "--map", "here.csv", "--store", "s"],
            "by --as NAME or by --map MAP.yaml: both are given",
        ),
        (["try", "here.csv", "--as", "technion"], "Missing option '--store'."),
        (
            ["try", "here.csv", "--as", "nope", "--store", "s"],
            'error: mapping "nope": no such file, and none of the packaged ones (canonical, technion)',
        ),
        (
            ["try", "here.csv", "--as", "technion", "--zone", "Mars/Base", "--store", "s"],
            'error: unknown time zone "Mars/Base"',
        ),
        (
            ["try", "here.csv", "--map", "wrong.yaml", "--store", "s"],
            "error: wrong.yaml:4 events[0].outcome: missing: every deal.closed has it",
        ),
        (["try", "here.csv", "--as", "technion", "--settings", "gone", "--store", "s"], "'gone' holds no YAML file"),
        (["report", "agents"], "say where history is: --store URL|DIR"),
        (["report", "agents", "--store", "gone"], "no store in this directory"),
        (["report", "agents", "--store", "ftp://x"], "want a directory, chdb:///directory or http(s)://host:port"),
        (["roster", "unknown"], "error: no store is named\nhint: --store, or KPISTREAM_STORE"),
        (
            ["roster", "merge", "a", "b", "--from", "yesterday", "--store", "gone"],
            'error: "yesterday" is neither a date nor a time (2026-11-24 or 2026-11-24T09:00)',
        ),
        (
            ["roster", "merge", "a", "b", "--from", "2026-11-01", "--zone", "Mars", "--store", "gone"],
            'error: unknown time zone "Mars"',
        ),
        (["roster", "merge", "a", "a", "--from", "2026-11-01"], '"a" cannot be merged into itself'),
        (["topics", "apply", "--partitions", "0"], "0 is not in the range x>=1"),
        (["topics", "apply", "--broker", "127.0.0.1:1"], "error: broker '127.0.0.1:1' cannot be reached"),
        (
            ["load", "here.csv", "--as", "technion", "--broker", "127.0.0.1:1"],
            "error: broker '127.0.0.1:1' cannot be reached",
        ),
        (["apply", ".", "--broker", "127.0.0.1:1"], "error: broker '127.0.0.1:1' cannot be reached"),
        (["apply", ".", "--by", "a\nb"], '--by: "a\nb" must be 1 to 256 characters without control characters'),
        (["apply", "gone"], "Directory 'gone' does not exist."),
        (["absence", "add", "ann", "today", "--broker", "127.0.0.1:1"], "broker '127.0.0.1:1' cannot be reached"),
        (["settings", "get", "0", "--into", "x"], "0 is not in the range x>=1"),
        (["sink", "--broker", "127.0.0.1:1"], "error: KPISTREAM_STORE: the sink needs a ClickHouse URL"),
        (["demo", "--speed", "0"], "error: speed 0 must be above 0 simulated seconds in a second"),
        (["watch", "--window", "week"], 'error: window "week" is none of rolling-15m, rolling-60m, business-day'),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_usage_says_what_is_wrong_and_ends_with_2(arguments: list[str], message: str) -> None:
    Path("here.csv").write_text("a,b\n1,2\n")
    Path("wrong.yaml").write_text("source: crm\nformat: csv\nevents:\n  - type: deal.closed\n")

    ran = run(*arguments)

    assert (ran.code, ran.out) == (2, "")
    assert message in ran.err
    assert "Traceback" not in ran.err


def test_setting_that_is_no_number_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KPISTREAM_FLUSH_MS", "soon")

    ran = run("topics", "verify")

    assert (ran.code, ran.err) == (2, "error: KPISTREAM_FLUSH_MS: 'soon' is not a whole number\n")


def test_validate_reads_standard_input_and_ends_with_1_on_any_refusal() -> None:
    good = json.dumps(GOOD)

    assert run("validate", "-", stdin=f"{good}\n\n{good}\n") == (0, "", "2 accepted, 0 refused\n")

    ran = run("validate", "-", stdin=f"{good}\n{good.replace('lost', 'gone')}\n")
    assert ran.code == 1
    assert ran.out == "line 2: invalid-field: outcome: \"gone\" is not 'won', 'lost' or 'voided'\n"
    assert ran.err == "1 accepted, 1 refused\n"


def test_validate_for_machines_is_one_object_a_line() -> None:
    ran = run("validate", "-", "--json", stdin=json.dumps({**GOOD, "mood": "good"}) + "\n[1]\n")

    first, second = map(json.loads, ran.out.splitlines())
    assert (first["line"], first["accepted"], first["unknown_fields"]) == (1, True, ["mood"])
    assert (second["line"], second["accepted"], second["reason"]) == (2, False, "not-json")
    assert ran.code == 1


def test_kpis_are_readable_at_100_columns() -> None:
    lines = run("kpis").out.splitlines()

    assert max(map(len, lines)) <= 100
    assert any(line.startswith("service_level") for line in lines)
    assert any("= deals_won / connected" in line for line in lines)


def test_kpis_for_machines_have_words_and_source() -> None:
    rows = json.loads(run("kpis", "--json").out)

    revenue = next(row for row in rows if row["name"] == "revenue")
    assert revenue["words"] == "Amount of deals won, by currency; currencies are never added."
    assert set(revenue) == {"name", "unit", "better", "words", "definition", "source"}


def test_check_says_what_there_is_or_every_fault_by_file_and_line() -> None:
    settings = Path("settings")
    settings.mkdir()
    (settings / "roster.yaml").write_text(ROSTER)
    assert run("check", "settings") == (0, "fit: 1 tenants, 1 people, 0 targets\n", "")

    (settings / "schedules.yaml").write_text("schedules: {shifts: [{file: march.csv}]}")
    (settings / "march.csv").write_text("agent_id,date,start,end\nann,2026-03-02,08:00,16:00\n")
    assert run("check", "settings") == (
        0,
        "fit: 1 tenants, 1 people, 0 targets, 1 agents with imported shifts\n",
        "",
    )
    (settings / "march.csv").write_text("agent_id,date,start,end\nann,2026-03-02,8,16:00\n")
    assert run("check", "settings") == (
        1,
        'settings/march.csv:2 start: "8" is no time of day, write 00:00 to 24:00\n',
        "",
    )
    (settings / "schedules.yaml").unlink()

    (settings / "roster.yaml").write_text(ROSTER.replace("name: Ann", "team: gone, zone: Mars"))
    ran = run("check", "settings")
    assert ran.code == 1
    assert ran.out.splitlines() == [
        'settings/roster.yaml:4 tenants.acme.people.ann.team: team "gone" is not among the teams: there are none',
        'settings/roster.yaml:4 tenants.acme.people.ann.zone: unknown time zone "Mars"',
    ]


def test_clickhouse_that_does_not_answer_is_one_message() -> None:
    ran = run("report", "agents", "--store", "http://127.0.0.1:1/kpi")

    assert ran.code == 1
    assert ran.err.startswith("error: store http://127.0.0.1:1/kpi: ")
    assert len(ran.err.splitlines()) == 1


def test_ctrl_c_ends_without_a_traceback() -> None:
    read, write = os.pipe()
    with os.fdopen(write, "wb") as lines:
        process = subprocess.Popen(
            [sys.executable, "-c", "from kpistream.cli import main; main()", "validate", "-"],
            stdin=read,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        os.close(read)
        lines.write((json.dumps(GOOD) + "\n").encode() * 5000)
        lines.flush()  # more than a pipe holds: it is reading once this returns
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)

    assert (process.returncode, err.strip()) == (130, "stopped")
