"""The live view: what a supervisor sees of readings and transitions, on a screen and as lines."""

import io
import re
from dataclasses import replace
from fractions import Fraction

import msgspec
import pytest
from rich.console import Console

from kpistream.core import measures as m
from kpistream.core.acks import Ack
from kpistream.core.alerts import State, Transition
from kpistream.core.currencies import NUMERIC
from kpistream.core.measures import scale_code
from kpistream.core.readings import About, Reading, Shown, TargetReading, read, target_reading
from kpistream.core.targets import Direction, Target, Why, judge
from kpistream.core.windows import Window
from kpistream.watching.figures import COLUMNS, Mark, Width, alert_words, cell, mark_of
from kpistream.watching.plain import PlainLines, alert_line, reading_line
from kpistream.watching.screen import Look, Screen, capture_svg
from kpistream.watching.view import Choice, View

NOON_MS = 1_790_589_600_000  # 2026-09-28T12:00+02:00
DAY = Window(NOON_MS - 12 * 3_600_000, NOON_MS + 12 * 3_600_000)
BERLIN = Look("Europe/Berlin")
TALLY = {
    m.CALLS: 70,
    m.FIRST_LEGS: 70,
    m.OUTBOUND_CALLS: 70,
    m.CONNECTED: 22,
    m.OUTBOUND_CONNECTED: 22,
    m.TALK_MS: 22 * 245_000,
    m.DEALS_WON: 3,
    m.WON_MINOR + NUMERIC["EUR"]: 123_450,
    m.WON_DEALS + NUMERIC["EUR"]: 2,
    m.WON_MINOR + NUMERIC["CHF"]: 9_900,
    m.WON_DEALS + NUMERIC["CHF"]: 1,
    m.CSAT_ANSWERS + scale_code(1, 5): 12,
    m.CSAT_SCORE_MILLI + scale_code(1, 5): 51_000,
}
CONNECT = Target("connect", "connect_share", "business-day", Direction.AT_LEAST, low=Fraction(1, 3))
TALK = Target(
    "talk", "average_talk_time", "business-day", Direction.BETWEEN, low=Fraction(180_000), high=Fraction(300_000)
)
CONVERSION = Target(
    "sales", "conversion_per_connected", "business-day", Direction.AT_LEAST, low=Fraction(1, 10), minimum_sample=30
)


def standing(*targets: Target, state: State = State.OK, tally: dict[int, int] = TALLY) -> dict[str, TargetReading]:
    return {target.name: target_reading(target, state, judge(target, tally)) for target in targets}


def reading(
    scope: str = "agent:ana",
    name: str = "Ana Ruiz",
    tally: dict[int, int] = TALLY,
    targets: dict[str, TargetReading] | None = None,
    at_ms: int = NOON_MS,
) -> Reading:
    team = None if scope == "tenant" else "north"
    return read(About("acme", scope, team, name), Shown("business-day", DAY, at_ms), tally, targets)


def transition(sequence: int = 1, at_ms: int = NOON_MS, **changes: object) -> Transition:
    content = {
        "alert_id": f"connect/acme/agent:ana/{sequence}",
        "target": "connect",
        "tenant": "acme",
        "scope": "agent:ana",
        "sequence": sequence,
        "from_state": State.OK,
        "to_state": State.FIRING,
        "at_ms": at_ms,
        "reason": Why.BELOW_BOUND,
        "kpi": "connect_share",
        "window": "business-day",
        "window_from_ms": DAY.from_ms,
        "window_to_ms": DAY.to_ms,
        "direction": Direction.AT_LEAST,
        "low": 0.3,
        "high": None,
        "value": 0.25,
        "numerator": 15,
        "denominator": 60,
        "before": State.FIRING,
        "team": "north",
        "display_name": "Ana Ruiz",
    }
    return Transition(**{**content, **changes})


def text(view: View, columns: int = 100, height: int | None = None, now_ms: int = NOON_MS, look: Look = BERLIN) -> str:
    return "\n".join(line.plain for line in Screen(view, now_ms, look).lines(columns, height))


def view_of(*readings: Reading, choice: Choice | None = None) -> View:
    view = View(choice)
    for each in readings:
        view.put_reading(each)
    return view


# ---- figures


def test_every_ratio_has_its_n_beside_it():
    shown = reading()

    assert [cell(shown, column).lines for column in COLUMNS] == [
        ("70",),
        ("31.4 % (n 70)",),
        ("4:05 (n 22)",),
        ("13.6 % (n 22)",),
        ("1,234 EUR, 99 CHF",),
        ("4.25 (n 12)",),
    ]


def test_shorter_writing_keeps_the_n():
    assert [cell(reading(), column, Width.TIGHT).lines for column in COLUMNS] == [
        ("70",),
        ("31% (70)",),
        ("4:05 (22)",),
        ("14% (22)",),
        ("1,234 EUR", "99 CHF"),
        ("4.2 (12)",),
    ]


def test_what_does_not_exist_is_no_zero():
    shown = reading(tally={m.CALLS: 2, m.INBOUND_CALLS: 2})

    assert [cell(shown, column).lines for column in COLUMNS] == [("2",), ("-",), ("-",), ("-",), ("-",), ("-",)]


def test_scales_stand_side_by_side():
    tally = {
        **TALLY,
        m.CSAT_ANSWERS + scale_code(0, 10): 2,
        m.CSAT_SCORE_MILLI + scale_code(0, 10): 15_000,
    }

    assert cell(reading(tally=tally), COLUMNS[5]).lines == ("7.50 (n 2) of 0-10, 4.25 (n 12) of 1-5",)


def test_mark_is_that_of_the_worst_target():
    lenient = msgspec.structs.replace(CONNECT, name="lenient", low=Fraction(1, 5))
    few = msgspec.structs.replace(CONNECT, name="few", minimum_sample=1000)

    assert mark_of(reading(targets=standing(lenient)), "connect_share") is Mark.MET
    assert mark_of(reading(targets=standing(lenient, few)), "connect_share") is Mark.OPEN
    assert mark_of(reading(targets=standing(lenient, few, CONNECT)), "connect_share") is Mark.MISSED
    assert mark_of(reading(targets=standing(CONNECT)), "calls") is Mark.NONE


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "Ana Ruiz: connect share 25.0 % (n 60), target >= 30.0 %, business day"),
        (
            {"kpi": "average_talk_time", "value": 370_400.0, "low": 180_000.0, "high": 360_000.0},
            "Ana Ruiz: average talk time 6:10 (n 60), target 3:00 to 6:00, business day",
        ),
        (
            {"kpi": "abandoned_share", "low": None, "high": 0.05, "scope": "team:north", "display_name": "Sales North"},
            "Sales North: abandoned share 25.0 % (n 60), target <= 5.0 %, business day",
        ),
        (
            {"low": 0.12, "bound_from": "tier new, summer (80 %)"},
            "Ana Ruiz: connect share 25.0 % (n 60), target >= 12.0 % (tier new, summer (80 %)), business day",
        ),
        (
            {"value": None, "denominator": 0, "display_name": None, "window": "rolling-60m"},
            "ana: connect share -, target >= 30.0 %, rolling 60m",
        ),
    ],
)
def test_alert_says_who_how_much_and_against_what(changes: dict[str, object], said: str):
    assert alert_words(transition(**changes)) == said


# ---- the view


def test_latest_reading_stands_whatever_comes_last():
    view = view_of(reading(at_ms=NOON_MS + 2, tally={m.CALLS: 71}), reading(at_ms=NOON_MS + 1))

    assert [each.measures["calls"] for each in view.shown(NOON_MS)] == [71]


def test_reading_without_numbers_and_window_long_over_are_not_shown():
    view = view_of(reading(), reading("agent:bo", "Bo", tally={}))

    assert [each.scope for each in view.shown(NOON_MS)] == ["agent:ana"]
    assert view.shown(DAY.to_ms + 3_600_000) == []


def test_transition_that_arrives_twice_is_one_and_the_newest_comes_first():
    view = View()

    taken = [view.put_transition(transition(n, NOON_MS + n)) for n in (2, 1, 2, 3)]

    assert taken == [True, True, False, True]
    assert [each.sequence for each in view.alerts(2)] == [3, 2]
    assert view.firing() == 1
    assert view.put_transition(transition(4, to_state=State.OK))
    assert view.firing() == 0


@pytest.mark.parametrize(
    ("choice", "scopes"),
    [
        (Choice(), ["agent:ana", "team:north", "tenant"]),
        (Choice(team="north"), ["agent:ana", "team:north"]),
        (Choice(agent="ana"), ["agent:ana"]),
        (Choice(agent="bo"), []),
        (Choice(tenant="other"), []),
        (Choice(window="rolling-15m"), []),
    ],
)
def test_choice_narrows_what_is_shown(choice: Choice, scopes: list[str]):
    readings = [reading(), reading("team:north", "Sales North"), reading("tenant", "acme")]

    view = view_of(*readings, choice=choice)

    assert sorted(each.scope for each in view.shown(NOON_MS)) == scopes


def test_team_comes_first_then_agents_by_name_then_queues_and_strangers_last():
    lost = msgspec.structs.replace(reading("agent:x9", "x9", {m.CALLS: 1}), team="unassigned")
    queue = msgspec.structs.replace(reading("queue:orders", "orders", {m.CALLS: 4}))
    view = view_of(
        lost, queue, reading("agent:bo", "Bo Lind"), reading(), reading("team:north", "Sales North"),
        reading("tenant", "acme"),
    )  # fmt: skip

    lines = text(view, 160).splitlines()

    names = [line[:14].strip() for line in lines[3:] if line[:14].strip()]
    assert names[:7] == ["Sales North", "Ana Ruiz", "Bo Lind", "queue orders", "unassigned", "x9", "acme"]


def test_somebody_without_a_call_is_shown_while_a_target_is_missed():
    """Idle people are many: only those who should have done something are of interest."""
    calls = msgspec.structs.replace(CONNECT, name="calls", kpi="calls", low=Fraction(100))

    def idle(name: str, state: State, reason: Why) -> Reading:
        target = msgspec.structs.replace(target_reading(calls, state, judge(calls, {})), reason=reason)
        return reading(f"agent:{name}", name, {}, {"calls": target})

    view = view_of(
        idle("fires", State.FIRING, Why.BEHIND_PACE),
        idle("waits", State.PENDING, Why.BEHIND_PACE),
        idle("recovers", State.RECOVERING, Why.ON_PACE),
        idle("rests", State.SUSPENDED, Why.OFF_SHIFT),
        idle("is-well", State.OK, Why.ON_PACE),
        idle("was-held", State.NO_DATA, Why.SOURCE_SILENT),
        idle("is-behind", State.OK, Why.BEHIND_PACE),
        reading("agent:none", "none", {}),
    )

    [north] = view.teams(NOON_MS)
    assert [member.display_name for member in north.members] == ["fires", "is-behind", "recovers", "waits"]
    assert "fires" in text(view)


# ---- the screen


def test_screen_of_one_agent():
    view = view_of(reading(targets=standing(CONNECT, TALK, CONVERSION)))
    view.put_transition(transition())

    assert text(view, 120).splitlines() == [
        "kpistream  business day  newest reading 0 s ago  Mon 28 Sep 12:00:00 Europe/Berlin",
        "",
        "            calls        connect           talk       conversion              revenue         CSAT",
        "north",
        "  Ana Ruiz     70  31.4 % (n 70) ✗  4:05 (n 22) ✓  13.6 % (n 22) -  1,234 EUR, 99 CHF  4.25 (n 12)",
        "",
        "last alerts  1 firing",
        "12:00:00  MISSED     Ana Ruiz: connect share 25.0 % (n 60), target >= 30.0 %",
        "target ✓ met  ✗ missed  - too little to say yet",
    ]


def test_first_screen_says_that_nothing_has_come_yet():
    assert "No readings yet" in text(View())


@pytest.mark.parametrize(
    ("age_ms", "speed", "said"),
    [
        (10_000, 1.0, "newest reading 10 s ago  Mon"),
        (11_000, 1.0, "newest reading 11 s ago: nothing new arrives"),
        (600_000, 60.0, "newest reading 10 s ago  Mon"),
        (660_000, 60.0, "newest reading 11 s ago: nothing new arrives"),
    ],
)
def test_age_becomes_a_warning_after_ten_seconds_of_the_wall(age_ms: int, speed: float, said: str):
    assert said in text(view_of(reading()), now_ms=NOON_MS + age_ms, look=replace(BERLIN, speed=speed))


def test_note_has_a_line_of_its_own_where_there_is_no_room_beside_the_legend():
    look = replace(BERLIN, note="simulated, 60 times as fast as life; Ctrl-C ends it")

    assert text(view_of(reading()), 120, look=look).splitlines()[-1] == (
        "target ✓ met  ✗ missed  - too little to say yet   simulated, 60 times as fast as life; Ctrl-C ends it"
    )
    assert text(view_of(reading()), 80, look=look).splitlines()[-2:] == [
        "target ✓ met  ✗ missed  - too little to say yet",
        "simulated, 60 times as fast as life; Ctrl-C ends it",
    ]


def test_age_is_that_of_any_window():
    view = view_of(reading(), msgspec.structs.replace(reading(at_ms=NOON_MS + 9_000), window="rolling-15m"))

    assert "newest reading 1 s ago" in text(view, now_ms=NOON_MS + 10_000)


def test_provisional_numbers_say_so():
    view = view_of(msgspec.structs.replace(reading(), provisional=True))

    assert "provisional: not all panes are there" in text(view)
    assert "Ana Ruiz ~" in text(view)


def test_transfers_and_inbound_calls_are_said_below_the_team():
    tally = {**TALLY, m.CALLS: 73, m.INBOUND_CALLS: 3, m.INBOUND_CONNECTED: 3}

    shown = text(view_of(reading("team:north", "Sales North", tally)))

    assert "  answered 100.0 % (n 3), abandoned 0.0 % (n 3), 73 legs of 70 calls" in shown.splitlines()


@pytest.mark.parametrize("columns", [140, 100, 80, 60])
def test_all_figures_fit_the_width(columns: int):
    targets = standing(CONNECT, TALK, CONVERSION)
    people = [reading(f"agent:{i}", f"Somebody Longname{i}", targets=targets) for i in range(4)]
    view = view_of(*people, reading("team:north", "Sales North", {n: 100 * v for n, v in TALLY.items()}))
    console = Console(width=columns, file=io.StringIO(), force_terminal=False)

    console.print(Screen(view, NOON_MS, BERLIN))

    lines = console.file.getvalue().splitlines()
    assert max(map(len, lines)) <= columns
    rows = [line for line in lines if line.startswith("  Somebod")]
    if columns >= 80:
        assert all(re.search(r"\(n? ?70\).*4:05 \(n? ?22\).*EUR.*\(n? ?12\)", row) for row in rows)
        assert len(rows) == 4


def test_where_lines_are_few_those_who_miss_a_target_stay():
    well = standing(msgspec.structs.replace(CONNECT, low=Fraction(1, 5)))
    people = [reading(f"agent:{i}", f"Agent {i:02}", targets=well) for i in range(40)]
    people[33] = reading("agent:33", "Agent 33", targets=standing(CONNECT))
    view = view_of(*people, reading("team:north", "Sales North"))

    lines = text(view, 120, height=14).splitlines()

    assert len(lines) == 14
    assert [line.split("  ")[1] for line in lines if line.startswith("  ")][1:] == [
        "Agent 00", "Agent 01", "Agent 02", "Agent 03", "Agent 33", "and 35 more",
    ]  # fmt: skip


def test_terminal_without_unicode_gets_other_signs():
    view = view_of(reading(targets=standing(CONNECT, TALK)))

    lines = Screen(view, NOON_MS, BERLIN).lines(120, ascii_only=True)

    assert "31.4 % (n 70) !" in lines[4].plain
    assert "4:05 (n 22) +" in lines[4].plain
    assert all(line.plain.isascii() for line in lines)


def test_picture_needs_nothing_from_anywhere():
    svg = capture_svg(Screen(view_of(reading()), NOON_MS, BERLIN), 100, "kpistream demo")

    assert svg.startswith("<svg") and "Ana&#160;Ruiz" in svg
    assert set(re.findall(r"https?://[^\"'\s)]+", svg)) <= {"http://www.w3.org/2000/svg", "https://www.textualize.io"}
    assert "@font-face" not in svg


# ---- plain lines


def test_line_leaves_out_what_there_is_nothing_of():
    shown = reading(tally={m.CALLS: 2, m.OUTBOUND_CALLS: 2}, targets=standing(CONNECT, tally={m.OUTBOUND_CALLS: 2}))

    assert reading_line(shown, "Europe/Berlin") == (
        "12:00:00 Ana Ruiz (north), business day: calls 2, connect 0.0 % (n 2) missed"
    )


def test_alert_has_a_line_of_its_own():
    assert alert_line(transition(), "Europe/Berlin") == (
        "12:00:00 alert MISSED: Ana Ruiz: connect share 25.0 % (n 60), target >= 30.0 %, business day"
    )


def test_agent_gets_a_line_at_most_every_interval_and_the_last_change_always():
    lines = PlainLines(View(), interval_ms=1000)

    def calls(count: int, at_ms: int) -> list[str]:
        shown = reading(tally={m.CALLS: count}, at_ms=NOON_MS + at_ms)
        return [line.rpartition(": ")[2] for line in lines.put_reading(shown, at_ms)]

    assert calls(1, 0) == ["calls 1"]
    assert calls(2, 400) == []
    assert calls(3, 800) == []
    assert lines.due(900) == []
    assert [line.rpartition(": ")[2] for line in lines.due(1000)] == ["calls 3"]
    assert lines.due(2500) == []
    assert calls(4, 2600) == ["calls 4"]


def test_alerts_are_written_at_once_and_once():
    lines = PlainLines(View(Choice(agent="ana")))

    assert len(lines.put_transition(transition())) == 1
    assert lines.put_transition(transition()) == []
    assert lines.put_transition(transition(scope="agent:bo", alert_id="other")) == []


# ---- what people said


def ack(at_ms: int = NOON_MS, **said: object) -> Ack:
    return Ack(target="connect", tenant="acme", scope="agent:ana", by="eva", at_ms=at_ms, **said)


def test_alert_that_somebody_has_seen_says_so_on_the_screen():
    view = view_of(reading())
    view.note(transition())
    view.put_transition(transition())
    view.put_ack(ack(acked=1))
    assert "target >= 30.0 %  [acknowledged by eva]" in text(view)

    view.put_ack(ack(acked=1, snoozed_until_ms=NOON_MS + 5_400_000))
    assert "  [snoozed until 13:30, acknowledged by eva]" in text(view)
    assert "  [acknowledged by eva]" in text(view, now_ms=NOON_MS + 5_400_000), "the snooze has passed"


def test_graver_alert_is_still_the_one_that_was_acknowledged_and_one_that_fires_anew_is_not():
    view = View()
    graver = transition(3, NOON_MS + 2, from_state=State.FIRING)
    for each in (transition(2, NOON_MS), graver):
        view.note(each)
    view.put_transition(graver)
    view.put_ack(ack(acked=2))
    assert view.said(graver, NOON_MS) == (ack(acked=2), ("acknowledged",))

    over, anew = transition(4, NOON_MS + 3, to_state=State.OK, from_state=State.FIRING), transition(5, NOON_MS + 4)
    for each in (over, anew):
        view.note(each)
        view.put_transition(each)
        assert view.said(each, NOON_MS) is None
    assert view.said(graver, NOON_MS) is None, "others have followed"


def test_lines_say_what_people_say_of_what_is_not_over():
    lines = PlainLines(View(), "Europe/Berlin")
    assert lines.put_ack(ack(acked=1), NOON_MS) == [], "of an alert that is not shown"
    lines.put_transition(transition())
    assert lines.put_ack(ack(NOON_MS + 60_000, muted=True), NOON_MS) == [
        "12:01:00 muted by eva: Ana Ruiz: connect share 25.0 % (n 60), target >= 30.0 %, business day"
    ]
    assert lines.put_ack(ack(), NOON_MS) == [], "nothing holds any more"
    lines.put_transition(transition(2, to_state=State.OK))
    assert lines.put_ack(ack(muted=True), NOON_MS) == []
