"""Days on the floor, told: who is alarmed, when, and who is not."""

import pytest

from kpistream.core.alerts import Transition
from kpistream.core.settings import read_settings
from kpistream.core.targets import Why
from tests.scenario.story import Story, tell
from tests.unit.test_schedules import at

FLOOR = """
tenants:
  acme:
    zone: Europe/Berlin
    teams: {north: {}}
    people:
      ann: {team: north}
      bob: {team: north, tier: veteran}
schedules:
  patterns:
    office: {hours: {mon-fri: 09:00-17:00}, breaks: {mon-fri: 12:30-13:00}}
  assigned: [{tenant: acme, pattern: office}]
"""
CONNECTS = """
targets:
  - {name: connects, kpi: connect_share, window: business-day, bound: 30 %, minimum_sample: 20,
     false_alarms: 1 a week for 20}
"""
CALLS = """
targets:
  - {name: calls, kpi: calls, window: business-day, bound: 96, false_alarms: 1 a week for 20}
"""
POINT = """
targets:
  - {name: hour, kpi: connect_share, window: rolling-60m, bound: 30 %, recover: 40 %, critical: 10 %,
     minimum_sample: 10, hold: 5 m, recover_hold: 5 m}
"""


def test_agent_who_slips_is_alarmed_and_bad_luck_is_not():
    """Ann connects a third until noon and nobody after it; Bob has a bad hour at noon and goes on as before."""
    story = tell(
        FLOOR + CONNECTS,
        """
        on 2026-03-02 in Europe/Berlin
        from 09:00 to 12:00 ann has 3 calls every 10 m, 1 connected
        from 09:00 to 12:00 bob has 3 calls every 10 m, 1 connected
        from 12:00 to 17:00 ann has 3 calls every 10 m, 0 connected
        from 12:00 to 12:30 bob has 3 calls every 10 m, 0 connected
        from 13:00 to 17:00 bob has 3 calls every 10 m, 1 connected
        between 13:30 and 14:30 expect connects of ann firing because below-bound
        between 17:00 and 17:01 expect connects of ann suspended because off-shift
        never expect connects of bob firing
        """,
    )

    assert story.log[0].slip_from_ms == at("2026-03-02 11:00")  # noon in Berlin


def test_alert_outlives_a_kill_and_is_told_once():
    story = tell(
        FLOOR + CONNECTS,
        """
        on 2026-03-02 in Europe/Berlin
        from 09:00 to 11:00 ann has 3 calls every 5 m, 0 connected
        at 09:45 the worker is killed
        at 10:30 the worker is killed
        between 09:20 and 09:50 expect connects of ann firing
        at 10:31 expect connects of ann firing
        """,
    )

    assert [each.alert_id for each in story.log][:1] == ["connects/acme/agent:ann/1"]
    assert [str(each.to_state) for each in story.log] == ["firing", "suspended"]


def test_nobody_is_asked_for_calls_before_work_and_in_the_break():
    tell(
        FLOOR + CALLS,
        """
        on 2026-03-02 in Europe/Berlin
        from 09:00 to 12:30 ann has 2 calls every 10 m, 1 connected
        from 13:00 to 17:00 ann has 2 calls every 10 m, 1 connected
        at 08:59 expect calls of ann ok
        at 12:59 expect calls of ann ok
        at 16:59 expect calls of ann ok
        from 09:00 to 11:00 bob has 2 calls every 10 m, 1 connected
        between 11:30 and 12:30 expect calls of bob firing because behind-pace
        between 17:00 and 17:01 expect calls of bob suspended
        """,
    )


def test_levels_of_a_rolling_window():
    """Missed for five minutes it fires; critical when it gets worse; over when it is well back."""
    story = tell(
        FLOOR + POINT,
        """
        on 2026-03-02 in Europe/Berlin
        from 09:00 to 10:00 ann has 1 call every 2 m, 1 connected
        from 10:00 to 11:15 ann has 1 call every 2 m, 0 connected
        from 11:15 to 12:30 ann has 1 call every 2 m, 1 connected
        between 10:35 and 10:45 expect hour of ann pending because below-bound
        between 10:40 and 10:50 expect hour of ann firing because below-bound
        between 10:48 and 10:55 expect hour of ann firing because below-bound
        between 11:30 and 11:40 expect hour of ann recovering because within-bound
        between 11:40 and 11:45 expect hour of ann ok because within-bound
        """,
    )

    assert [(str(each.to_state), str(each.severity)) for each in story.log] == [
        ("pending", "warning"),
        ("firing", "warning"),
        ("firing", "critical"),
        ("recovering", "critical"),
        ("ok", "warning"),
    ]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("between 10:00 and 11:00 expect connects of ann firing", "it did not happen"),
        ("at 10:00 expect connects of ann firing", "it is ok"),
        ("ann is late", "nobody understands"),
    ],
)
def test_what_does_not_come_true_fails_the_story(line: str, said: str):
    with pytest.raises(AssertionError, match=said):
        tell(FLOOR + CONNECTS, f"on 2026-03-02 in Europe/Berlin\nat 09:10 ann has 10 calls, 5 connected\n{line}")


def test_firing_that_nobody_has_foretold_fails_the_story():
    with pytest.raises(AssertionError, match="nobody has foretold"):
        tell(FLOOR + CONNECTS, "on 2026-03-02 in Europe/Berlin\nat 09:10 ann has 60 calls, 0 connected")
    with pytest.raises(AssertionError, match="it happened"):
        tell(
            FLOOR + CONNECTS,
            "on 2026-03-02 in Europe/Berlin\nat 09:10 ann has 60 calls, 0 connected\n"
            "between 09:10 and 09:11 expect connects of ann firing\nnever expect connects of ann firing",
        )


def alerts_of(story: Story) -> list[Transition]:
    """What was told, without the good news."""
    return [each for each in story.log if each.reason is not Why.REACHED]


BOB_LATE = """
on 2026-03-02 in Europe/Berlin
from 09:00 to 11:00 bob has 2 calls every 10 m, 1 connected
from 09:00 to 17:00 ann has 3 calls every 10 m, 1 connected
between 12:20 and 12:30 expect calls of bob firing because behind-pace
"""


@pytest.mark.parametrize("killed", ["", "at 13:09 the worker is killed", "at 13:10 the worker is killed"])
def test_alert_was_never_true_when_calls_came_late(killed: str) -> None:
    story = tell(
        FLOOR + CALLS,
        f"""
        {BOB_LATE}
        {killed}
        at 13:10 bob had 12 calls at 11:00, 1 connected
        at 13:10 bob had 12 calls at 11:20, 1 connected
        between 13:10 and 13:11 expect calls of bob ok because corrected
        from 13:20 to 17:00 bob has 3 calls every 10 m, 1 connected
        at 16:59 expect calls of bob ok
        """,
    )

    fired, corrected = alerts_of(story)
    assert (corrected.corrects, corrected.told_at_ms, corrected.told_value) == (1, fired.at_ms, fired.value)
    assert (fired.value, corrected.value, corrected.expected) == (24, 48, fired.expected)
    assert (corrected.from_state, corrected.sequence, corrected.window_from_ms) == ("firing", 2, fired.window_from_ms)


def test_few_late_calls_leave_an_alert_true():
    tell(
        FLOOR + CALLS,
        f"""
        {BOB_LATE}
        at 13:10 bob had 2 calls at 11:00, 1 connected
        at 13:15 expect calls of bob firing
        between 17:00 and 17:01 expect calls of bob suspended because off-shift
        """,
    )


def test_alert_that_is_over_is_corrected_too():
    """Bob catches up at two; at three it comes out that he was never behind. Nothing else that was told changes."""
    story = tell(
        FLOOR + CALLS,
        f"""
        {BOB_LATE}
        at 14:00 bob has 60 calls, 1 connected
        between 14:00 and 14:01 expect calls of bob ok because on-pace
        at 15:00 bob had 12 calls at 11:00, 1 connected
        at 15:00 bob had 24 calls at 11:20, 1 connected
        between 15:00 and 15:01 expect calls of bob ok because corrected
        """,
    )

    assert [(str(each.from_state), str(each.to_state), each.corrects) for each in alerts_of(story)] == [
        ("ok", "firing", None),
        ("firing", "ok", None),
        ("ok", "ok", 1),
    ]


def test_alert_that_became_true_later_is_not_corrected():
    """With the late calls he would not have fired at noon, but by two he was behind all the same."""
    story = tell(
        FLOOR + CALLS,
        f"""
        {BOB_LATE}
        at 14:30 bob has 60 calls, 1 connected
        between 14:30 and 14:31 expect calls of bob ok because on-pace
        at 15:00 bob had 8 calls at 10:50, 1 connected
        """,
    )

    assert [str(each.reason) for each in alerts_of(story)] == ["behind-pace", "on-pace"]


def test_late_calls_after_work_correct_an_alert_that_rests():
    tell(
        FLOOR + CALLS,
        """
        on 2026-03-02 in Europe/Berlin
        from 09:00 to 11:00 bob has 2 calls every 10 m, 1 connected
        from 09:00 to 17:00 ann has 3 calls every 10 m, 1 connected
        between 12:20 and 12:30 expect calls of bob firing because behind-pace
        between 17:00 and 17:01 expect calls of bob suspended because off-shift
        at 18:00 bob had 24 calls at 11:20, 1 connected
        at 18:00 bob had 60 calls at 13:20, 1 connected
        between 18:00 and 18:01 expect calls of bob ok because corrected
        at 23:59 expect calls of bob ok
        """,
    )


def test_correction_back_and_forth_ends_in_what_the_corrected_numbers_give():
    story = tell(
        FLOOR + CONNECTS,
        """
        on 2026-03-02 in Europe/Berlin
        from 09:00 to 10:00 ann has 6 calls every 5 m, 2 connected
        at 10:00 ann loses 24 connected
        between 10:00 and 10:01 expect connects of ann firing because below-bound
        at 10:10 ann regains what was lost
        between 10:10 and 10:11 expect connects of ann ok because corrected
        at 10:20 ann loses 24 connected
        between 10:20 and 10:21 expect connects of ann firing because below-bound
        at 10:30 ann regains what was lost
        between 10:30 and 10:31 expect connects of ann ok because corrected
        at 12:00 expect connects of ann ok
        """,
    )

    assert [each.corrects for each in story.log] == [None, 1, None, 3]


def test_alert_that_goes_on_because_it_is_not_far_enough_back_was_true_when_it_began():
    """The call that comes late is judged with what fired at half past ten, not with what went on at noon."""
    story = tell(
        FLOOR + POINT,
        """
        on 2026-03-02 in Europe/Berlin
        from 09:00 to 10:00 ann has 1 call every 2 m, 1 connected
        from 10:00 to 11:15 ann has 1 call every 2 m, 0 connected
        from 11:15 to 11:38 ann has 1 call every 2 m, 1 connected
        at 11:40 ann has 10 calls, 0 connected
        at 11:44 ann has 2 calls, 0 connected
        from 12:00 to 17:00 ann has 1 call every 2 m, 1 connected
        between 10:35 and 10:50 expect hour of ann firing because below-bound
        between 10:48 and 10:55 expect hour of ann firing because below-bound
        between 11:30 and 11:45 expect hour of ann recovering because within-bound
        between 11:35 and 11:45 expect hour of ann firing because near-bound
        at 11:42 ann had 1 call at 11:20, 1 connected
        at 11:43 expect hour of ann firing
        """,
    )

    assert "corrected" not in {str(each.reason) for each in story.log}


def test_other_settings_correct_no_alert():
    """Calls of 30 s are no longer too short: what was told by the old limit was true by it."""
    short = "targets:\n  - {name: short, kpi: too_short_share, window: business-day, bound: 20 %, minimum_sample: 5}\n"
    story = tell(
        FLOOR + short,
        """
        on 2026-03-02 in Europe/Berlin
        at 09:00 ann has 10 calls, 10 connected of 30 s
        between 09:00 and 09:01 expect short of ann firing because above-bound
        """,
    )
    limits = FLOOR.replace("    zone:", "    limits: {too_short: 20 s}\n    zone:")
    later = Story(read_settings({"settings.yaml": limits + short}), log=list(story.log))

    later.play(
        """
        on 2026-03-02 in Europe/Berlin
        at 09:00 ann has 10 calls, 10 connected of 30 s
        between 09:00 and 09:01 expect short of ann firing because above-bound
        at 10:00 ann had 1 call at 09:00, 0 connected
        """
    )
    assert Why.CORRECTED not in {each.reason for each in later.log}


def test_what_happens_after_an_alert_does_not_make_it_untrue():
    """Ann's next calls in the very pane are good; nothing came late."""
    tell(
        FLOOR + CONNECTS,
        """
        on 2026-03-02 in Europe/Berlin
        from 09:00 to 10:00 ann has 3 calls every 5 m, 0 connected
        between 09:20 and 10:00 expect connects of ann firing because below-bound
        at 09:57 ann has 30 calls, 30 connected
        at 11:00 ann had 1 call at 09:05, 0 connected
        between 09:57 and 09:58 expect connects of ann ok because within-bound
        at 12:00 expect connects of ann ok
        """,
    )


def test_target_that_is_reached_is_told_once_a_day_by_what_the_day_asks_for():
    """Ann has 96 calls by four, Bob works half a day and has his 45 by noon; kills tell nothing anew."""
    half = "absences:\n  - {tenant: acme, agent: bob, from: 2026-03-02T13:00+01:00, to: 2026-03-03}\n"
    story = tell(
        FLOOR + CALLS + half,
        """
        on 2026-03-02 in Europe/Berlin
        from 09:00 to 17:00 ann has 2 calls every 10 m, 1 connected
        at 15:00 ann has 10 calls, 1 connected
        from 09:00 to 12:30 bob has 3 calls every 10 m, 1 connected
        at 12:20 the worker is killed
        at 16:30 the worker is killed
        at 16:40 ann has 5 calls, 1 connected
        never expect calls of ann firing
        """,
    )

    assert [(each.scope, str(each.to_state), str(each.reason), each.low) for each in story.log] == [
        ("agent:bob", "ok", "reached", 44.8),
        ("agent:ann", "ok", "reached", 96.0),
    ]
    assert [each.value for each in story.log] == [45, 96]


def test_target_that_says_so_and_one_of_a_team_tell_no_good_news():
    story = tell(
        FLOOR + CALLS.replace("bound: 96", "bound: 5, good_news: no"),
        """
        on 2026-03-02 in Europe/Berlin
        from 09:00 to 17:00 ann has 2 calls every 10 m, 1 connected
        from 09:00 to 17:00 bob has 2 calls every 10 m, 1 connected
        """,
    )

    assert story.log == []
