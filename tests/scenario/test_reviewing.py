"""What history says of targets, on the real engine: results of periods that are over, longer windows to date.

Mon 3 March 2025                      Tue 4 March
00:00            12:00 (calls)  24:00   12:00: now
"""

import json
from collections.abc import Iterable

from msgspec import structs

from kpistream.core.alerts import Alert, Look, State, Subject, decode_transition, encode_transition, step
from kpistream.core.placing import Place
from kpistream.core.readings import About
from kpistream.core.results import Outcome, Result, encode_result
from kpistream.core.rows import PaneRow
from kpistream.core.settings import read_settings
from kpistream.core.targets import Why
from kpistream.history import writer
from kpistream.history.appending import Append, appends
from kpistream.history.bests import best_days
from kpistream.history.book import Book
from kpistream.history.queries import Span
from kpistream.history.result_reports import result_rows, result_table
from kpistream.history.reviewing import Reviewing
from kpistream.history.store import Store
from kpistream.history.writer import Appended
from kpistream.log.topics import Topics
from tests.scenario.history_events import NOON, PANE_MS, abandoned, call, facts, panes

HOUR = 3_600_000
DAY = 24 * HOUR
TUESDAY_NOON = NOON + DAY
SETTINGS = """
tenants:
  acme:
    teams: {north: {}, south: {}}
    people:
      ann: {team: [{team: north, to: 2025-03-05}, {team: south, from: 2025-03-05}], name: Ann Arbor}
      bob: {team: north}
      eve: {team: south}
schedules:
  patterns:
    office: {hours: {mon-fri: 08:00-16:00}}
  assigned: [{tenant: acme, pattern: office}]
"""
CALLS = "{name: calls, kpi: calls, window: business-day, bound: 3, false_alarms: 1 a week for 20}"
CONNECTS = "{name: connects, kpi: connect_share, window: week, bound: 50 %, minimum_sample: 4}"


def reviewing(*targets: str, more: str = "") -> Reviewing:
    listed = "".join(f"  - {target}\n" for target in targets)
    return Reviewing(read_settings({"all.yaml": SETTINGS + more + "targets:\n" + listed}), PANE_MS)


def fill(store: Store, *events: dict[str, object]) -> None:
    rows = [PaneRow(pane.place, PANE_MS, pane.version, dict(pane.tally)) for pane in panes(*events).values()]
    store.insert(writer.pane_insert(rows))


def made(agent: str, count: int, ended_ms: int = NOON + 60_000, **fields: object) -> list[dict[str, object]]:
    return [call(f"{agent}-{ended_ms}-{number}", agent, ended_ms, **fields) for number in range(count)]


def busy(agent: str, count: int, ended_ms: int = NOON + 60_000) -> list[dict[str, object]]:
    return made(agent, count, ended_ms, outcome="busy", answered_at=None, talk_ms=None)


def keep(store: Store, results: Iterable[Result]) -> None:
    """As the sink writes them."""
    topics = Topics()
    append: Append = appends(topics)[topics.results]
    records = [Appended(append.decode(encode_result(each)), topics.results, 0, n) for n, each in enumerate(results)]
    store.insert(append.insert(records))


def told(known: Reviewing, store: Store, now_ms: int, grace_ms: int = 0) -> list[Result]:
    """Everything that closes now and was not told."""
    until_ms = now_ms - grace_ms
    return [
        each for closing in known.closings(store, until_ms) for each in known.results(store, closing, until_ms, now_ms)
    ]


def to_date(known: Reviewing, store: Store, now_ms: int, name: str = "week") -> dict[Subject, Look]:
    return {
        subject: look
        for tenant, heard in known.tenants(store)
        for subject, look in known.looks(store, name, tenant, heard, now_ms)
    }


def outcomes(found: Iterable[Result], window_from_ms: int = NOON - 12 * HOUR) -> dict[str, tuple[str, object]]:
    return {each.scope: (str(each.outcome), each.value) for each in found if each.window_from_ms == window_from_ms}


def test_a_day_closes_for_everybody_who_worked_or_should_have(store: Store) -> None:
    fill(store, *made("ann", 3), *made("bob", 2), *made("zoe", 1))

    found = list(told(reviewing(CALLS), store, TUESDAY_NOON))
    assert outcomes(found) == {
        "agent:ann": ("met", 3.0),
        "agent:bob": ("missed", 2.0),
        "agent:eve": ("missed", 0.0),
        "agent:zoe": ("missed", 1.0),  # in no roster, but at work by the tenant's pattern
    }
    ann = next(each for each in found if each.result_id == f"calls/acme/agent:ann/business-day/{NOON - 12 * HOUR}")
    assert (ann.display_name, ann.team, ann.basis, ann.low) == ("Ann Arbor", "north", "shift", 3.0)
    assert ann.as_of_ms == TUESDAY_NOON
    assert outcomes(found, NOON - 36 * HOUR) == {}  # a Sunday


def test_days_before_the_first_call_of_a_tenant_are_nobodys_fault(store: Store) -> None:
    fill(store, *made("ann", 3))

    found = list(told(reviewing(CALLS), store, NOON + 2 * DAY, 0))
    assert {each.window_from_ms for each in found} == {NOON - 12 * HOUR, NOON + 12 * HOUR}
    assert outcomes(found, NOON + 12 * HOUR)["agent:ann"] == ("missed", 0.0)


def test_a_period_closes_when_its_grace_is_over(store: Store) -> None:
    fill(store, *made("ann", 3))
    midnight_ms = NOON + 12 * HOUR

    assert outcomes(told(reviewing(CALLS), store, midnight_ms + HOUR - 1, HOUR)) == {}
    assert "agent:ann" in outcomes(told(reviewing(CALLS), store, midnight_ms + HOUR, HOUR))


def test_what_was_told_is_told_again_only_when_it_has_changed(store: Store) -> None:
    fill(store, *made("ann", 3), *made("bob", 2))
    keep(store, told(reviewing(CALLS), store, TUESDAY_NOON))

    assert list(told(reviewing(CALLS), store, TUESDAY_NOON + HOUR, 0)) == []
    fill(store, *made("bob", 2), *made("bob", 1, NOON + 2 * HOUR))
    [late] = told(reviewing(CALLS), store, TUESDAY_NOON + HOUR, 0)
    assert (late.scope, late.outcome, late.value, late.as_of_ms) == ("agent:bob", Outcome.MET, 3, TUESDAY_NOON + HOUR)
    keep(store, [late])
    assert list(told(reviewing(CALLS), store, TUESDAY_NOON + 2 * HOUR, 0)) == []


def test_result_whose_events_have_moved_away_is_taken_back(store: Store) -> None:
    aim = "{name: connects, kpi: connect_share, window: business-day, bound: 50 %}"
    fill(store, *made("zoe", 3, NOON + 6 * HOUR))
    first = [each for each in told(reviewing(aim), store, TUESDAY_NOON) if each.scope == "agent:zoe"]
    assert [each.outcome for each in first] == [Outcome.MET]
    keep(store, told(reviewing(aim), store, TUESDAY_NOON))

    (place,) = {pane.place for pane in panes(*made("zoe", 3, NOON + 6 * HOUR)).values()}
    store.insert(writer.pane_insert([PaneRow(Place(place.key, place.start_ms), PANE_MS, 1 << 127, {})]))
    found = [each for each in told(reviewing(aim), store, TUESDAY_NOON) if each.scope == "agent:zoe"]
    assert [(each.outcome, each.reason, each.value) for each in found] == [(Outcome.TOO_LITTLE, Why.NO_CASES, None)]
    keep(store, found)
    assert [each for each in told(reviewing(aim), store, TUESDAY_NOON) if each.scope == "agent:zoe"] == []


def test_week_to_date_of_agents_teams_and_the_tenant(store: Store) -> None:
    """Ann moves on Wednesday: what she did before is north's, what she does then is south's."""
    fill(store, *busy("ann", 4), *made("bob", 4), *made("ann", 6, NOON + 2 * DAY))
    team = CONNECTS.replace("name: connects", "name: team-connects, scope: team")
    whole = CONNECTS.replace("name: connects", "name: all-connects, scope: tenant")

    found = to_date(reviewing(CONNECTS, team, whole), store, NOON + 3 * DAY)
    values = {subject.scope: look.judgement.value for subject, look in found.items()}
    counts = {scope: (value.numerator, value.denominator) for scope, value in values.items() if value is not None}
    assert counts == {
        "agent:ann": (6, 10),
        "agent:bob": (4, 4),
        "agent:eve": (0, 0),
        "team:north": (4, 8),
        "team:south": (6, 6),
        "tenant": (10, 14),
    }
    ann: Look = found[Subject("connects", "acme", "agent:ann")]
    assert (ann.window.from_ms, ann.window.to_ms) == (NOON - 12 * HOUR, NOON - 12 * HOUR + 7 * DAY)
    assert ann.judgement.reason is Why.WITHIN_BOUND
    assert found[Subject("connects", "acme", "agent:eve")].judgement.reason is Why.NO_CASES


def test_alert_of_a_week_names_events_out_of_history_and_the_agents_of_its_team_as_of_then(store: Store) -> None:
    """ann is in north on Tuesday and in south from Wednesday on; her calls of Wednesday are not north's."""
    wednesday = NOON + 2 * DAY + 60_000
    old, new = busy("ann", 7), busy("ann", 2, NOON + DAY + 60_000)
    lost, won = busy("ann", 4, wednesday), made("bob", 8, NOON + DAY + 60_000)
    fill(store, *old, *new, *lost, *won)
    store.insert(writer.fact_insert(facts(*old, *new, *lost, *won), PANE_MS))
    north = "{name: north, kpi: connect_share, window: week, bound: 60 %, scope: team, team: north}"
    known = reviewing(CONNECTS, north)
    looks = to_date(known, store, NOON + 2 * DAY + HOUR)

    def names(target: str, scope: str) -> list[str]:
        look = looks[Subject(target, "acme", scope)]
        transition = step(Alert(Subject(target, "acme", scope)), look, NOON + 2 * DAY + HOUR)
        assert transition is not None
        return known.explained(store, transition, look.target).contributor_names

    expected = [f"acme/pbx/call/ann-{wednesday}-{n}" for n in range(4)] + [f"acme/pbx/call/ann-{NOON + DAY + 60_000}-0"]
    assert names("connects", "agent:ann") == expected
    assert names("north", "team:north") == ["agent:ann"]
    transition = step(
        Alert(Subject("north", "acme", "team:north")), looks[Subject("north", "acme", "team:north")], NOON
    )
    assert transition is not None
    [ann] = known.explained(store, transition, known.judged["week"][1]).contributors
    assert (ann.numerator, ann.denominator) == (0, 9)


def test_count_of_a_week_is_held_against_the_time_at_work_so_far(store: Store) -> None:
    fill(store, *made("ann", 10), *made("bob", 1, TUESDAY_NOON + 1))
    aim = "{name: week, kpi: calls, window: week, bound: 500, false_alarms: 1 a week for 20}"

    found = to_date(reviewing(aim), store, TUESDAY_NOON)
    judgement = found[Subject("week", "acme", "agent:ann")].judgement
    assert judgement.due == (150, "shift")  # 12 of 40 hours
    assert judgement.reason is Why.BEHIND_PACE


def test_week_that_is_reached_is_told_once_over_a_new_review(store: Store) -> None:
    """Eve is ill for two of five days: of ten calls six are asked of her."""
    ill = "absences:\n  - {tenant: acme, agent: eve, from: 2025-03-06, to: 2025-03-08, reason: ill}\n"
    weekly = "{name: weekly, kpi: calls, window: week, bound: 10, false_alarms: 1 a week for 20}"
    fill(store, *made("ann", 9), *made("bob", 10), *made("eve", 6))
    review = reviewing(weekly, more=ill)
    [(tenant, heard)] = review.tenants(store)
    looks = list(review.looks(store, "week", tenant, heard, TUESDAY_NOON))

    log = [each for subject, look in looks for each in Book(review).stepped(subject, look, TUESDAY_NOON)]
    assert sorted((each.scope, each.reason, each.value, each.low, each.to_state) for each in log) == [
        ("agent:bob", Why.REACHED, 10, 10.0, State.OK),
        ("agent:eve", Why.REACHED, 6, 6.0, State.OK),
    ]
    anew = Book(review)
    for each in log:
        anew.take(decode_transition(encode_transition(each)))
    assert [each for subject, look in looks for each in anew.stepped(subject, look, TUESDAY_NOON + 1)] == []


def test_best_day_of_twelve_weeks_is_told_once_and_only_when_there_are_days_to_compare(store: Store) -> None:
    """Ann has more than on ten days before, Bob as many as once before, Eve had nine days, Zoe's best is long past."""
    known = reviewing(CALLS)
    fill(store, *made("ann", 5), *made("bob", 4), *made("eve", 9), *made("zoe", 3))
    today = {each.scope: each for each in told(known, store, NOON + 13 * HOUR)}

    def before(agent: str, days: int, count: int) -> Result:
        back = {"window_from_ms": NOON - 12 * HOUR - days * DAY, "window_to_ms": NOON + 12 * HOUR - days * DAY}
        id_ = f"calls/acme/agent:{agent}/business-day/{back['window_from_ms']}"
        return structs.replace(today[f"agent:{agent}"], result_id=id_, numerator=count, value=count, **back)

    past = [before(agent, days, 4 - days % 3) for agent in ("ann", "bob", "zoe") for days in range(1, 11)]
    past += [before("eve", days, 4) for days in range(1, 10)] + [before("ann", 85, 9), before("zoe", 20, 4)]
    keep(store, [*today.values(), *past])

    now_ms = NOON + 13 * HOUR
    found = list(best_days(store, "acme", known.settings.targets, now_ms))
    [best] = [each for subject, look in found for each in Book(known).praised(subject, look, now_ms)]
    assert (best.alert_id, best.reason) == ("calls.best/acme/agent:ann/1", Why.PERSONAL_BEST)
    assert (best.value, best.low, best.to_state, best.team) == (5, 4.0, State.OK, "north")
    anew = Book(known)
    anew.take(decode_transition(encode_transition(best)))
    assert [each for subject, look in found for each in anew.praised(subject, look, now_ms + 1)] == []
    assert list(best_days(store, "acme", known.settings.targets, now_ms + 2 * DAY)) == []
    assert list(best_days(store, "acme", reviewing(CALLS[:-1] + ", good_news: no}").settings.targets, now_ms)) == []


def test_best_day_is_compared_with_days_of_the_same_kpi_only(store: Store) -> None:
    """Targets `calls` and `won` were about each other's KPI until yesterday: one is no best day, one a best of 11."""
    won = "{name: won, kpi: deals_won, window: business-day, bound: 3, false_alarms: 1 a week for 20}"
    known = reviewing(CALLS, won)
    fill(store, *made("ann", 5))
    [today] = [
        each for each in told(known, store, NOON + 13 * HOUR) if (each.scope, each.target) == ("agent:ann", "calls")
    ]

    def before(days: int, target: str, kpi: str) -> Result:
        back = {"window_from_ms": NOON - 12 * HOUR - days * DAY, "window_to_ms": NOON + 12 * HOUR - days * DAY}
        id_ = f"{target}/acme/agent:ann/business-day/{back['window_from_ms']}"
        return structs.replace(today, result_id=id_, target=target, kpi=kpi, numerator=1, value=1, **back)

    keep(store, [today, *(before(days, "calls", "deals_won") for days in range(1, 11))])
    keep(store, [structs.replace(before(0, "won", "deals_won"), numerator=2, value=2)])
    keep(store, [before(days, "won", "calls") for days in range(12, 16)])
    keep(store, [before(days, "won", "deals_won") for days in range(1, 11)])

    found = list(best_days(store, "acme", known.settings.targets, NOON + 13 * HOUR))
    assert [subject.target for subject, _ in found] == ["won.best"]


def test_there_are_no_best_days_of_own_kpis_and_of_amounts(store: Store) -> None:
    """Their results do not say what they meant, and in which currency they are."""
    own = "kpis: {dials: {sum: outbound_calls, unit: calls, better: higher, description: d}}\n"
    [tried, amount] = [
        "{name: tried, kpi: dials, window: business-day, bound: 3, alerts: off}",
        "{name: amount, kpi: revenue, member: EUR, window: business-day, bound: 3, alerts: off}",
    ]
    known = reviewing(tried, amount, CALLS, more=own)
    fill(store, *made("ann", 5))
    [today] = [
        each for each in told(known, store, NOON + 13 * HOUR) if (each.scope, each.target) == ("agent:ann", "calls")
    ]
    for target, kpi in (("tried", "dials"), ("amount", "revenue"), ("calls", "calls")):
        for days in range(11):
            back = {"window_from_ms": NOON - 12 * HOUR - days * DAY, "window_to_ms": NOON + 12 * HOUR - days * DAY}
            id_ = f"{target}/acme/agent:ann/business-day/{back['window_from_ms']}"
            keep(store, [structs.replace(today, result_id=id_, target=target, kpi=kpi, numerator=11 - days, **back)])

    assert {target.name for target in known.settings.targets if target.good_news} == {"tried", "amount", "calls"}
    found = list(best_days(store, "acme", known.settings.targets, NOON + 13 * HOUR))
    assert [subject.target for subject, _ in found] == ["calls.best"]


def test_each_zone_has_its_own_day(store: Store) -> None:
    """Tokyo's Monday ends nine hours before that of UTC."""
    more = "  tokyo:\n    zone: Asia/Tokyo\n    people: {ken: {}}\n"
    text = SETTINGS.replace("schedules:", more + "schedules:") + f"targets:\n  - {CALLS}\n  - {CONNECTS}\n"
    known = Reviewing(read_settings({"all.yaml": text}), PANE_MS)
    fill(store, *made("ken", 1, NOON + 60_000, tenant="tokyo"))

    assert list(told(known, store, NOON + 3 * HOUR - 1)) == []
    [ken] = told(known, store, NOON + 3 * HOUR)
    assert (ken.scope, ken.outcome, ken.window_to_ms) == ("agent:ken", Outcome.MISSED, NOON + 3 * HOUR)
    looks = to_date(known, store, NOON)
    assert looks[Subject("connects", "tokyo", "agent:ken")].window.from_ms == NOON - 21 * HOUR


def test_target_without_alerts_closes_and_is_never_judged_to_date(store: Store) -> None:
    aim = "{name: repeat, kpi: calls, window: month, bound: 4, alerts: off}"
    fill(store, *made("bob", 1, NOON - 2 * DAY), *made("ann", 3))

    known = reviewing(aim)
    assert known.judged == {}
    april_ms = NOON + 30 * DAY
    [ann] = [each for each in told(known, store, april_ms) if each.scope == "agent:ann"]
    assert (ann.window, ann.outcome, ann.low) == ("month", Outcome.MISSED, 4.0)
    assert json.loads(encode_result(ann))["value"] == 3
    assert About("acme", "agent:ann", ann.team, ann.display_name).team == "south"


def test_later_settings_rewrite_nothing_that_was_closed(store: Store) -> None:
    fill(store, *made("ann", 4), *made("eve", 4))
    keep(store, told(reviewing(CALLS), store, TUESDAY_NOON))

    assert told(reviewing(CALLS.replace("bound: 3", "bound: 5")), store, TUESDAY_NOON) == []
    assert (
        told(reviewing(CALLS.replace("kpi: calls", "kpi: calls, team: north, tenant: acme")), store, TUESDAY_NOON) == []
    )
    absent = "absences: [{tenant: acme, agent: eve, from: 2025-03-03, to: 2025-03-04}]\n"
    assert told(reviewing(CALLS, more=absent), store, TUESDAY_NOON) == []

    fill(store, *made("eve", 4), *made("eve", 1, NOON + HOUR))
    [eve] = told(reviewing(CALLS.replace("bound: 3", "bound: 50")), store, TUESDAY_NOON)
    assert (eve.scope, eve.outcome, eve.value, eve.low) == ("agent:eve", Outcome.MET, 5, 3.0)


def test_correction_says_the_bound_that_it_was_judged_by(store: Store) -> None:
    share = "{name: connects, kpi: connect_share, window: business-day, bound: 50 %}"
    fill(store, *made("ann", 6), *busy("ann", 4, NOON + HOUR))
    keep(store, told(reviewing(share), store, TUESDAY_NOON))
    raised, other = share.replace("50 %", "70 %"), share.replace("connect_share", "too_short_share")
    assert told(reviewing(raised), store, TUESDAY_NOON) == []
    assert told(reviewing(other), store, TUESDAY_NOON) == []

    fill(store, *made("ann", 6), *made("ann", 1, NOON + 2 * HOUR))
    [ann] = told(reviewing(raised), store, TUESDAY_NOON)
    assert (ann.outcome, ann.low, ann.numerator, ann.denominator) == (Outcome.MET, 0.5, 7, 11)


def test_correction_outlives_a_clock_that_was_ahead(store: Store) -> None:
    fill(store, *made("ann", 2))
    keep(store, told(reviewing(CALLS), store, TUESDAY_NOON + HOUR))
    fill(store, *made("ann", 2), *made("ann", 1, NOON + HOUR))

    found = [each for each in told(reviewing(CALLS), store, TUESDAY_NOON) if each.scope == "agent:ann"]
    assert [(each.outcome, each.as_of_ms) for each in found] == [(Outcome.MET, TUESDAY_NOON + HOUR + 1)]
    keep(store, found)
    assert [each for each in told(reviewing(CALLS), store, TUESDAY_NOON) if each.scope == "agent:ann"] == []


TOKYO = """
tenants:
  acme:
    teams: {utc: {}, tokyo: {zone: Asia/Tokyo}}
    people:
      old: {team: utc}
      hired: {team: tokyo, from: 2025-03-03}
      mover: {team: [{team: utc, to: 2025-03-03}, {team: tokyo, from: 2025-03-03}]}
"""


def test_who_changes_zones_has_one_window_a_period(store: Store) -> None:
    """Hired into another zone, or moved there, on the first day of the week."""
    aim = CONNECTS.replace("minimum_sample: 4", "minimum_sample: 1")
    known = Reviewing(read_settings({"all.yaml": TOKYO + f"targets:\n  - {aim}\n"}), PANE_MS)
    fill(store, *(event for name in ("old", "hired", "mover") for event in made(name, 2)))
    week_ms, next_monday_ms = NOON - 12 * HOUR, NOON + 7 * DAY

    begins = {subject.scope: look.window.from_ms for subject, look in to_date(known, store, NOON + DAY).items()}
    assert begins == {"agent:old": week_ms, "agent:hired": week_ms - 9 * HOUR, "agent:mover": week_ms - 9 * HOUR}
    closed = {each.scope: each.window_from_ms for each in told(known, store, next_monday_ms)}
    assert closed == begins


def test_result_of_a_zone_that_somebody_has_left_is_taken_back(store: Store) -> None:
    text = TOKYO + "targets:\n  - " + CONNECTS.replace("minimum_sample: 4", "minimum_sample: 1") + "\n"
    fill(store, *made("old", 2))
    next_monday_ms = NOON + 7 * DAY
    keep(store, told(Reviewing(read_settings({"all.yaml": text}), PANE_MS), store, next_monday_ms))

    moved = Reviewing(read_settings({"all.yaml": text.replace("old: {team: utc}", "old: {team: tokyo}")}), PANE_MS)
    found = {each.window_from_ms: each.outcome for each in told(moved, store, next_monday_ms)}
    assert found == {NOON - 12 * HOUR: Outcome.TOO_LITTLE, NOON - 21 * HOUR: Outcome.MET}


def test_somebody_hired_within_a_week_is_judged_in_the_team_that_they_are_in(store: Store) -> None:
    people = "      new: {team: north, from: 2025-03-04}\n      gone: {team: south, to: 2025-03-05}\n"
    text = SETTINGS.replace("      eve: {team: south}\n", people)
    aim = CONNECTS.replace("name: connects", "name: connects, tenant: acme, team: north")
    south = CONNECTS.replace("name: connects", "name: south, tenant: acme, team: south")
    known = Reviewing(read_settings({"all.yaml": f"{text}targets:\n  - {aim}\n  - {south}\n"}), PANE_MS)
    fill(store, *made("new", 4, NOON + DAY), *made("gone", 4))

    found = {
        (subject.target, subject.scope): look.team for subject, look in to_date(known, store, NOON + 3 * DAY).items()
    }
    assert found == {
        ("connects", "agent:new"): "north",
        ("connects", "agent:bob"): "north",
        ("south", "agent:ann"): "south",
        ("south", "agent:gone"): "south",
    }
    closed = {(each.target, each.scope) for each in told(known, store, NOON + 7 * DAY) if each.value is not None}
    assert closed == {("connects", "agent:new"), ("south", "agent:gone")}


def test_tenant_that_has_just_begun_is_not_behind(store: Store) -> None:
    """On target since the first call, a Thursday: the week and the month before are nobody's fault."""
    fill(store, *made("ann", 4, NOON + 3 * DAY))
    aim = "{name: week, kpi: calls, window: week, bound: 500, false_alarms: 1 a week for 20}"

    assert to_date(reviewing(aim), store, NOON + 4 * DAY) == {}


def test_source_that_is_silent_lets_nobody_fall_behind(store: Store) -> None:
    """The last call of anybody was at noon on Monday: what was due by then is all that is expected."""
    fill(store, *made("ann", 50))
    aim = "{name: week, kpi: calls, window: week, bound: 500, false_alarms: 1 a week for 20}"

    judgement = to_date(reviewing(aim), store, NOON + 3 * DAY)[Subject("week", "acme", "agent:ann")].judgement
    assert judgement.due is not None and 50 <= judgement.due.expected <= 52
    assert judgement.reason in (Why.ON_PACE, Why.EVIDENCE_OPEN)


def test_panes_count_for_the_team_of_their_time_whoever_moves(store: Store) -> None:
    """Two movers with edges of their own, a queue that changes hands, and a tenant's sum that has everything."""
    orders = "{team: [{team: north, to: 2025-03-06}, {team: south, from: 2025-03-06}]}"
    queues = f"    queues: {{orders: {orders}}}\n"
    text = SETTINGS.replace("    people:\n", queues + "    people:\n")
    text = text.replace(
        "bob: {team: north}", "bob: {team: [{team: south, to: 2025-03-04}, {team: north, from: 2025-03-04}]}"
    )
    aim = "{name: made, kpi: calls, window: week, bound: 1, alerts: off, scope: SCOPE}"
    targets = "".join(f"  - {aim.replace('SCOPE', scope).replace('made', scope)}\n" for scope in ("team", "tenant"))
    known = Reviewing(read_settings({"all.yaml": f"{text}targets:\n{targets}"}), PANE_MS)
    fill(
        store,
        *made("ann", 1), *made("ann", 2, NOON + 2 * DAY),
        *made("bob", 4), *made("bob", 8, NOON + DAY),
        abandoned("q1", "orders", NOON),
        abandoned("q2", "orders", NOON + 3 * DAY), abandoned("q3", "orders", NOON + 3 * DAY),
    )  # fmt: skip

    found = {each.scope: each.value for each in told(known, store, NOON + 7 * DAY)}
    assert found == {"team:north": 1 + 8 + 1, "team:south": 2 + 4 + 2, "tenant": 18}


def test_report_counts_how_periods_closed(store: Store) -> None:
    share = "{name: connects, kpi: connect_share, window: business-day, bound: 50 %, minimum_sample: 2}"
    known = reviewing(CALLS, share)
    fill(store, *made("ann", 3), *made("ann", 1, NOON + DAY), *busy("bob", 4, NOON + DAY))
    keep(store, told(known, store, NOON + 2 * DAY))

    found = result_rows(store, Span())
    rows = {(row.target, row.scope): (row.met, row.missed, row.too_little, row.share) for row in found}
    assert rows[("calls", "agent:ann")] == (1, 1, 0, 0.5)
    assert rows[("connects", "agent:ann")] == (1, 0, 1, 1.0)
    assert rows[("connects", "agent:eve")] == (0, 0, 2, None)
    [only] = result_rows(store, Span(NOON + 12 * HOUR, None, "acme"), "connects")[1:2]
    assert (only.scope, only.missed) == ("agent:bob", 1)
    table = result_table(result_rows(store, Span(), "connects")).splitlines()
    assert table[0].split()[:4] == ["tenant", "scope", "name", "target"]
    assert table[1].endswith("100% (n 1)") and table[3].endswith("  -")
