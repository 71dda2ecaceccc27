"""Alert pages: the reference page of alerts, generated from the table of transitions and the closed lists.

`docs/reference/alerts.md` is the output; a test holds that both agree.
"""

from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Any, Final

from kpistream.core.alerts import RESTING, TABLE, Next, State
from kpistream.core.contributing import CONTRIBUTORS_A_LOOK, LOOKED_AT, MOST, SUMS_LOOKED_AT
from kpistream.core.results import Outcome
from kpistream.core.targets import Severity, Verdict, Why

_HEAD: Final = """# Alerts

Generated from the code, `src/kpistream/core/alerts.py` and `core/targets.py`; a test holds that both agree.

Every look at a target gives a *verdict* with a *reason*; verdict and state give the next state. A change of state is
one record of `kpi.alerts`, under the id `target/tenant/scope/sequence`, which never changes. The first record of the
highest sequence is the state, for everybody. Why a target is judged on evidence:
[evidence](../explanation/evidence.md).
"""
_STATES: Final[dict[State, str]] = {
    State.OK: "nothing to tell",
    State.PENDING: "missed, but not yet for as long as `hold`",
    State.FIRING: "missed: somebody should look",
    State.RECOVERING: "met again, but not yet for as long as `recover_hold`",
    State.NO_DATA: "nothing can be concluded; what was known waits",
    State.SUSPENDED: "off shift, on a holiday, absent, or no longer covered; what was known waits. Never a recovery",
}
_VERDICTS: Final[dict[Verdict, str]] = {
    Verdict.MET: "the bound holds; where the target has a `recover` level, that too",
    Verdict.NEAR: "the bound holds, the `recover` level does not",
    Verdict.MISSED: "beyond the bound, and with `false_alarms` by more than chance brings",
    Verdict.TOO_LITTLE: "too few cases, or too little evidence, to say anything: the state stays",
    Verdict.NO_DATA: "data are not there or not complete",
    Verdict.OFF_SHIFT: "nobody is at work, or the target no longer covers the scope",
}
_REASONS: Final[dict[Why, str]] = {
    Why.WITHIN_BOUND: "at the bound or better",
    Why.NEAR_BOUND: "at the bound or better, but short of the `recover` level",
    Why.BELOW_BOUND: "below the bound",
    Why.ABOVE_BOUND: "above the bound",
    Why.NO_CASES: "no case at all: there is no value",
    Why.SAMPLE_TOO_SMALL: "fewer cases than `minimum_sample`",
    Why.ON_PACE: "as many as the time at work lets expect by now, or more",
    Why.BEHIND_PACE: "fewer than the time at work lets expect, by more than chance brings",
    Why.NO_SCHEDULE: "a count against pace, and nobody has said when this agent works",
    Why.SOURCE_SILENT: "nothing is heard of anybody, or of a source, although people are at work",
    Why.SOURCE_HEARD: "of a source: its events come",
    Why.REACHED: "all that the window asks for is done: good news, the alert stays `ok`",
    Why.PERSONAL_BEST: "more than on any other day of twelve weeks: good news",
    Why.CORRECTED: "by what is known now the alert was never true: events came late or were corrected",
    Why.EVIDENCE_OPEN: "beyond the bound, but by so little or so few that chance does that",
    Why.CATCHING_UP: "the worker recovers or lags: it knows too little of the present",
    Why.PANES_CLOSED: "the window begins before the panes that are live: the horizon is shorter than the window",
    Why.HISTORY_UNREACHABLE: "ClickHouse does not answer",
    Why.REFILLING: "the KPI's own measures are still counted for the begin of the window: no transition is made of it",
    Why.COUNTED_LATER: "the KPI's own measures are counted since a moment in the window: the log reaches no further",
    Why.OFF_SHIFT: "nobody is at work",
    Why.NOT_COVERED: "the scope has left the team, or the target has left the settings",
}
_SEVERITIES: Final[dict[Severity, str]] = {
    Severity.WARNING: "the bound is missed",
    Severity.CRITICAL: "the `critical` bound is missed, too, by the same evidence",
}
_RESULTS: Final = """## Results

At the end of its period (business day, week, month, quarter, year) each target closes with a record of `kpi.results`,
by the plain number: evidence is for interrupting people, the plain number is for the record. What a count asks for at
least is prorated by schedule and absence; what it allows at most, shares and means never are. Nothing is said of
somebody who did nothing and was not expected to work. A result never pages anybody. People belong to the zone and the
team that they are in when the period ends.

When late events or corrections change the sums of one of the last seven days, two weeks, two months, or of the last
quarter or year, the result is published again under its id, `target/tenant/scope/window/window_from_ms`, by the
bounds that were told: later settings rewrite nothing. The one that was computed last stands (`as_of_ms`). A period
closes `KPISTREAM_REVIEW_GRACE_MINUTES` after its end, once all that was appended until two minutes ago is in history.
Nothing is said of periods that began more than a day before the tenant's first pane.
"""
_OUTCOMES: Final[dict[Outcome, str]] = {
    Outcome.MET: "the bound held",
    Outcome.MISSED: "it did not",
    Outcome.TOO_LITTLE: "no case, or fewer than `minimum_sample`",
}
_CONTRIBUTORS: Final = f"""## Contributors

A transition to `pending` or `firing` that the number calls for names up to {MOST} `contributors`: the events that have
most to do with it, each with the start of its pane and what it adds to numerator and denominator. They are looked for
among the newest {LOOKED_AT} events of the window, about, and for {CONTRIBUTORS_A_LOOK} alerts that begin in one look.
Of weeks and longer they come out of history. Events of one pane are in the order of their ids. Alerts on settled
conversion, on own measures and on hours at work name none: what an event adds to those is not kept with it.

| target on | missed from below | missed from above |
| --- | --- | --- |
| a share | newest cases that did not count | newest cases that counted |
| a mean | lowest values below the bound | highest values above the bound |
| a count | newest events that counted | those that count most, the newest of equals |

Alerts of teams and tenants name agents: those that lack most to their own cases at the bound (an agent with 20 of 100
comes before one with 0 of 3), or of a count those with the least, or most. Of more than {SUMS_LOOKED_AT} panes of
agents the newest count. `kpistream alerts events ID` shows the events in full from history;
`kpi_alerts.contributors` has their identities, `tenant/source/kind/event_id`.
"""
_TABLE: Final = """## Transitions

Two states in a cell: the first while the hold time (`hold` of a miss, `recover_hold` of a recovery) still runs, the
second once it has passed. With no hold time it has passed at once. `-`: the state stays.

"""
_RESTING: Final = """
*too-little* leaves every state as it is. *no-data* leads to `no-data` and *off-shift* to `suspended`, from everywhere
but from an alert that has nothing to rest from. The next verdict is met by the state from before. A target with
`false_alarms`, and every target of a week or longer, begins each period at `ok`: what was found of one says nothing
of the next. An alert that fires on and is missed on the next period's numbers, too, says so in a record from `firing`
to `firing`; so does one that becomes critical. Severity falls only when the alert ends or a new period begins.

Beside the table, two kinds of records lead to `ok` or leave it as it is: `corrected`, from every state, when an alert
was never true ([corrections](../explanation/alerts.md#corrections)), and good news (`reached`, `personal-best`), in
`ok` only. A source that is silent has an alert of its own, target `source-silent`, scope `source:NAME`
([silent sources](../explanation/alerts.md#silent-sources)).
"""


def alerts_page() -> str:
    """The page as Markdown."""
    return "\n".join(
        [
            _HEAD,
            *_listed("States", State, _STATES),
            *_listed("Verdicts", Verdict, _VERDICTS),
            _TABLE + "\n".join(_table()),
            _RESTING,
            "```mermaid\n" + "\n".join(_diagram()) + "\n```\n",
            *_listed("Reasons", Why, _REASONS),
            *_listed("Severities", Severity, _SEVERITIES),
            _CONTRIBUTORS,
            _RESULTS,
            *_listed("Outcomes", Outcome, _OUTCOMES),
        ]
    )


def _listed(title: str, each: type[StrEnum], meanings: Mapping[Any, str]) -> Iterator[str]:
    """A table of a closed list; a member without a meaning raises KeyError."""
    yield f"## {title}\n\n| name | meaning |\n| --- | --- |"
    yield from (f"| `{name}` | {meanings[name]} |" for name in each)
    yield ""


def _judged() -> list[Verdict]:
    return list(next(iter(TABLE.values())))


def _table() -> Iterator[str]:
    yield "| state | " + " | ".join(f"*{verdict}*" for verdict in _judged()) + " |"
    yield "| --- |" + " --- |" * len(_judged())
    for state, row in TABLE.items():
        yield f"| `{state}` | " + " | ".join(_cell(state, row[verdict]) for verdict in _judged()) + " |"


def _cell(state: State, following: Next) -> str:
    both = [following.get(held, state) for held in ("holding", "held")]
    shown = ["-" if each is state else f"`{each}`" for each in both]
    return shown[0] if shown[0] == shown[1] else ", ".join(shown)


def _diagram() -> Iterator[str]:
    yield "stateDiagram-v2"
    yield "    [*] --> ok"
    for state, row in TABLE.items():
        arrows: dict[State, dict[str, None]] = {}
        for verdict, following in row.items():
            for when, to in following.items():
                both = set(following.values()) == {to} and len(following) == 2
                arrows.setdefault(to, {})[f"{verdict}" if both else f"{verdict}, {when}"] = None
        for to, labels in arrows.items():
            yield f"    {state} --> {to}: {' / '.join(labels)}"
    for verdict, resting in RESTING.items():
        name = str(resting).replace("-", "_")
        yield f'    state "{resting}" as {name}'
        yield f"    ok --> {name}: {verdict}, from every state"
