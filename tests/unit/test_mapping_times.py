"""Local times: zones, clocks that change, days that end, durations."""

from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from kpistream.errors import Reason
from kpistream.sources.mapping import Mapped, load_mapping
from kpistream.sources.times import duration_ms, parser, to_ms

BERLIN = ZoneInfo("Europe/Berlin")


def ms(text: str) -> int:
    """Epoch ms of a time in UTC."""
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


def local(text: str, not_before: str | None = None) -> int:
    """Epoch ms of a local time in Berlin."""
    return to_ms(datetime.fromisoformat(text), BERLIN, None if not_before is None else ms(not_before))


#   2026-10-25, clocks go back at 03:00 CEST      01:00Z
#   local   01:00  02:00  02:30  [02:00  02:30]  03:00
#   UTC     23:00  00:00  00:30   01:00  01:30   02:00
def test_local_time_that_happens_twice_is_the_first(tmp_path: Path) -> None:
    assert local("2026-10-25T02:30:00") == ms("2026-10-25T00:30:00")


def test_local_time_that_happens_twice_is_the_second_when_the_first_is_too_early() -> None:
    assert local("2026-10-25T02:10:00", not_before="2026-10-25T00:50:00") == ms("2026-10-25T01:10:00")


def test_local_time_that_does_not_exist_is_an_hour_later() -> None:
    assert local("2026-03-29T02:30:00") == ms("2026-03-29T01:30:00") == local("2026-03-29T03:30:00")


def test_end_before_its_start_by_more_than_half_a_day_is_the_next_day() -> None:
    assert local("2026-03-04T00:10:00", not_before="2026-03-04T22:50:00") == ms("2026-03-04T23:10:00")


def test_small_step_back_stays() -> None:
    assert local("2026-03-04T10:00:00", not_before="2026-03-04T09:00:02") == ms("2026-03-04T09:00:00")


def test_next_day_is_a_calendar_day_when_the_clocks_change() -> None:
    """The night to 2026-03-29 has 23 hours."""
    assert local("2026-03-28T03:30:00", not_before="2026-03-28T22:00:00") == ms("2026-03-29T01:30:00")


@pytest.mark.parametrize(
    ("form", "text", "utc"),
    [
        ("iso", "2026-03-04T09:00:00.5+02:00", "2026-03-04T07:00:00.500"),
        ("iso", "2026-03-04 09:00:00Z", "2026-03-04T09:00:00"),
        ("epoch-s", "1772614800.25", "2026-03-04T09:00:00.250"),
        ("epoch-ms", "1772614800250", "2026-03-04T09:00:00.250"),
        ("%d/%b/%Y:%H:%M:%S %z", "04/Mar/2026:09:00:00 +0100", "2026-03-04T08:00:00"),
    ],
)
def test_time_that_names_its_zone_needs_no_other(form: str, text: str, utc: str) -> None:
    assert to_ms(parser(form)(text), None) == ms(utc)


@pytest.mark.parametrize(
    ("text", "unit", "expected"),
    [
        ("90", "s", 90_000),
        ("1.5", "s", 1_500),
        ("90", "ms", 90),
        ("2", "min", 120_000),
        ("0.5", "h", 1_800_000),
        ("1:02:03", "hh:mm:ss", 3_723_000),
        ("02:03.5", "hh:mm:ss", 123_500),
        ("30:00:00", "hh:mm:ss", 108_000_000),
    ],
)
def test_durations_become_milliseconds(text: str, unit: str, expected: int) -> None:
    assert duration_ms(text, unit) == expected


@pytest.mark.parametrize(
    ("text", "unit"), [("a", "s"), ("nan", "s"), ("1:2:3:4", "hh:mm:ss"), ("-1:00", "hh:mm:ss"), ("5", "hh:mm:ss")]
)
def test_what_is_no_duration_is_refused(text: str, unit: str) -> None:
    with pytest.raises(ValueError, match="is not a duration in"):
        duration_ms(text, unit)


MAPPING = """
source: pbx
zone: Asia/Jerusalem
events:
  - type: call.ended
    event_id: "{id}"
    queue: sales
    direction: inbound
    outcome: connected
    started_at: {date: day, date_format: "%y%m%d", time: entry}
    answered_at: {date: day, date_format: "%y%m%d", time: served, not_before: started_at, nulls: ["0:00:00"]}
    ended_at: {date: day, date_format: "%y%m%d", time: left, not_before: answered_at}
"""


def read(folder: Path, line: str) -> Mapped:
    """The row with this line."""
    (folder / "m.yaml").write_text(MAPPING)
    (folder / "f.csv").write_text("id,day,entry,served,left\n" + line + "\n")
    (row,) = load_mapping(folder / "m.yaml").rows(folder / "f.csv")
    return row


def test_call_over_midnight_with_one_date_ends_the_next_day(tmp_path: Path) -> None:
    row = read(tmp_path, "1,990113,23:50:33,23:51:49,0:00:22")

    assert row.records[0].occurred_at_ms == ms("1999-01-13T22:00:22")


def test_time_of_day_that_cannot_be_read_is_named_with_its_format(tmp_path: Path) -> None:
    row = read(tmp_path, "1,990113,23:50:33,23:51:99,0:00:22")

    assert str(row.rejected) == (
        'unmapped: events[0].answered_at: "990113 23:51:99" is not a time in the format %y%m%d %H:%M:%S'
    )


def test_null_token_of_a_time_means_that_it_did_not_happen(tmp_path: Path) -> None:
    row = read(tmp_path, "1,990113,23:50:33,0:00:00,23:52:00")

    assert row.rejected is not None
    assert row.rejected.reason is Reason.OUTCOME_CONTRADICTS


def test_time_without_zone_and_without_any_is_rejected(tmp_path: Path) -> None:
    (tmp_path / "m.yaml").write_text(
        "source: crm\nevents:\n  - type: deal.closed\n    event_id: '{id}'\n    queue: a\n    outcome: lost\n"
        "    closed_at: {column: at}\n"
    )
    (tmp_path / "f.csv").write_text("id,at\n1,2026-03-04T09:00:00\n2,2026-03-04T09:00:00Z\n")

    bad, good = load_mapping(tmp_path / "m.yaml").rows(tmp_path / "f.csv")

    assert bad.rejected is not None
    assert (bad.rejected.reason, bad.rejected.hint) == (Reason.NO_ZONE, "give --zone or zone: in the mapping")
    assert good.records[0].occurred_at_ms == ms("2026-03-04T09:00:00")
