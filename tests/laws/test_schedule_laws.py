"""Working time adds up exactly, absence of everything leaves nothing, and a day's pace ends at its prorated bound."""

from datetime import date, timedelta
from fractions import Fraction
from itertools import pairwise
from math import prod

from hypothesis import given, settings
from hypothesis import strategies as st

from kpistream.core.pace import pace, usual_curve
from kpistream.core.patterns import Absence, Assignment, HolidayCalendar, Hours, LocalSpan, Pattern
from kpistream.core.roster import Dated, Person, Roster, Tenant
from kpistream.core.schedules import Duty, Schedules, TenantSchedules
from kpistream.core.spans import Span, clip, length_ms, minus, union
from kpistream.core.windows import QUARTER_HOUR_MS, Window, business_day, day_start_ms, week

ZONES = ("UTC", "Europe/Berlin", "America/Havana", "America/St_Johns", "Australia/Lord_Howe", "Pacific/Apia")
FIRST_MS, LAST_MS = 1_262_304_000_000, 1_893_456_000_000  # 2010 to 2030
DAY_MS = 24 * 3_600_000
INSTANTS = st.integers(FIRST_MS, LAST_MS)
CHANGES = st.sampled_from(
    [1_774_746_000_000, 1_792_890_000_000, 1_325_239_200_000, 1_289_100_660_000]  # Berlin twice, Apia, St. John's
)
MOMENTS = st.one_of(INSTANTS, st.tuples(CHANGES, st.integers(-2 * DAY_MS, 2 * DAY_MS)).map(sum))
SHARES = st.fractions(Fraction(1, 10), 1, max_denominator=10)


@st.composite
def local_spans(draw) -> LocalSpan:
    begin = draw(st.integers(0, 1439))
    return LocalSpan(begin, begin + draw(st.integers(1, 1440)))


HOURS = st.builds(
    Hours,
    st.lists(local_spans(), max_size=3).map(tuple),
    st.lists(local_spans(), max_size=1).map(tuple),
)
PATTERNS = st.builds(Pattern, st.just("drawn"), st.lists(HOURS, min_size=7, max_size=7).map(tuple), st.booleans())
ASSIGNMENTS = st.builds(Assignment, PATTERNS, SHARES, SHARES)


@st.composite
def worlds(draw) -> tuple[Schedules, int]:
    """Schedules of Anna, and a moment."""
    moment_ms = draw(MOMENTS)
    active = draw(st.sampled_from((Dated(""), Dated("", moment_ms - 30 * QUARTER_HOUR_MS))))
    tenant = Tenant(
        "acme",
        draw(st.sampled_from(ZONES)),
        draw(st.sampled_from((0, 240, 1080))),
        people={"anna": Person("anna", active=active)},
    )
    around = date(1970, 1, 1) + timedelta(days=moment_ms // DAY_MS)
    days = st.integers(-2, 2).map(lambda days: around + timedelta(days=days))
    absences = draw(st.lists(st.tuples(MOMENTS, st.integers(1, 3 * DAY_MS)), max_size=2))
    known = TenantSchedules(
        {"tenant": (draw(ASSIGNMENTS),)} if draw(st.booleans()) else {},
        {"agent:anna": draw(st.dictionaries(days, HOURS, max_size=2))},
        {"anna": draw(st.dictionaries(days, HOURS, max_size=2))},
        {"tenant": (draw(ASSIGNMENTS),)},
        {"tenant": (HolidayCalendar("DE"),)},
        {"anna": tuple(Absence("anna", begin, begin + length) for begin, length in absences)},
    )
    return Schedules(Roster({"acme": tenant}), {"acme": known}), moment_ms


def window_of(known: Schedules, moment_ms: int, calendar=business_day):
    tenant = known.roster.tenants["acme"]
    return calendar(moment_ms, tenant.zone, tenant.day_starts_at_min)


@settings(max_examples=150, deadline=None)
@given(worlds(), st.integers(0, 3 * DAY_MS), st.integers(0, 3 * DAY_MS))
def test_adjacent_intervals_add_up_exactly(world, first_ms, second_ms):
    known, from_ms = world
    middle_ms, to_ms = from_ms + first_ms, from_ms + first_ms + second_ms

    def spans(begin_ms: int, end_ms: int):
        return known.working_spans("acme", "anna", begin_ms, end_ms)

    assert length_ms(spans(from_ms, to_ms)) == length_ms(spans(from_ms, middle_ms)) + length_ms(spans(middle_ms, to_ms))
    assert spans(from_ms, to_ms) == union((*spans(from_ms, middle_ms), *spans(middle_ms, to_ms)))


@settings(max_examples=150, deadline=None)
@given(worlds(), st.sampled_from((business_day, week)))
def test_a_plan_is_the_working_time_of_its_window(world, calendar):
    known, moment_ms = world
    window = window_of(known, moment_ms, calendar)

    plan = known.plan("acme", "anna", "business-day", window)

    assert union(stint.span for stint in plan.working) == known.working_spans("acme", "anna", *window)
    assert plan.working_ms() == length_ms(known.working_spans("acme", "anna", *window))
    assert plan.working_ms(moment_ms) == length_ms(known.working_spans("acme", "anna", window.from_ms, moment_ms))
    assert 0 <= plan.working_ms() <= plan.scheduled_ms() <= window.to_ms - window.from_ms
    assert known.duty("acme", "anna", moment_ms) is Duty.ON_SHIFT or not any(
        span.holds(moment_ms) for span in known.working_spans("acme", "anna", *window)
    )


@settings(max_examples=150, deadline=None)
@given(worlds(), st.integers(0, 1000))
def test_duty_is_the_same_until_it_says_so(world, thousandths):
    known, moment_ms = world

    duty, until_ms = known.duty_until("acme", "anna", moment_ms)

    assert moment_ms < until_ms <= moment_ms + 2 * DAY_MS + 4 * 3_600_000
    for at_ms in (moment_ms, until_ms - 1, moment_ms + (until_ms - 1 - moment_ms) * thousandths // 1000):
        assert known.duty("acme", "anna", at_ms) is duty


@settings(max_examples=100, deadline=None)
@given(worlds())
def test_absence_of_everything_leaves_nothing(world):
    known, moment_ms = world
    window = window_of(known, moment_ms)
    away = known.with_absences("acme", [Absence("anna", *window)])

    plan = away.plan("acme", "anna", "business-day", window)
    found = pace(Fraction(100), plan, moment_ms)

    assert away.working_spans("acme", "anna", *window) == ()
    assert (plan.working_ms(), found.prorated, found.expected) == (0, 0, 0)
    assert away.duty("acme", "anna", moment_ms).suspends


@settings(max_examples=150, deadline=None)
@given(worlds(), st.lists(st.integers(0, 9), min_size=1, max_size=40), st.integers(1, 1000))
def test_a_day_ends_at_its_prorated_bound_and_never_goes_back(world, counts, bound):
    known, moment_ms = world
    window = window_of(known, moment_ms)
    plan = known.plan("acme", "anna", "business-day", window)
    curve = usual_curve(counts)

    begun, now, ended = (pace(Fraction(bound), plan, at_ms, curve) for at_ms in (window.from_ms, moment_ms, window[1]))

    assert ended.expected == ended.prorated == begun.prorated == now.prorated
    assert begun.expected == 0
    assert 0 <= now.expected <= ended.expected <= bound
    assert bound * prod(factor.share for factor in ended.factors) == ended.prorated


@settings(max_examples=150, deadline=None)
@given(MOMENTS, st.sampled_from(ZONES), st.sampled_from((0, 240, 1080)), local_spans(), st.integers(1, 1000))
def test_the_parts_of_a_shift_ask_for_its_bound_wherever_a_day_ends(moment_ms, zone, day_starts_at_min, shift, bound):
    day = date(1970, 1, 1) + timedelta(days=moment_ms // DAY_MS)
    once_a_week = tuple(Hours((shift,)) if each == day.weekday() else Hours() for each in range(7))
    known = Schedules(
        Roster({"acme": Tenant("acme", zone, day_starts_at_min)}),
        {"acme": TenantSchedules({"tenant": (Assignment(Pattern("once a week", once_a_week)),)})},
    )
    starts_ms = [day_start_ms(day + timedelta(days=days), zone, day_starts_at_min) for days in range(-1, 4)]
    windows = [Window(*ends) for ends in pairwise(starts_ms)]

    asked = sum(
        pace(Fraction(bound), known.plan("acme", "anna", "business-day", window), window.to_ms).prorated
        for window in windows
        if window.from_ms < window.to_ms
    )

    assert asked == (bound if known.working_spans("acme", "anna", starts_ms[0], starts_ms[-1]) else 0)


SPANS = st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)).map(lambda ends: Span(*ends)), max_size=6)


@given(SPANS, SPANS, st.integers(0, 50), st.integers(0, 50))
def test_sets_of_spans_are_sets_of_instants(some, others, from_ms, to_ms):
    def instants(spans) -> set[int]:
        return {at_ms for span in spans for at_ms in range(*span)}

    left, right = union(some), union(others)

    assert instants(left) == instants(some)
    assert instants(minus(left, right)) == instants(some) - instants(others)
    assert instants(clip(left, from_ms, to_ms)) == instants(some) & set(range(from_ms, to_ms))
    assert length_ms(left) == len(instants(some))
    assert list(left) == sorted(left)
