"""KPIs of settings: what each form means, what is refused and where, and which targets may stand on them."""

import json
from pathlib import Path

import pytest

from kpistream.core import measures as m
from kpistream.core.catalogue import Better, Cases, Kpi
from kpistream.core.kpis import Limits, Value, definition, evaluate, evaluate_own
from kpistream.core.own_kpis import FORMS, OwnKpis
from kpistream.core.readings import OwnValue, own_values
from kpistream.core.settings import Settings, read_settings
from kpistream.core.settings_changes import changes, touched
from kpistream.errors import ConfigError
from tests.unit.test_cli import run

ROSTER = "tenants:\n  acme:\n    zone: Europe/Berlin\n    teams: {north: {}}\n    people: {ann: {team: north}}\n"
TALLY = {
    m.CALLS: 50,
    m.CONNECTED: 40,
    m.VOICEMAILS: 5,
    m.DEALS_WON: 4,
    m.DEALS_VOIDED: 1,
    m.HOLD_MS: 60_000,
    m.OUTBOUND_CALLS: 50,
    m.TALK_BIN + m.TALK_EDGES_MS.index(120_000): 10,
    m.TALK_BIN + m.TALK_EDGES_MS.index(480_000): 8,
    m.TALK_BIN + m.TALK_EDGES_MS.index(600_000): 22,
}


def kpi_text(**keys: str) -> str:
    given = {"better": "higher", "description": "what it is"} | keys
    return "kpis:\n  mine:\n" + "".join(f"    {key}: {text}\n" for key, text in given.items() if text)


def own(**keys: str) -> Kpi:
    return read_settings({"kpis.yaml": kpi_text(**keys)}).own.by_name["mine"]


def faults(text: str, **others: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        read_settings(
            {"kpis.yaml": text, "roster.yaml": ROSTER} | {f"{name}.yaml": each for name, each in others.items()}
        )
    return list(caught.value.faults)


def value(kpi: Kpi, tally: m.Tally = TALLY) -> Value:
    found = evaluate(kpi, tally)
    assert isinstance(found, Value)
    return found


def test_a_sum_adds_and_takes_away() -> None:
    kpi = own(sum="deals_won - deals_voided")

    assert value(kpi) == Value(3, 3, None)
    assert kpi.unit == "deals"
    assert definition(kpi) == "deals_won - deals_voided"


def test_a_ratio_of_counts_is_a_share() -> None:
    kpi = own(ratio="voicemails / outbound_calls", better="lower")

    assert value(kpi) == Value(0.1, 5, 50)
    assert (kpi.unit, kpi.better) == ("share", Better.LOWER)


def test_a_ratio_of_nothing_is_nothing() -> None:
    assert value(own(ratio="voicemails / outbound_calls"), {}) == Value(None, 0, 0)


def test_a_mean_is_in_the_unit_of_its_sizes() -> None:
    kpi = own(mean="hold_ms / connected", better="band")

    assert value(kpi) == Value(1500.0, 60_000, 40)
    assert kpi.unit == "ms"


def test_a_sum_over_the_working_time_has_no_value_where_that_is_unknown() -> None:
    kpi = own(per_hour="calls")

    assert value(kpi) == Value(None, 50, 0)
    assert value(kpi, {**TALLY, m.SCHEDULED_MS: 5 * 3_600_000}) == Value(10.0, 50, 18_000_000)
    assert kpi.unit == "calls per hour"
    assert definition(kpi) == "calls / scheduled hour"


@pytest.mark.parametrize(
    ("band", "count", "formula"),
    [
        ("{from: 2 m, to: 10 m}", 18, "talk_bin[120 s to 600 s] / connected"),
        ("{from: 10 m}", 22, "talk_bin[>= 600 s] / connected"),
        ("{to: 8 m}", 10, "talk_bin[< 480 s] / connected"),
        ("{from: 0 s, to: 8 m}", 10, "talk_bin[< 480 s] / connected"),
    ],
)
def test_a_band_is_a_share_of_connected_calls(band: str, count: int, formula: str) -> None:
    kpi = own(band=band)

    assert value(kpi) == Value(count / 40, count, 40)
    assert definition(kpi) == formula


def test_money_has_one_value_for_each_currency() -> None:
    kpi = own(ratio="won_minor / connected", unit="minor units")
    tally = {**TALLY, m.WON_MINOR + 978: 400_000}

    assert evaluate(kpi, tally) == {"EUR": Value(10_000.0, 400_000, 40)}
    assert own_values(OwnKpis((kpi,)), tally, Limits()) == {
        "mine/EUR": OwnValue(10_000.0, 400_000, 40, "ratio", "minor units")
    }


def test_own_kpis_are_evaluated_together() -> None:
    kpis = OwnKpis((own(sum="calls"), own(band="{from: 2 m}")))

    assert evaluate_own(kpis, TALLY).kpis == {"mine": value(kpis.kpis[1])}


@pytest.mark.parametrize(
    ("above", "below"),
    [
        ("voicemails", "calls"),
        ("outbound_connected", "connected"),
        ("outbound_connected", "outbound_calls"),
        ("deals_repeat", "deals_won"),
        ("nps_promoters", "nps_rated"),
        ("nps_detractors", "surveys"),
        ("answered_wait_known", "inbound_connected"),
    ],
)
def test_evidence_is_weighed_for_a_share_whose_cases_are_known_to_be_part_of_the_whole(above: str, below: str) -> None:
    kpi = own(ratio=f"{above} / {below}")

    assert (kpi.cases, kpi.no_evidence) == (Cases.YES_OR_NO, "")


@pytest.mark.parametrize(
    ("form", "why"),
    [
        ({"ratio": "deals_won / connected"}, "not known that every case of deals_won is one of connected"),
        ({"ratio": "voicemails / connected"}, "not known that every case of voicemails is one of connected"),
        ({"ratio": "connected / voicemails"}, "not known"),
        ({"ratio": "csat_satisfied / csat_rated"}, "not known"),
        ({"mean": "hold_ms / connected"}, "the squares of its values are not kept"),
        ({"sum": "talk_ms + hold_ms"}, "adds ms: evidence is weighed for numbers of cases"),
        ({"sum": "deals_won - deals_voided"}, "takes something away"),
        ({"sum": "calls + connected"}, "may count one event twice"),
        ({"per_hour": "calls"}, "a sum is held against the time at work"),
    ],
)
def test_where_chance_says_nothing_false_alarms_are_refused(form: dict[str, str], why: str) -> None:
    targets = "targets:\n  - {name: t, kpi: mine, window: business-day, bound: 0.2, false_alarms: 1 a week for 20}\n"

    (fault,) = faults(kpi_text(**form), targets=targets.replace("0.2", "90 s" if "ms" in str(form) else "0.2"))

    assert fault.startswith("targets.yaml:2 targets[0].false_alarms: mine ")
    assert why in fault


@pytest.mark.parametrize(
    ("form", "bound"),
    [({"ratio": "voicemails / calls"}, "bound: 20 %"), ({"band": "{from: 2 m}"}, "bound: 60 %"),
     ({"sum": "follow_ups_done + deals_won"}, 'bound: "12"'), ({"sum": "connected + voicemails"}, 'bound: "60"')],
)  # fmt: skip
def test_targets_with_evidence_stand_on_own_kpis(form: dict[str, str], bound: str) -> None:
    targets = f"targets:\n  - {{name: t, kpi: mine, window: business-day, {bound}, false_alarms: 1 a week for 20}}\n"

    settings = read_settings({"kpis.yaml": kpi_text(**form), "targets.yaml": targets})

    assert settings.targets[0].defined == settings.own.by_name["mine"]
    assert settings.targets[0].level is not None


def test_every_fault_has_its_line() -> None:
    text = """kpis:
  calls: {sum: connected, better: higher, description: taken}
  Bad: {sum: connected, better: higher, description: capitals}
  a: {sum: conected, better: higher, description: typo}
  b: {ratio: calls, better: higher, description: no fraction}
  c: {sum: calls + talk_ms, better: higher, description: units}
  d: {mean: calls / connected, better: higher, description: no sizes}
  e: {band: {from: 100 s}, better: higher, description: no edge}
  f: {band: {from: 5 m, to: 2 m}, better: higher, description: empty}
  g: {sum: calls, ratio: calls / connected, better: higher, description: two}
  h: {better: higher}
  i: {sum: calls, better: upwards, description: which way, colour: red}
  j: {ratio: talk_ms / connected, better: higher, description: no unit}
  k: {band: {}, better: higher, description: nothing}
  l: {per_hour: won_minor, better: higher, description: money}
  m: {ratio: calls / won_minor, better: higher, description: money below}
"""

    assert faults(text) == [
        'kpis.yaml:2 kpis.calls: "calls" is a name of the catalogue: choose another one',
        'kpis.yaml:3 kpis.Bad: "Bad" must be 1 to 64 of the characters a-z 0-9 _, a letter first',
        'kpis.yaml:4 kpis.a.sum: "conected" is no measure, did you mean "connected"?',
        'kpis.yaml:5 kpis.b.ratio: "calls" must be one sum over another, such as voicemails / outbound_calls',
        'kpis.yaml:6 kpis.c.sum: "calls + talk_ms" adds calls and ms',
        "kpis.yaml:7 kpis.d.mean: calls counts calls, a mean has sizes above the line: write it as a ratio",
        'kpis.yaml:8 kpis.e.band.from: "100 s" is no edge of the talk-time histogram; the nearest is 90 s',
        "kpis.yaml:9 kpis.f.band.to: must be above from",
        "kpis.yaml:10 kpis.g: needs one of sum, ratio, mean, per_hour, band, not 2 of them",
        "kpis.yaml:11 kpis.h.description: is missing",
        "kpis.yaml:11 kpis.h: needs one of sum, ratio, mean, per_hour, band",
        'kpis.yaml:12 kpis.i.better: "upwards" is none of higher, lower, band',
        "kpis.yaml:12 kpis.i.colour: unknown key",
        "kpis.yaml:13 kpis.j.ratio: has ms over calls: say the unit, or write it as a mean",
        "kpis.yaml:14 kpis.k.band: needs from, to or both",
        "kpis.yaml:15 kpis.l.per_hour: won_minor has one value for each currency, which cannot be had by the hour",
        "kpis.yaml:16 kpis.m.ratio: won_minor has one value for each currency, which cannot be divided by",
    ]


def test_a_name_stands_once_in_all_files() -> None:
    again = kpi_text(sum="calls")

    assert faults(again, more=again) == ['more.yaml:2 kpis.mine: there is a KPI "mine" already']


def test_a_target_by_the_hour_is_one_of_agents_and_its_sample_a_time() -> None:
    team = "targets:\n  - {name: t, kpi: mine, window: business-day, bound: '9', scope: team}\n"
    mine = "targets:\n  - {name: t, kpi: mine, window: business-day, bound: '9', minimum_sample: 1 h}\n"

    assert faults(kpi_text(per_hour="calls"), targets=team) == [
        "targets.yaml:2 targets[0].scope: mine is over the time at work, which only agents have"
    ]
    found = read_settings({"kpis.yaml": kpi_text(per_hour="calls"), "targets.yaml": mine})
    assert found.targets[0].minimum_sample == 3_600_000


def test_changes_are_told_and_concern_everybody() -> None:
    before = read_settings({"kpis.yaml": kpi_text(sum="calls")})
    after = read_settings({"kpis.yaml": kpi_text(sum="connected")})

    assert changes(Settings(), before) == ["KPI mine is new: calls"]
    assert changes(before, after) == ["KPI mine: calls -> connected"]
    assert changes(after, Settings()) == ["KPI mine is gone"]
    assert touched(before, after).everybody


def test_the_command_lists_own_kpis_behind_the_catalogue(tmp_path: Path) -> None:
    (tmp_path / "kpis.yaml").write_text(kpi_text(band="{from: 2 m, to: 10 m}"), "utf-8")

    last = json.loads(run("kpis", "--settings", str(tmp_path), "--json").out)[-1]

    assert last == {
        "name": "mine",
        "unit": "share",
        "better": "higher",
        "words": "what it is",
        "definition": "talk_bin[120 s to 600 s] / connected",
        "source": "settings",
        "form": "band",
        "measures": {},
    }
    assert "= talk_bin[120 s to 600 s] / connected" in run("kpis", "--settings", str(tmp_path)).out
    assert run("check", str(tmp_path)).out == "fit: 0 tenants, 0 people, 0 targets, 1 own KPIs\n"


def test_every_form_has_words() -> None:
    assert list(FORMS) == ["sum", "ratio", "mean", "per_hour", "band"]
