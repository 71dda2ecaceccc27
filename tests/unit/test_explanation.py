"""Explanations: what a person is told of a transition follows from the transition alone."""

import math
import shlex

import pytest

from kpistream.core.alerts import State
from kpistream.core.explanation import Happened, Next, chance_days, explained
from kpistream.core.targets import Why
from tests.unit.telling import NOON_MS, transition


def test_slip_says_value_with_its_fraction_bound_evidence_and_command() -> None:
    found = explained(transition())

    assert (found.happened, found.who, found.team) == (Happened.SLIPS, "Anna Berg", "north")
    assert (found.value, found.numerator, found.denominator, found.low) == (0.15, 24, 160, 0.25)
    assert (found.chance_days, found.alarm_days) == (730, 100)
    assert found.next is Next.OVER_WHEN_MET
    assert found.ack_command == 'kpistream alerts ack connects/acme/agent:anna/1 --note "..."'


def test_command_of_an_agent_with_a_strange_id_survives_the_shell() -> None:
    found = explained(transition(scope="agent:o'neil; rm *"))

    assert found.ack_command is not None
    assert shlex.split(found.ack_command)[3] == "connects/acme/agent:o'neil; rm */1"


@pytest.mark.parametrize(
    ("against", "days"),
    [
        (math.log(100), 100),
        (math.log(99), 99),
        (math.log(1999), 1900),
        (math.log(700.5), 700),
        (2000.0, 1_000_000),
        (0.0, None),
        (-1.0, None),
        (None, None),
    ],
)
def test_chance_is_never_said_to_be_smaller_than_it_is(against: float | None, days: int | None) -> None:
    assert chance_days(transition(against=against)) == days


def test_evidence_of_a_target_that_is_met_says_nothing() -> None:
    assert explained(transition(2, State.OK)).chance_days is None


def test_no_data_and_suspended_never_read_as_recovered() -> None:
    unknown, rests = explained(transition(2, State.NO_DATA)), explained(transition(2, State.SUSPENDED))

    assert (unknown.happened, unknown.next, unknown.resumes) == (Happened.UNKNOWN, Next.GOES_ON_WITH_DATA, State.FIRING)
    assert (rests.happened, rests.next, rests.resumes) == (Happened.RESTS, Next.GOES_ON_AT_WORK, State.FIRING)


def test_only_a_number_that_meets_its_target_has_recovered() -> None:
    assert explained(transition(2, State.OK)).happened is Happened.RECOVERED
    assert explained(transition(2, reason=Why.NO_CASES, value=None)).happened is Happened.GOES_ON
    assert explained(transition(2, reason=Why.NEAR_BOUND)).happened is Happened.GOES_ON
    assert explained(transition(2, State.OK, reason=Why.EVIDENCE_OPEN)).happened is Happened.ENDED
    assert explained(transition(2, State.OK, reason=Why.NO_CASES)).happened is Happened.ENDED


def test_target_that_left_the_settings_goes_on_with_nothing() -> None:
    assert explained(transition(2, State.SUSPENDED, reason=Why.NOT_COVERED)).next is Next.NOTHING


def test_pace_says_how_many_are_missing_and_that_no_shift_is_known() -> None:
    late = transition(kpi="calls", numerator=38, denominator=None, value=38, expected=45.5, basis="business-hours")
    by_shift = transition(kpi="calls", numerator=38, denominator=None, value=38, expected=45.5, basis="shift")

    assert (explained(late).expected, explained(late).behind, explained(late).no_shift_known) == (45.5, 7.5, True)
    assert explained(by_shift).no_shift_known is False
    assert explained(transition()).no_shift_known is False


def test_slip_after_a_hold_time_has_begun_with_it() -> None:
    held = transition(2, from_state=State.PENDING, since_ms=NOON_MS - 300_000)

    assert explained(held).since_ms == NOON_MS - 300_000
    recovered = transition(2, from_state=State.OK, since_ms=NOON_MS - 300_000)
    assert explained(recovered).since_ms == NOON_MS
    graver = transition(2, from_state=State.FIRING, since_ms=NOON_MS - 300_000)
    assert explained(graver).since_ms == NOON_MS - 300_000
    assert explained(transition(1, slip_from_ms=NOON_MS - 900_000)).since_ms == NOON_MS - 900_000


def test_kpi_that_this_version_does_not_know_is_told_by_its_name() -> None:
    found = explained(transition(kpi="complaints_per_hour", value=1.5, numerator=3, denominator=2))

    assert (found.kpi, found.unit, found.formula) == ("complaints_per_hour", "", "complaints_per_hour")
