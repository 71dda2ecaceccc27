"""Wrong mappings: every fault at once, each as `file:line key: fact`."""

from pathlib import Path

import pytest

from kpistream.errors import ConfigError
from kpistream.sources.mapping import load_mapping
from kpistream.sources.mapping_schema import read_description

GOOD = """\
source: pbx
events:
  - type: survey.completed
    event_id: "{id}"
    agent_id: "{agent}"
    kind: csat
    score: "{score}"
    scale_min: 1
    scale_max: 5
    completed_at: {column: at}
"""


def faults(text: str) -> list[str]:
    """The faults of a mapping's text."""
    with pytest.raises(ConfigError) as raised:
        read_description(text, "m.yaml")
    return list(raised.value.faults)


def test_good_mapping_has_no_fault() -> None:
    assert read_description(GOOD, "m.yaml").source == "pbx"


def test_all_faults_come_at_once_in_order_of_line() -> None:
    text = GOOD.replace("source: pbx", "sorce: pbx\nformat: xlsx").replace("kind: csat", "kinds: csat")

    assert faults(text) == [
        "m.yaml:1 source: missing: the system that the file comes from, such as crm",
        'm.yaml:1 sorce: unknown key, did you mean "source"?',
        'm.yaml:2 format: "xlsx" is none of csv, tsv, jsonl',
        "m.yaml:4 events[0].kind: missing: every survey.completed has it",
        'm.yaml:7 events[0].kinds: unknown key, did you mean "kind"?',
    ]


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        (
            "{column: at}",
            "{column: at, when: at}",
            "10 events[0].completed_at.when: must be a table of column to condition",
        ),
        ("{column: at}", "{colum: at}", 'unknown key, did you mean "column"?'),
        ("{column: at}", "{}", "10 events[0].completed_at: needs exactly one of column, template, constant, first"),
        (
            "{column: at}",
            "{column: at, field: at}",
            "needs exactly one of column, template, constant, first, field, date, has",
        ),
        (
            "{column: at}",
            "{column: at, format: '%Y-%m-%d %Q'}",
            '10 events[0].completed_at.format: "%Y-%m-%d %Q" is not a form',
        ),
        (
            "{column: at}",
            "{column: at, format: YYYY}",
            '"YYYY" is none of iso, epoch-s, epoch-ms and has no % directive',
        ),
        (
            "{column: at}",
            "{column: at, zone: CET+1}",
            'unknown time zone "CET+1"',
        ),
        ("{column: at}", "{column: at, unit: s}", "only durations and amounts have a unit"),
        ("{column: at}", "{column: at, plus: {column: x}}", "plus.unit: missing: one of ms, s, min, h, hh:mm:ss"),
        (
            "{column: at}",
            "{column: at, date_format: '%Y'}",
            "format is for one column; date_format and time_format are for",
        ),
        ("{column: at}", "{column: at, time: hour}", "completed_at.time: needs the column of the date as well: date"),
        ("{column: at}", "{column: at, not_before: begun}", 'completed_at: there is no field "begun" here'),
        ("{column: at}", "{field: completed_at}", "is made from itself: completed_at -> completed_at"),
        ("{column: at}", "{column: at, otherwise: x}", "otherwise: only a value with a table has it"),
        ("{column: at}", "{column: at, table: x}", "table: must be a table of text to text"),
        (
            '"{id}"',
            '"{id"',
            '4 events[0].event_id: "{id" has a brace without its partner; write {{ for the brace itself',
        ),
        ('"{id}"', "{column: id, decimal: x}", "\"x\" is none of '.' ','"),
        ('"{id}"', "{date: id}", "only a time has a date and a time column"),
        ("kind: csat", "kind: csat\n    kind: nps", "7 events[0].kind: key appears twice"),
        ("kind: csat", "kind: csat\n    when: {id: {above: x}}", 'events[0].when.id.above: "x" is not a number'),
        (
            "kind: csat",
            "kind: csat\n    when: {id: {matches: '('}}",
            'when.id.matches: "(" is not a regular expression',
        ),
        ("kind: csat", "kind: csat\n    when: {id: {empty: maybe}}", '"maybe" is none of yes, no'),
        ("kind: csat", "kind: csat\n    attributes: x", "events[0].attributes: must be a table of name to value"),
        ("kind: csat", "kind: csat\n    moved_from: {agent: x}", 'unknown field, did you mean "agent_id"?'),
        (
            "survey.completed",
            "survey.ended",
            'events[0].type: "survey.ended" is none of call.ended, deal.closed, survey',
        ),
        ("source: pbx", "source: pbx\nencoding: utf8000", 'encoding: "utf8000" is not an encoding'),
        ("source: pbx", "source: pbx\ndelimiter: ';;'", "delimiter: must be one character"),
        ("source: pbx", "source: pbx\nquote: ab", "quote: must be one character"),
        (
            "source: pbx",
            "source: pbx\nheader: no",
            "columns: a file without header needs the names of its columns here",
        ),
        ("source: pbx", "source: pbx\ncolumns: [a]", "columns: only a file with header: no has its columns named here"),
        ("source: pbx", "source: my pbx", 'source: "my pbx" must be 1 to 64 of the characters A-Z a-z 0-9 . _ -'),
        ("source: pbx", "source: pbx\nzone: Mars", 'm.yaml:2 zone: unknown time zone "Mars"'),
        (
            "source: pbx",
            "source: pbx\nskip: [{when: {a: b}}]",
            "skip[0].as: missing: the name under which these rows are counted",
        ),
        ("source: pbx", "source: pbx\nskip: [{as: b}]", "skip[0].when: missing: which rows"),
        (
            "source: pbx",
            "source: pbx\ncommon: {queu: a}",
            'common.queu: no event here has this field, did you mean "queue"?',
        ),
    ],
)
def test_fault_is_named_with_its_place(old: str, new: str, fault: str) -> None:
    found = faults(GOOD.replace(old, new))

    assert any(fault in one for one in found), found
    assert all(one.startswith("m.yaml:") for one in found)


def test_event_of_an_unknown_type_has_that_one_fault() -> None:
    assert len(faults(GOOD.replace("survey.completed", "survey.ended"))) == 1
    assert faults(GOOD.replace("type: survey.completed", "queue: a")) == [
        "m.yaml:3 events[0].type: missing: one of call.ended, deal.closed, survey.completed"
    ]


def test_text_that_is_not_yaml_names_its_line() -> None:
    assert faults("source: pbx\nevents: [\n")[0].startswith("m.yaml:3 yaml: ")
    assert faults("") == ["m.yaml:1 yaml: the file is empty"]
    assert "m.yaml:1 mapping: must be a mapping of keys to values" in faults("- a\n")


def test_rows_are_events_only_in_json_lines() -> None:
    assert faults("events: rows\n") == ["m.yaml:1 events: rows can be events only in format jsonl"]


def test_amount_in_major_units_needs_a_currency() -> None:
    text = (
        "source: crm\nevents:\n  - type: deal.closed\n    event_id: '{id}'\n    outcome: won\n"
        "    amount_minor: '{value}'\n    closed_at: {column: at}\n"
    )

    assert faults(text) == ["m.yaml:6 events[0].amount_minor: an amount in major units needs the field currency"]


def test_columns_that_the_file_has_not_are_all_named_before_any_row(tmp_path: Path) -> None:
    (tmp_path / "m.yaml").write_text(GOOD + "    when: {stat: done}\n")
    (tmp_path / "answers.csv").write_text("id,agnet,score,at,state,state\n")

    with pytest.raises(ConfigError) as raised:
        load_mapping(tmp_path / "m.yaml").rows(tmp_path / "answers.csv")

    shown = "(it has id, agnet, score, at, state, state)"
    assert shown not in raised.value.faults[0]
    assert [fault.partition("m.yaml:")[2] for fault in raised.value.faults] == [
        '5 events[0].agent_id: column "agent" is not in answers.csv, did you mean "agnet"?',
        '11 events[0].when.stat: column "stat" is not in answers.csv, did you mean "state"?',
    ]


def test_column_that_appears_twice_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "m.yaml").write_text(GOOD)
    (tmp_path / "answers.csv").write_text("id,agent,score,at,agent\n")

    with pytest.raises(ConfigError, match=r'column "agent" appears 2 times in the header of answers\.csv'):
        load_mapping(tmp_path / "m.yaml").rows(tmp_path / "answers.csv")


def test_local_times_without_any_zone_are_a_fault(tmp_path: Path) -> None:
    (tmp_path / "m.yaml").write_text(GOOD.replace("{column: at}", "{column: at, format: '%Y-%m-%d %H:%M'}"))
    (tmp_path / "answers.csv").write_text("id,agent,score,at\n")

    with pytest.raises(ConfigError, match=r"10 events\[0\].completed_at: local time without a zone: give --zone"):
        load_mapping(tmp_path / "m.yaml").rows(tmp_path / "answers.csv")
