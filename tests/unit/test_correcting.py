"""Correcting: what is comparable with what an alert saw when it fired, and what its correction says."""

from msgspec import structs

from kpistream.core.alerts import Alert, State, Subject
from kpistream.core.contributing import Contributor
from kpistream.core.correcting import comparable, correction, judged_by, kept_pane
from kpistream.core.kpis import DEFAULT_LIMITS
from kpistream.core.settings import read_settings
from kpistream.core.tallies import NOTHING
from kpistream.core.targets import Judgement, Target, Verdict, Why
from tests.unit.telling import NOON_MS, transition


def target(kpi: str, kpis: str = "", measures: str = "") -> Target:
    """A target on a KPI, which may be one of the settings."""
    own = f"kpis: {{{kpi}: {{{kpis}, better: lower, description: x}}}}\n" if kpis else ""
    own += f"measures: {{{measures}}}\n" if measures else ""
    listed = f"targets:\n  - {{name: t, kpi: {kpi}, window: rolling-60m, bound: 10 %}}\n"
    [found] = read_settings({"s.yaml": f"tenants: {{acme: {{people: {{ann: {{}}}}}}}}\n{own}{listed}"}).targets
    return found


def comparable_after(fired_by: Target, now: Target) -> bool:
    """Whether an alert that fired by one target may be corrected by the other."""
    fired = transition(last_pane=kept_pane(NOTHING), judged_by=judged_by(fired_by, DEFAULT_LIMITS))
    return comparable(now, DEFAULT_LIMITS, fired)


def test_a_kpi_that_means_something_else_by_now_corrects_nothing() -> None:
    voicemails = target("lost", "ratio: voicemails / outbound_calls")

    assert comparable_after(voicemails, voicemails)
    assert not comparable_after(voicemails, target("lost", "ratio: voicemails / calls"))
    assert comparable_after(target("connect_share"), target("connect_share"))


def test_what_panes_do_not_keep_corrects_nothing() -> None:
    settled = target("settled_conversion")
    counted = target(
        "demos_share", "ratio: demos / calls", "demos: {of: call, where: {disposition: demo}, description: x}"
    )

    assert not comparable_after(settled, settled)
    assert not comparable_after(counted, counted)


def test_a_correction_has_no_contributors() -> None:
    fired = transition(contributors=(Contributor("acme/pbx/call/1", NOON_MS, 0, 1),))
    alert = Alert(Subject("connects", "acme", "agent:anna"), State.FIRING, 1)

    found = correction(alert, fired, Judgement(Verdict.MET, Why.WITHIN_BOUND), NOON_MS + 1)

    assert (found.contributors, found.corrects, found.to_state) == ((), 1, State.OK)
    assert structs.replace(fired).contributors, "the record of the alert keeps its own"
