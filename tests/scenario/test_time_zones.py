"""Days in zones whose clocks change, or are off by odd minutes: the engine's days are the windows' days."""

from collections import Counter
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from kpistream.core.rows import PaneRow
from kpistream.core.windows import business_day, day_start_ms
from kpistream.history import writer
from kpistream.history.reports import Question, report_agents, report_json
from kpistream.history.store import Store
from tests.scenario.history_events import PANE_MS, call, facts, panes

HALF_HOUR_MS = 30 * 60_000
HOUR_MS = 2 * HALF_HOUR_MS
DAYS = (
    ("America/St_Johns", "2025-03-09", 23.0),
    ("America/St_Johns", "2025-11-02", 25.0),
    ("Australia/Lord_Howe", "2025-10-05", 23.5),
    ("Australia/Lord_Howe", "2025-04-06", 24.5),
    ("Pacific/Chatham", "2025-09-28", 23.0),
    ("Pacific/Chatham", "2025-04-06", 25.0),
    ("America/Santiago", "2025-09-07", 23.0),
    ("America/Santiago", "2025-04-05", 25.0),
    ("America/Havana", "2025-11-02", 25.0),
    ("Asia/Kathmandu", "2025-03-30", 24.0),
)
"""Zone, a day on which its clock changes (Kathmandu's never does), and how long that day is in hours."""


def fill(store: Store, events: list[dict[str, object]]) -> None:
    store.insert(writer.fact_insert(facts(*events), PANE_MS))
    rows = [PaneRow(pane.place, PANE_MS, pane.version, dict(pane.tally)) for pane in panes(*events).values()]
    store.insert(writer.pane_insert(rows))


def test_reports_split_changed_days_as_windows_do(store: Store) -> None:
    """A call every half hour from an hour before the day to an hour after it, a tenant for each day."""
    events: list[dict[str, object]] = []
    hours: dict[str, Counter[int]] = {}
    for number, (zone, day, length_h) in enumerate(DAYS):
        window = business_day(day_start_ms(date.fromisoformat(day), zone), zone)
        assert window.to_ms - window.from_ms == length_h * HOUR_MS
        at = range(window.from_ms - HOUR_MS, window.to_ms + HOUR_MS, HALF_HOUR_MS)
        tenant = f"t{number}"
        events += [call(f"{tenant}-{at_ms}", tenant=tenant, ended_ms=at_ms) for at_ms in at]
        hours[tenant] = Counter(datetime.fromtimestamp(at_ms // 1000, ZoneInfo(zone)).hour for at_ms in at)
    fill(store, events)

    for number, (zone, day, length_h) in enumerate(DAYS):
        question = Question(zone=zone, by="day", tenant=f"t{number}")
        before, after = (str(date.fromisoformat(day) + timedelta(days=step)) for step in (-1, 1))
        by_day = {row["day"]: row["calls"] for row in report_json(report_agents(store, question))["rows"]}
        assert by_day == {before: 2, day: int(2 * length_h), after: 2}, zone

        question = Question(zone=zone, by="hour", tenant=f"t{number}")
        by_hour = {row["hour"]: row["calls"] for row in report_json(report_agents(store, question))["rows"]}
        assert by_hour == hours[f"t{number}"], zone


def test_the_sum_of_a_window_is_that_of_its_span(store: Store) -> None:
    """The half hour that Lord Howe shows twice, 01:30 to 02:00, counts twice in its day and in no other."""
    zone = "Australia/Lord_Howe"
    twice = datetime(2025, 4, 6, 1, 45, tzinfo=ZoneInfo(zone))
    at = [int(twice.replace(fold=fold).timestamp()) * 1000 for fold in (0, 1)]
    assert at[1] - at[0] == HALF_HOUR_MS
    fill(store, [call(f"{at_ms}", ended_ms=at_ms) for at_ms in at])

    spans = [business_day(at[0] + days * 24 * HOUR_MS, zone) for days in (-1, 0, 1)]
    calls = [
        sum(row["calls"] for row in report_json(report_agents(store, Question(*span, zone=zone)))["rows"])
        for span in spans
    ]

    assert calls == [0, 2, 0]
