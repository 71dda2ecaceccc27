"""The most specific bound that is in force holds, whatever the order of the settings, for as long as it says."""

from datetime import date, timedelta
from fractions import Fraction
from random import Random

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from kpistream.core.overrides import Override, Reach
from kpistream.core.ramps import Ramp, Season
from kpistream.core.resolution import possible, resolve
from kpistream.core.roster import ALWAYS_FROM_MS, ALWAYS_TO_MS, Dated, Person, Roster, Tenant
from kpistream.core.targets import Direction, Target
from kpistream.core.windows import business_date, day_start_ms

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
FIRST_MS = 1_772_323_200_000  # 2026-03-01
ZONES = ("UTC", "Europe/Berlin", "America/St_Johns", "Pacific/Auckland")
INSTANTS = st.integers(-4, 4 * 120).map(lambda quarter_days: FIRST_MS + quarter_days * 6 * HOUR_MS)
NAMES = {
    Reach.AGENT: ("anna", "bela"),
    Reach.TIER: ("new", "veteran"),
    Reach.TEAM: ("north", "south"),
    Reach.TENANT: ("acme", "other"),
}
SCOPES = st.sampled_from(("agent:anna", "agent:bela", "agent:stranger", "team:north", "tenant"))
SHARES = st.fractions(Fraction(1, 10), 2, max_denominator=10)


@st.composite
def spans(draw) -> tuple[int, int]:
    begin, end = sorted(draw(st.lists(INSTANTS, min_size=2, max_size=2, unique=True)))
    return draw(st.sampled_from((ALWAYS_FROM_MS, begin))), draw(st.sampled_from((ALWAYS_TO_MS, end)))


@st.composite
def histories(draw, names: tuple[str, ...]) -> tuple[Dated, ...]:
    change_ms, (first, second) = draw(INSTANTS), draw(st.permutations(names))
    return draw(
        st.sampled_from(
            ((), (Dated(first),), (Dated(first, to_ms=change_ms), Dated(second, change_ms)), (Dated(first, change_ms),))
        )
    )


@st.composite
def rosters(draw) -> Roster:
    people = {
        name: Person(
            name,
            teams=draw(histories(NAMES[Reach.TEAM])),
            tiers=draw(histories(NAMES[Reach.TIER])),
            active=draw(st.sampled_from((Dated(""), Dated("", draw(INSTANTS))))),
        )
        for name in NAMES[Reach.AGENT]
    }
    zone, starts_at = draw(st.sampled_from(ZONES)), draw(st.sampled_from((0, 240)))
    return Roster({"acme": Tenant("acme", zone, starts_at, people=people)})


@st.composite
def targets(draw) -> Target:
    overrides: list[Override] = []
    for _ in range(draw(st.integers(0, 8))):
        reach = draw(st.sampled_from(list(NAMES)))
        name = draw(st.sampled_from(NAMES[reach]))
        tenant = name if reach is Reach.TENANT else draw(st.sampled_from((None, "acme", "other")))
        found = Override(reach, name, Fraction(draw(st.integers(1, 99))), None, tenant, *draw(spans()))
        if not any(found.clashes(other) for other in overrides):
            overrides.append(found)
    seasons = [
        Season(f"s{number}", draw(SHARES), *draw(spans()), tuple(sorted(draw(st.sets(st.integers(3, 6), max_size=2)))))
        for number in range(draw(st.integers(0, 2)))
    ]
    ramp = Ramp(tuple(draw(st.lists(SHARES, max_size=4))))
    return Target(
        name="t",
        kpi="calls",
        window="business-day",
        direction=Direction.AT_LEAST,
        low=Fraction(100),
        overrides=tuple(overrides),
        ramp=ramp,
        seasons=tuple(seasons),
    )


WORLDS = st.tuples(targets(), rosters(), SCOPES, INSTANTS)


def naive_bound(target: Target, roster: Roster, scope: str, at_ms: int) -> Fraction:
    """The bound by asking one level after the other, the widest first, each overwriting what came before."""
    tenant = roster.tenants["acme"]
    kind, _, name = scope.partition(":")
    person = tenant.people.get(name) if kind == "agent" else None
    there_ms = at_ms
    if person is not None and at_ms < person.active.from_ms:
        there_ms = person.active.from_ms
    bound, named = target.low, False
    for level in ("tenant", "team", "tier", "agent"):
        if level == "tenant":
            own = "acme"
        elif level == "team" and kind == "team":
            own = name
        elif level == "team" and kind == "agent":
            own = "unassigned"
            for each in person.teams if person else ():
                if each.from_ms <= there_ms < each.to_ms:
                    own = each.value
        elif level == "tier" and person:
            own = next((each.value for each in person.tiers if each.from_ms <= there_ms < each.to_ms), "no tier")
        else:
            own = name if level == "agent" and kind == "agent" else "nobody"
        for override in target.overrides:
            mine = override.reach.value == level and override.name == own and override.tenant in (None, "acme")
            if mine and override.from_ms <= at_ms and at_ms < override.to_ms:
                bound, named = override.low, level == "agent"
    day = business_date(at_ms, tenant.zone, tenant.day_starts_at_min)
    for season in target.seasons:
        if season.from_ms <= at_ms < season.to_ms and (day.month in season.months or season.months == ()):
            bound *= season.share
    if person is not None and person.active.from_ms != ALWAYS_FROM_MS and not named:
        first = business_date(person.active.from_ms, tenant.zone, tenant.day_starts_at_min)
        for week, share in enumerate(target.ramp.shares):
            begins, ends = first + timedelta(7 * week), first + timedelta(7 * week + 7)
            if begins <= business_date(there_ms, tenant.zone, tenant.day_starts_at_min) < ends:
                bound *= share
    return bound


@settings(max_examples=300)
@given(WORLDS)
def test_two_ways_to_find_a_bound_agree(world):
    target, roster, scope, at_ms = world

    assert resolve(target, roster, "acme", scope, at_ms).target.low == naive_bound(target, roster, scope, at_ms)


@given(WORLDS)
def test_nothing_closer_is_in_force_than_what_holds(world):
    target, roster, scope, at_ms = world

    held = resolve(target, roster, "acme", scope, at_ms)

    ranks = [held.override.reach.rank, *(each.reach.rank for each in held.overridden)]
    assert ranks == sorted(set(ranks))
    assert all(each.from_ms <= at_ms < each.to_ms for each in (held.override, *held.overridden))
    assert [held.override, *held.overridden][-1].low == 100, "the target's own bound is the last resort"


@given(WORLDS, st.integers())
def test_the_order_of_the_settings_does_not_matter(world, seed):
    target, roster, scope, at_ms = world
    shuffled = list(target.overrides)
    Random(seed).shuffle(shuffled)

    one = resolve(target, roster, "acme", scope, at_ms)
    other = resolve(msgspec.structs.replace(target, overrides=tuple(shuffled)), roster, "acme", scope, at_ms)

    assert (one.override, one.factors, one.overridden) == (other.override, other.factors, other.overridden)


@given(WORLDS, st.floats(0, 1))
def test_what_is_found_holds_until_it_says(world, where):
    target, roster, scope, at_ms = world
    held = resolve(target, roster, "acme", scope, at_ms)

    assert held.at_ms == at_ms < held.until_ms
    last_ms = min(held.until_ms, at_ms + 300 * DAY_MS) - 1
    for later_ms in (last_ms, at_ms + int(where * (last_ms - at_ms))):
        later = resolve(target, roster, "acme", scope, later_ms)
        assert (later.target, later.override, later.bound_from) == (held.target, held.override, held.bound_from)


@given(WORLDS)
def test_every_bound_that_holds_was_foreseen(world):
    """What is checked when settings are read is all that may ever be judged by."""
    target, roster, scope, at_ms = world

    assert resolve(target, roster, "acme", scope, at_ms).target.low in {each.low for _, each in possible(target)}


@given(targets(), rosters(), SCOPES)
def test_a_day_of_a_month_is_the_tenants_own(target, roster, scope):
    """Seasons change at the start of the tenant's business day, not at midnight in UTC."""
    tenant = roster.tenants["acme"]
    begin_ms = day_start_ms(date(2026, 4, 1), tenant.zone, tenant.day_starts_at_min)
    season = Season("april", Fraction(1, 2), months=(4,))
    one = msgspec.structs.replace(target, seasons=(season,))

    found = [resolve(one, roster, "acme", scope, at_ms).factors for at_ms in (begin_ms - 1, begin_ms)]

    assert [sum(factor.detail == "april" for factor in factors) for factors in found] == [0, 1]
