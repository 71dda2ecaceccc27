"""Own KPIs in use: readings, targets, alerts and their words, results, and KPIs by the hour."""

from datetime import datetime
from fractions import Fraction
from types import SimpleNamespace

import msgspec

from kpistream.core import measures as m
from kpistream.core.alerts import State, Transition, decode_transition, encode_transition
from kpistream.core.days import Day
from kpistream.core.explanation import explained
from kpistream.core.own_kpis import Shape
from kpistream.core.readings import About, OwnValue, Reading, decode_reading, encode_reading
from kpistream.core.results import Outcome, close, close_again, corrected, result
from kpistream.core.settings import read_settings
from kpistream.core.suggesting import Suggestion, Wanted
from kpistream.core.tallies import NOTHING, pack_tally
from kpistream.core.windows import BUSINESS_DAY, Window
from kpistream.notify.languages import Language
from kpistream.notify.wording import value as value_words
from kpistream.stream.judging import AGENT_KINDS, Bench
from kpistream.stream.live import LiveWindows, scope_window
from kpistream.watching.figures import alert_words, own_figures
from kpistream.watching.plain import reading_line

PANE_MS = 300_000
HOUR_MS = 3_600_000
SETTINGS = read_settings(
    {
        "settings.yaml": """
tenants:
  acme:
    zone: Europe/Berlin
    teams: {north: {}}
    people: {ann: {team: north}}
schedules:
  patterns: {mornings: {hours: {mon-fri: 08:00-12:00}}}
  assigned: [{tenant: acme, team: north, pattern: mornings}]
kpis:
  good_length: {band: {from: 2 m, to: 10 m}, better: higher, description: neither short nor long}
  tempo: {per_hour: calls, better: higher, description: calls for each hour at work}
  per_call: {ratio: won_minor / calls, unit: minor units, better: higher, description: money for each call}
targets:
  - {name: good, kpi: good_length, window: business-day, bound: 60 %}
  - {name: quick, kpi: tempo, window: business-day, bound: "20", minimum_sample: 1 h}
"""
    }
)
GOOD, QUICK = SETTINGS.targets
SHORT = m.TALK_BIN + m.TALK_EDGES_MS.index(30_000)


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp()) * 1000


NOW_MS = at("2026-03-02T10:00:00+01:00")
DAY = Window(at("2026-03-02T00:00:00+01:00"), at("2026-03-03T00:00:00+01:00"))
TALLY = {m.CALLS: 30, m.CONNECTED: 10, SHORT: 10, m.WON_MINOR + 978: 60_000}


def look(tally: m.Tally = TALLY, agent: str = "ann", now_ms: int = NOW_MS) -> tuple[Reading, list[Transition]]:
    """What a judge says of an agent with these sums so far."""
    key, start_ms = f"acme/agent:{agent}", NOW_MS - HOUR_MS
    live = LiveWindows(PANE_MS, scope_window(SETTINGS.roster, PANE_MS))
    panes = {start_ms: pack_tally(tally)}
    source = SimpleNamespace(starts_of=lambda key: panes, packed_at=lambda key, ms: panes.get(ms, NOTHING))
    live.look(now_ms, [(key, start_ms)], source)
    bench = Bench(SETTINGS, lambda key, now_ms: About("acme", f"agent:{agent}", "north", agent.title()), AGENT_KINDS)
    bench.load(())
    (reading,), transitions = bench.look(live, [(key, BUSINESS_DAY)], now_ms, 0)
    return reading, transitions


def test_a_reading_has_own_kpis_apart_from_the_catalogue() -> None:
    reading, _ = look()

    assert reading.own == {
        "good_length": OwnValue(0.0, 0, 10, "band", "share"),
        "tempo": OwnValue(15.0, 30, 2 * HOUR_MS, "per_hour", "calls per hour"),
        "per_call/EUR": OwnValue(2000.0, 60_000, 30, "ratio", "minor units"),
    }
    assert not reading.own.keys() & reading.kpis.keys()
    assert "scheduled_ms" not in reading.measures
    assert decode_reading(encode_reading(reading)) == reading


def test_a_reading_of_the_former_release_is_still_read() -> None:
    content = msgspec.json.decode(encode_reading(look()[0]))
    del content["own"]

    assert decode_reading(msgspec.json.encode(content)).own == {}


def test_watch_shows_own_kpis() -> None:
    reading, _ = look()

    assert own_figures(reading) == {
        "good length": "0.0 % (n 10)",
        "tempo": "15.00 (2:00:00)",
        "per call": "20 EUR (n 30)",
    }
    assert reading_line(reading, "Europe/Berlin").endswith(
        "good length 0.0 % (n 10), tempo 15.00 (2:00:00), per call 20 EUR (n 30)"
    )


def test_targets_on_own_kpis_fire_and_their_alerts_say_unit_and_formula() -> None:
    _, (good, quick) = look()

    assert (good.target, good.to_state, good.shape) == (
        "good",
        State.FIRING,
        Shape("band", "share", "talk_bin[120 s to 600 s] / connected"),
    )
    assert (quick.numerator, quick.denominator, quick.value) == (30, 2 * HOUR_MS, 15.0)
    assert decode_transition(encode_transition(quick)) == quick
    assert explained(quick).unit == "calls per hour"
    assert explained(quick).formula == "calls / scheduled hour"
    assert value_words(explained(good), Language("en", "UTC")) == "0% (0 of 10)"
    assert value_words(explained(quick), Language("en", "UTC")) == "15 (30 in 120 min 0 s at work)"
    assert alert_words(quick) == "Ann: tempo 15.00 (2:00:00), target >= 20.00, business day"


def test_nobody_is_judged_by_the_hour_without_a_schedule_or_in_the_first_hour() -> None:
    _, unknown = look(agent="guest")
    _, early = look(now_ms=at("2026-03-02T08:59:00+01:00"))

    assert [each.target for each in unknown] == ["good"]
    assert [each.target for each in early if each.target == "quick"] == []


def test_a_target_by_the_hour_closes_over_the_whole_shift_and_again_over_what_was_told() -> None:
    plan = SETTINGS.schedules.plan("acme", "ann", BUSINESS_DAY, DAY)
    about = About("acme", "agent:ann", "north", "Ann")

    judgement = close(QUICK, {m.CALLS: 79}, plan=plan)
    assert judgement is not None
    told = result(QUICK, judgement, about, DAY, DAY.to_ms)
    again = corrected(told, close_again(QUICK, told, {m.CALLS: 80}), DAY.to_ms + 1)

    assert (told.outcome, told.value, told.denominator) == (Outcome.MISSED, 19.75, 4 * HOUR_MS)
    assert (again.outcome, again.value, again.denominator) == (Outcome.MET, 20.0, 4 * HOUR_MS)


def test_nothing_done_on_a_shift_is_none_by_the_hour_and_missed() -> None:
    judgement = close(QUICK, {}, plan=SETTINGS.schedules.plan("acme", "ann", BUSINESS_DAY, DAY))

    assert judgement is not None and judgement.value is not None
    assert (judgement.verdict, judgement.value.value) == ("missed", 0.0)


def test_a_target_by_the_hour_is_suggested_with_an_hour_as_its_sample() -> None:
    suggestion = Suggestion(SETTINGS, Wanted("tempo", "acme"))

    suggestion.take(Day("acme", "agent:ann", DAY, {m.CALLS: 40}))

    lines = list(suggestion.lines())
    assert "    minimum_sample: 1 h" in lines
    assert '    bound: "10"' in lines
    assert Fraction(10) == Fraction(40 * HOUR_MS, 4 * HOUR_MS)
