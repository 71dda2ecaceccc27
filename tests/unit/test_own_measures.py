"""Own measures: their settings, and readings, targets and teams while they are counted for a part of a window only."""

import json
from pathlib import Path
from types import SimpleNamespace

import msgspec
import pytest

from kpistream.core import measures as m
from kpistream.core.alerts import State, Transition
from kpistream.core.event_predicates import Condition
from kpistream.core.kpis import Value, definition, evaluate
from kpistream.core.own_measures import measure_words
from kpistream.core.panes import PaneSum
from kpistream.core.partition import PartitionSettings
from kpistream.core.placing import Place
from kpistream.core.readings import NOTHING_YET, WHOLE, About, OwnFrom, OwnValue, Reading
from kpistream.core.settings import Settings, read_settings
from kpistream.core.settings_changes import changes
from kpistream.core.shadow import NOT_YET, first_whole_ms
from kpistream.core.tallies import NOTHING, pack_tally, unpack_tally
from kpistream.core.targets import Why
from kpistream.core.windows import ROLLING_60M, Window
from kpistream.errors import ConfigError
from kpistream.log.reading import EventReader
from kpistream.log.records import Located
from kpistream.stream.decode import Decoder
from kpistream.stream.flush import sum_record
from kpistream.stream.judging import AGENT_KINDS, Bench
from kpistream.stream.live import LiveWindows, scope_window
from kpistream.stream.state import Shard, Shards
from kpistream.stream.teams import TeamSums
from tests.unit.test_cli import run

PANE_MS = 300_000
MINUTE_MS = 60_000
NOW_MS = 1_772_625_600_000
SETTINGS = read_settings(
    {
        "settings.yaml": """
tenants:
  acme:
    teams: {north: {}}
    people: {ann: {team: north}, bob: {team: north}}
measures:
  demos: {of: call, where: {disposition: [demo booked, demo moved]}, description: demos booked}
  long: {of: call, where: {outcome: connected, talk_ms: {at_least: 10 m}}, description: long talks}
kpis:
  demo_share: {ratio: demos / calls, better: higher, description: share of demos}
  long_share: {ratio: long / connected, better: lower, description: share of long talks}
  demos: {sum: demos, better: higher, description: demos}
targets:
  - {name: demos, kpi: demo_share, window: rolling-60m, bound: 50 %}
  - {name: calls, kpi: calls, window: rolling-60m, bound: 99}
"""
    }
)
DEMOS, LONG = (measure.number for measure in SETTINGS.own.measures)


def faults(text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        read_settings({"kpis.yaml": text})
    return list(caught.value.faults)


# ---- settings


def test_predicates_are_read_with_units_and_strict_bounds() -> None:
    settings = read_settings(
        {
            "kpis.yaml": """
measures:
  some:
    of: call
    where:
      - {direction: outbound, talk_ms: {above: 90 s, at_most: 10 m}, attributes.region: [west, ""]}
      - {queue: {not: sales, empty: no}, transfer_leg: {below: 2}}
    add: hold_ms
    description: hold time of some calls
  top: {of: survey, where: {kind: csat, score: {at_least: 4.5}}, description: good answers}
  euros: {of: deal, where: {outcome: won, currency: EUR}, add: amount_minor, description: euros won}
  points: {of: survey, where: {kind: ces}, add: score, description: effort}
  efforts: {of: survey, where: {kind: ces}, description: answers on effort}
kpis:
  effort: {mean: points / efforts, better: lower, description: mean effort}
"""
        }
    )

    some, top, euros, points, _ = settings.own.measures
    assert some.predicate.groups == (
        (
            Condition("direction", "in", ("outbound",)),
            Condition("talk_ms", "at_least", (), 90_001),
            Condition("talk_ms", "below", (), 600_001),
            Condition("attributes.region", "in", ("", "west")),
        ),
        (
            Condition("queue", "not", ("sales",)),
            Condition("queue", "empty", ("no",)),
            Condition("transfer_leg", "below", (), 2),
        ),
    )
    assert (some.add, some.unit, euros.unit, points.add) == ("hold_ms", "ms", "minor units", "score_milli")
    assert top.predicate.groups[0][1] == Condition("score_milli", "at_least", (), 4500)
    effort = settings.own.by_name["effort"]
    assert evaluate(effort, {points.number: 9500, settings.own.measures[4].number: 2}) == Value(4.75, 9500, 2)
    assert effort.unit == "points"


def test_every_fault_of_measures_has_its_line() -> None:
    text = """measures:
  connected: {of: call, description: taken}
  a: {of: email, description: no kind}
  b: {of: call, where: {dispositon: x}, description: typo}
  c: {of: call, where: {outcome: lost}, description: no outcome of a call}
  d: {of: call, where: {talk_ms: "90"}, description: number as text}
  e: {of: call, where: {talk_ms: {above: 90}}, description: no unit}
  f: {of: call, where: {disposition: {above: 1}}, description: no number}
  g: {of: call, where: {started_at: {above: 1}}, description: instant}
  h: {of: call, where: {disposition: {matches: x}}, description: pattern}
  i: {of: call, where: {}, description: nothing}
  j: {of: call, add: transfer_leg, description: no size}
  k: {of: deal, add: amount_minor, description: two currencies}
  l: {of: deal}
  m: {where: {outcome: won}, description: of what}
  n: {of: survey, where: {score: {at_least: "4.55555"}}, description: digits}
  o: {of: call, where: [], description: empty list}
  p: {of: call, where: {transfer_leg: {at_least: x}}, description: no whole number}
kpis:
  b: {ratio: b / calls, better: higher, description: a measure's name}
"""

    found = faults(text)

    assert [fault.partition("kpis.yaml:")[2] for fault in found] == [
        '2 measures.connected: "connected" is a name of the catalogue: choose another one',
        '3 measures.a.of: "email" is none of call, deal, survey',
        '4 measures.b.where.dispositon: "dispositon" is no field of a call, did you mean "disposition"?',
        '5 measures.c.where.outcome: "lost" is none of connected, no-answer, busy, failed, abandoned, voicemail, '
        "cancelled, rejected",
        "6 measures.d.where.talk_ms: talk_ms is no text: say at_least, above, below, at_most or empty",
        '7 measures.e.where.talk_ms.above: "90" is no duration, write 90 s, 1.5 m or 2 h',
        "8 measures.f.where.disposition.above: disposition is no number",
        "9 measures.g.where.started_at.above: started_at is no number",
        "10 measures.h.where.disposition: needs one of not, at_least, above, below, at_most, empty",
        "10 measures.h.where.disposition.matches: unknown key",
        "11 measures.i.where: must be a table of field to condition",
        '12 measures.j.add: "transfer_leg" is no size of a call, it has queue_wait_ms, ring_ms, talk_ms, hold_ms, '
        "wrap_up_ms",
        "13 measures.k.add: amounts of two currencies are never added: name one currency in where",
        "14 measures.l.description: is missing",
        "15 measures.m.of: is missing",
        '16 measures.n.where.score.at_least: "4.55555" is no score with at most 3 decimals',
        "17 measures.o.where: must be a table of field to condition, or a list of such tables",
        '18 measures.p.where.transfer_leg.at_least: "x" is no whole number from 0 to 1000000000000000',
        '20 kpis.b: "b" is a measure, a KPI of that name is its sum',
    ]


def test_evidence_follows_from_what_the_predicates_say() -> None:
    demo_share, long_share, demos = SETTINGS.own.kpis

    assert (demo_share.no_evidence, long_share.no_evidence, demos.no_evidence) == ("", "", "")
    text = "measures: {d: {of: call, where: {disposition: x}, description: d}}\n"
    text += "kpis: {k: {ratio: d / connected, better: higher, description: k}}\n"
    (share,) = read_settings({"kpis.yaml": text}).own.kpis
    assert share.no_evidence.endswith("it is not known that every case of d is one of connected")


def test_measures_are_told_in_words() -> None:
    assert [measure_words(each) for each in SETTINGS.own.measures] == [
        'calls where disposition is "demo booked" or "demo moved"',
        'calls where outcome is "connected" and talk_ms at least 600000',
    ]
    assert [line for line in changes(Settings(), SETTINGS) if line.startswith("measure")] == [
        'measure demos is new: calls where disposition is "demo booked" or "demo moved"',
        'measure long is new: calls where outcome is "connected" and talk_ms at least 600000',
    ]


def test_the_command_says_what_own_measures_count(tmp_path: Path) -> None:
    text = "measures:\n  d: {of: call, where: {disposition: x}, description: d}\n"
    text += "kpis:\n  k: {ratio: d / calls, better: higher, description: what k is}\n"
    (tmp_path / "kpis.yaml").write_text(text, "utf-8")

    shown = run("kpis", "--settings", str(tmp_path)).out
    last = json.loads(run("kpis", "--settings", str(tmp_path), "--json").out)[-1]

    assert [line.strip() for line in shown.splitlines()[-2:]] == ["= d / calls", 'd: calls where disposition is "x"']
    assert last["measures"] == {"d": 'calls where disposition is "x"'}


def test_a_name_that_holds_the_name_of_a_limit_stays_as_it_is() -> None:
    text = "measures: {too_short_ms_of_mine: {of: call, where: {talk_ms: {below: 9 s}}, description: d}}\n"
    text += "kpis: {k: {ratio: too_short_ms_of_mine / calls, better: lower, description: k}}\n"

    (kpi,) = read_settings({"kpis.yaml": text}).own.kpis

    assert definition(kpi) == "too_short_ms_of_mine / calls"


def test_a_number_never_changes() -> None:
    """Records of the team topic carry it: another number for the same thing would be a measure that nobody counted."""
    assert (DEMOS, LONG) == (2_552_107_710_217_031_536, 3_087_849_692_897_272_768)


# ---- a part of a window


def looked(own_from: OwnFrom) -> tuple[OwnValue, dict[str, tuple[State, Why]], list[str]]:
    """The share of demos, where the targets stand and whose state changed, of two panes 40 and 10 minutes old."""
    reading, transitions = look(own_from)
    stands = {name: (each.state, each.reason) for name, each in reading.targets.items()}
    return reading.own["demo_share"], stands, [each.target for each in transitions]


def looked_reading(own_from: OwnFrom) -> Reading:
    return look(own_from)[0]


def look(own_from: OwnFrom) -> tuple[Reading, list[Transition]]:
    panes = {
        NOW_MS - 40 * MINUTE_MS: pack_tally({m.CALLS: 30, DEMOS: 3}),
        NOW_MS - 10 * MINUTE_MS: pack_tally({m.CALLS: 10, DEMOS: 2}),
    }
    live = LiveWindows(PANE_MS, scope_window(SETTINGS.roster, PANE_MS))
    source = SimpleNamespace(starts_of=lambda key: panes, packed_at=lambda key, ms: panes.get(ms, NOTHING))
    key = "acme/agent:ann"
    live.look(NOW_MS, [(key, ms) for ms in panes], source)
    bench = Bench(SETTINGS, lambda key, now_ms: About("acme", "agent:ann", "north", "Ann"), AGENT_KINDS)
    bench.load(())
    bench.own.own_from = lambda key, window: own_from
    (reading,), transitions = bench.look(live, [(key, ROLLING_60M)], NOW_MS, 0)
    return reading, transitions


def test_a_whole_window_has_no_since() -> None:
    own, stands, changed = looked(WHOLE)

    assert own == OwnValue(5 / 40, 5, 40, "ratio", "share")
    assert stands["demos"] == (State.FIRING, Why.BELOW_BOUND)
    assert changed == ["demos", "calls"]


def test_while_it_is_refilled_a_ratio_is_over_the_part_that_is_whole_and_is_not_judged() -> None:
    since_ms = NOW_MS - 20 * MINUTE_MS

    own, stands, changed = looked(OwnFrom(since_ms, passes=True))

    assert own == OwnValue(2 / 10, 2, 10, "ratio", "share", since_ms)
    assert stands["demos"] == (State.NO_DATA, Why.REFILLING)
    assert changed == ["calls"], "the catalogue's targets are judged as ever"


def test_what_the_log_has_lost_is_no_data() -> None:
    own, stands, _ = looked(OwnFrom(NOW_MS - 20 * MINUTE_MS, passes=False))

    assert own.since_ms == NOW_MS - 20 * MINUTE_MS
    assert stands["demos"] == (State.OK, Why.COUNTED_LATER), "an alert that never left ok has nothing to rest from"


def test_nothing_since_then_is_none_of_a_share_and_0_of_a_sum() -> None:
    reading = looked_reading(OwnFrom(NOW_MS - 5 * MINUTE_MS, passes=True))

    assert (reading.own["demo_share"].value, reading.own["demos"].value) == (None, 0)
    assert looked_reading(NOTHING_YET).own["demos"].value is None


def test_before_anything_is_whole_there_is_no_value() -> None:
    own, stands, _ = looked(NOTHING_YET)

    assert (own.value, own.numerator, own.denominator) == (None, 0, 0)
    assert stands["demos"] == (State.NO_DATA, Why.REFILLING)


def test_slots_that_were_shown_in_part_are_shown_again_once_that_may_be_more() -> None:
    bench = Bench(SETTINGS, lambda key, now_ms: About("acme", "agent:ann", "north", "Ann"), AGENT_KINDS)
    live = LiveWindows(PANE_MS, scope_window(SETTINGS.roster, PANE_MS))
    source = SimpleNamespace(starts_of=lambda key: (), packed_at=lambda key, ms: pack_tally({m.CALLS: 1}))
    key, state = "acme/agent:ann", [NOTHING_YET]
    live.look(NOW_MS, [(key, NOW_MS)], source)
    live.look(NOW_MS, [(key, NOW_MS)], source)
    bench.load(())
    bench.own.own_from, bench.own.own_state = lambda key, window: state[0], lambda: state[0]

    bench.look(live, [(key, ROLLING_60M)], NOW_MS, 0)
    first = bench.own.whole_again()
    bench.look(live, [(key, ROLLING_60M)], NOW_MS, 0)
    assert (first, bench.own.whole_again()) == ([(key, ROLLING_60M)], [])
    state[0] = WHOLE
    assert bench.own.whole_again() == [(key, ROLLING_60M)]
    bench.look(live, [(key, ROLLING_60M)], NOW_MS, 0)
    assert bench.own.whole_again() == []


# ---- partitions


def record(offset: int, disposition: str) -> Located:
    event = {
        "type": "call.ended", "tenant": "acme", "source": "pbx", "event_id": str(offset), "agent_id": "ann",
        "direction": "outbound", "outcome": "busy", "disposition": disposition,
        "started_at": NOW_MS - 1000, "ended_at": NOW_MS,
    }  # fmt: skip
    return Located("events", 0, offset, NOW_MS, b"acme/agent:ann", msgspec.json.encode(event), ())


def shard_of(settings: Settings) -> Shard:
    shards = Shards(PartitionSettings("w", PANE_MS))
    shards.count(settings.own.counting)
    shard = shards.shard(0)
    shard.partition.assigned()
    shard.partition.recovered(0)
    return shard


def taken(shard: Shard, *records: Located) -> None:
    Decoder(EventReader(PANE_MS, 1), PANE_MS, "events").take(shard, list(records))


PLACE = Place("acme/agent:ann", NOW_MS)


def test_without_own_measures_there_is_no_shadow() -> None:
    shard = shard_of(Settings())

    taken(shard, record(7, "demo booked"))

    assert shard.shadow is None
    assert (shard.own_from, shard.whole_sums(PLACE)) == (WHOLE, None)


def test_a_shadow_from_the_first_record_of_the_log_on_is_whole() -> None:
    shard = shard_of(SETTINGS)

    taken(shard, record(0, "demo booked"), record(1, "no interest"))

    assert shard.own_from == OwnFrom(-1, passes=False)
    assert shard.whole_sums(PLACE) == {DEMOS: 1, LONG: 0}
    assert unpack_tally(shard.packed_at(*PLACE))[DEMOS] == 1
    assert unpack_tally(shard.packed_at(*PLACE))[m.CALLS] == 2
    (pane,) = shard.partition.live_panes()
    assert DEMOS not in pane.tally, "a pane is what it was before there were own measures"


def test_a_shadow_from_the_middle_of_the_log_is_whole_from_the_first_pane_of_which_nothing_is_before() -> None:
    shard = shard_of(SETTINGS)

    taken(shard, record(7, "demo booked"))

    assert shard.own_from == OwnFrom(first_whole_ms(NOW_MS, PANE_MS), passes=True)
    assert first_whole_ms(NOW_MS, PANE_MS) == NOW_MS + PANE_MS, "an event may be 5 minutes ahead of its record"
    assert shard.whole_sums(PLACE) is None


def test_other_measures_begin_with_nothing_and_the_same_ones_go_on() -> None:
    shard = shard_of(SETTINGS)
    taken(shard, record(0, "demo booked"))

    shard.count(read_settings({"kpis.yaml": kpis_of(SETTINGS)}).own.counting)
    assert shard.shadow is not None
    shard.changed.clear()
    shard.count(Settings().own.counting)

    assert shard.shadow is None
    assert shard.recounted == {PLACE}, "the windows are to forget what was counted"
    assert shard.changed == set(), "nobody was heard: a silence goes on"
    assert shard.own_from == WHOLE
    shard.count(SETTINGS.own.counting)
    assert shard.own_from == NOTHING_YET
    assert shard.own_from.from_ms == NOT_YET


def kpis_of(settings: Settings) -> str:
    return """
measures:
  of_another_name: {of: call, where: {disposition: [demo moved, demo booked]}, description: the same}
  long: {of: call, where: {talk_ms: {at_least: 600 s}, outcome: connected}, description: long talks}
"""


def test_a_partition_that_is_lost_forgets_what_was_counted() -> None:
    shard = shard_of(SETTINGS)
    taken(shard, record(0, "demo booked"))

    shard.lost()

    assert shard.shadow is None


# ---- teams


def put(sums: TeamSums, agent: str, start_ms: int, version: int, own: m.Tally | None, calls: int = 4) -> None:
    change = PaneSum(Place(f"acme/agent:{agent}", start_ms), version, pack_tally({m.CALLS: calls}))
    value = sum_record(change, own).value
    assert value is not None
    sums.put(value)


def test_a_team_is_whole_behind_the_last_pane_that_lacks_something() -> None:
    sums, window = TeamSums(SETTINGS, PANE_MS), Window(0, 10 * PANE_MS)
    team = "acme/team:north"

    put(sums, "ann", PANE_MS, 1, None)
    put(sums, "ann", 2 * PANE_MS, 1, {DEMOS: 1, LONG: 0})
    put(sums, "bob", 2 * PANE_MS, 1, {DEMOS: 1})
    put(sums, "bob", 3 * PANE_MS, 1, {DEMOS: 1, LONG: 1})
    assert sums.bench.own.own_from(team, window) == OwnFrom(3 * PANE_MS, passes=True)
    put(sums, "bob", 2 * PANE_MS, 1, {DEMOS: 1, LONG: 0})
    assert sums.bench.own.own_from(team, window) == OwnFrom(2 * PANE_MS, passes=True)
    put(sums, "ann", PANE_MS, 1, {DEMOS: 2, LONG: 0})

    assert sums.bench.own.own_from(team, window) == WHOLE
    assert sums.panes[team] == {
        PANE_MS: {m.CALLS: 4, DEMOS: 2},
        2 * PANE_MS: {m.CALLS: 8, DEMOS: 2},
        3 * PANE_MS: {m.CALLS: 4, DEMOS: 1, LONG: 1},
    }


def test_a_newer_version_without_own_measures_stands_and_lacks_them_an_older_one_does_not_count() -> None:
    sums = TeamSums(SETTINGS, PANE_MS)
    put(sums, "ann", PANE_MS, 2, {DEMOS: 2, LONG: 0})
    put(sums, "ann", PANE_MS, 1, None, calls=1)
    put(sums, "ann", PANE_MS, 2, None)
    assert sums.panes["acme/tenant"] == {PANE_MS: {m.CALLS: 4, DEMOS: 2}}

    put(sums, "ann", PANE_MS, 3, None, calls=5)

    assert sums.panes["acme/tenant"] == {PANE_MS: {m.CALLS: 5}}
    assert sums.bench.own.own_from("acme/tenant", Window(0, 2 * PANE_MS)) == OwnFrom(2 * PANE_MS, passes=True)


def test_what_is_held_lacks_the_measures_of_a_later_version() -> None:
    sums, window = TeamSums(Settings(), PANE_MS), Window(0, 10 * PANE_MS)
    put(sums, "ann", PANE_MS, 1, None)

    sums.adopt(SETTINGS, True, ())
    assert sums.bench.own.own_from("acme/tenant", window) == OwnFrom(2 * PANE_MS, passes=True)
    assert sums.bench.own.own_from("other/tenant", window) == WHOLE
    sums.adopt(Settings(), True, ())

    assert sums.bench.own.own_from("acme/tenant", window) == WHOLE
