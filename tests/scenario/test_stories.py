"""Days on the floor, told: who is alarmed, when, and who is not."""

import pytest

from tests.scenario.story import tell
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
