"""A first mapping: it can be read, it fits its file, and it asks where it guessed."""

import json
from pathlib import Path

import pytest

from kpistream.errors import ConfigError
from kpistream.sources.infer import infer
from kpistream.sources.mapping import Mapped, load_mapping

CALLS = "\n".join(
    [
        "CallId;Agent;Queue;Start Time;Answer Time;End Time;Talk Time;Disposition;Private Number",
        "7;anna;sales;04.03.2026 09:00:00;04.03.2026 09:00:10;04.03.2026 09:01:10;60;ANSWERED;+49 30 123",
        "8;;sales;04.03.2026 09:05:00;;04.03.2026 09:05:30;0;NO ANSWER;+49 30 124",
        "9;ben;sales;24.03.2026 09:05:00;;24.03.2026 09:05:30;0;PARKED;+49 30 125",
    ]
)


def mapped(folder: Path, text: str, name: str) -> tuple[str, list[Mapped]]:
    """The first mapping of a file with this text, and what it makes of the file."""
    (folder / name).write_text(text, encoding="utf-8")
    guess = infer(folder / name)
    (folder / "first.yaml").write_text(guess, encoding="utf-8")
    return guess, list(load_mapping(folder / "first.yaml").rows(folder / name))


def test_first_mapping_of_calls_fits_its_file(tmp_path: Path) -> None:
    guess, (answered, missed, parked) = mapped(tmp_path, CALLS, "calls.csv")

    event = json.loads(answered.records[0].value)
    assert (event["event_id"], event["agent_id"], event["queue"]) == ("7", "anna", "sales")
    assert (event["started_at"], event["answered_at"], event["ended_at"]) == (
        1772614800000,
        1772614810000,
        1772614870000,
    )
    assert (event["outcome"], event["talk_ms"]) == ("connected", 60_000)
    assert json.loads(missed.records[0].value)["outcome"] == "no-answer"
    assert parked.skipped == "outcome not known"
    assert 'delimiter: ";"' in guess


def test_every_guess_is_marked(tmp_path: Path) -> None:
    guess, _ = mapped(tmp_path, CALLS, "calls.csv")

    marked = [line.strip().partition(":")[0] for line in guess.splitlines() if "# CHECK" in line]
    assert {"source", "zone", "event_id", "agent_id", "direction", "talk_ms", "table"} <= set(marked)


def test_values_of_columns_that_no_field_uses_are_not_written_down(tmp_path: Path) -> None:
    guess, _ = mapped(tmp_path, CALLS, "calls.csv")

    assert "#   Private Number: text, 3 different" in guess
    assert "+49" not in guess


def test_id_that_repeats_after_the_sample_is_not_taken(tmp_path: Path) -> None:
    lines = ["line,call_id,agent,start"]
    lines += [f"{number // 600},{number % 600},anna,2026-03-04T09:00:00Z" for number in range(1200)]

    guess, rows = mapped(tmp_path, "\n".join(lines), "calls.csv")

    assert 'event_id: "{line}-{call_id}"' in guess
    assert len({json.loads(row.records[0].value)["event_id"] for row in rows}) == 1200


def test_first_mapping_of_deals_takes_month_and_day_as_the_values_allow(tmp_path: Path) -> None:
    text = (
        "opportunity_id,sales_agent,deal_stage,close_date,close_value\n"
        "a,anna,Won,3/1/2026,1054\nb,ben,Lost,3/24/2026,0\nc,ben,Open,,\n"
    )

    guess, (won, lost, left_open) = mapped(tmp_path, text, "deals.csv")

    assert json.loads(won.records[0].value)["amount_minor"] == 105_400
    assert json.loads(lost.records[0].value)["outcome"] == "lost"
    assert left_open.skipped == "outcome not known"
    assert 'format: "%m/%d/%Y"' in guess


def test_dates_that_can_be_read_in_two_ways_say_so(tmp_path: Path) -> None:
    text = "deal_id,agent,close_date,amount\na,anna,3/1/2026,1\nb,ben,3/4/2026,2\n"

    guess, _ = mapped(tmp_path, text, "deals.csv")

    assert "# CHECK: %d/%m/%Y or %m/%d/%Y fit the sample" in guess


def test_first_mapping_of_surveys_in_json_lines(tmp_path: Path) -> None:
    text = '{"response_id": "r1", "agent": "anna", "csat": 4, "at": {"submitted_at": "2026-03-04T09:00:00Z"}}\n'

    _, (answer,) = mapped(tmp_path, text, "answers.jsonl")

    event = json.loads(answer.records[0].value)
    assert (event["type"], event["score"], event["scale_max"]) == ("survey.completed", 4, 5)
    assert event["completed_at"] == 1772614800000


def test_lines_that_are_events_already_stay_what_they_are(tmp_path: Path) -> None:
    text = (
        '{"type": "deal.closed", "source": "crm", "event_id": "1", "queue": "a", "outcome": "lost", '
        '"closed_at": "2026-03-04T09:00:00Z"}'
    )

    guess, (deal,) = mapped(tmp_path, text, "events.jsonl")

    assert "events: rows" in guess
    assert deal.records[0].key == "default/queue:a"


def test_columns_without_names_get_numbers(tmp_path: Path) -> None:
    guess, _ = mapped(tmp_path, "1,2026-03-04T09:00:00Z\n2,2026-03-04T09:00:00Z\n", "calls.csv")

    assert "header: no\ncolumns: [column_1, column_2]" in guess


@pytest.mark.parametrize(
    ("text", "fault"),
    [("", "is empty"), ("a,b\n", "has no row to look at"), ("[\n{}\n]\n", "is one JSON document")],
)
def test_file_that_shows_nothing_is_a_fault(tmp_path: Path, text: str, fault: str) -> None:
    with pytest.raises(ConfigError, match=fault):
        mapped(tmp_path, text, "f.csv")
