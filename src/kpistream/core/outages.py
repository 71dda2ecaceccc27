"""Outages: whether nothing comes from a source although the people who are heard through it are at work.

A source is heard in a pane that holds any event of it. Nothing here remembers a moment: the same panes, schedules and
instant give the same judgement in every process, so a restart neither forgets an outage nor begins one.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise
from math import ceil, log
from typing import Final, NamedTuple

from kpistream.core.kpis import Value
from kpistream.core.roster import Tenant
from kpistream.core.schedules import Duty
from kpistream.core.targets import NOT_COVERED, OFF_SHIFT, Direction, Judgement, Target, Verdict, Why

OUTAGE_TARGET: Final = "source-silent"
"""What the alert is called where alerts of targets have the name of a target."""
OUTAGE_KPI: Final = "source_silence"
OUTAGE_WINDOW: Final = "silence"
"""From the last pane in which the source was heard to the look."""
SOURCE_KIND: Final = "source"
SILENT_MS: Final = 900_000
"""Without a setting a source may be silent for so long, and for longer when that is usual for it."""
HEARD_AGAIN_MS: Final = 300_000
"""Heard again for so long, an outage is over: what was kept back meanwhile arrives first."""
KEPT_MS: Final = 72 * 3_600_000
"""Panes are remembered for so long, a weekend and more: as long as the topic of their sums holds them."""
ENOUGH_AT_WORK: Final = 3
"""Of fewer it may be true that nobody has done anything."""
OFTEN: Final = 24
"""A source that was heard in fewer panes is too rare for a silence that is usual for it to be known."""
_CHANCE: Final = 1e-4
"""A source that is heard as it was is silent for so long in one of 10,000 cases at most."""
_PAUSE_MS: Final = 4 * 3_600_000
"""Nothing of anybody for so long is a night, not a silence."""
_ASKED: Final = 30
"""People who are asked at most whether they were at work when a pane began."""


@dataclass(slots=True)
class Heard:
    """What was heard through one source of a tenant."""

    starts: set[int] = field(default_factory=set)
    """Of panes that hold an event of it."""
    agents: dict[str, int] = field(default_factory=dict)
    """The start of the last such pane, by agent id."""
    newest_ms: int = -1
    """Start of the last pane; -1: none is known."""

    def note(self, scope: str, start_ms: int) -> None:
        """There is an event of it in a pane of this scope."""
        self.starts.add(start_ms)
        self.newest_ms = max(self.newest_ms, start_ms)
        kind, _, agent = scope.partition(":")
        if kind == "agent" and start_ms > self.agents.get(agent, -1):
            self.agents[agent] = start_ms

    def forget_before(self, limit_ms: int) -> None:
        """Drop what is older."""
        self.starts = {start_ms for start_ms in self.starts if start_ms >= limit_ms}
        self.agents = {agent: start_ms for agent, start_ms in self.agents.items() if start_ms >= limit_ms}
        self.newest_ms = max(self.starts, default=-1)


def usual_ms(heard: Iterable[int], of_anybody: Iterable[int], pane_ms: int) -> int | None:
    """How long a source is silent by chance once in 10,000 times at most, from the pane starts of 72 hours.

    Of the panes in which people worked, from its first to its last, it was heard in some share: so many in a row
    without it are that rare. None for a source that was heard too rarely to say. `of_anybody`: of all sources of the
    tenant.
    """
    mine = set(heard)
    if len(mine) < OFTEN:
        return None
    first_ms, last_ms = min(mine), max(mine)
    all_starts = sorted({start_ms for start_ms in of_anybody if first_ms <= start_ms <= last_ms} | mine)
    gaps = (later_ms - earlier_ms for earlier_ms, later_ms in pairwise(all_starts))
    worked = 1 + sum(gap_ms // pane_ms if gap_ms < _PAUSE_MS else 1 for gap_ms in gaps)
    unheard = (worked + 1 - len(mine)) / (worked + 1)
    return ceil(log(_CHANCE) / log(unheard)) * pane_ms


def allowed_ms(tenant: Tenant, source: str, usual: Callable[[], int | None]) -> int | None:
    """How long the source may be silent while people are at work; None when nobody is to be told of it."""
    said_ms = tenant.sources.get(source, tenant.silent_after_ms)
    if said_ms is not None:
        return said_ms or None
    found_ms = usual()
    return None if found_ms is None else max(SILENT_MS, found_ms)


class Crew(NamedTuple):
    """Who of those who are heard through a source is at work."""

    on_shift: tuple[str, ...]
    on_break: int
    others: tuple[str, ...] = ()

    @property
    def hidden(self) -> int:
        """How many nothing is known of while the source is silent."""
        return len(self.on_shift) + self.on_break


class Silence(NamedTuple):
    """A source of which nothing is heard."""

    last_ms: int
    """End of the last pane in which it was heard."""
    until_ms: int
    """All that was sent before is known."""
    allowed_ms: int


def quiet(silence: Silence) -> bool:
    """True when nothing has been heard for longer than allowed; whether people were at work is not asked."""
    return silence.until_ms - silence.last_ms >= silence.allowed_ms


def heard_again(silence: Silence) -> Judgement:
    """The judgement on a source that is not silent."""
    return Judgement(Verdict.MET, Why.SOURCE_HEARD, _length(silence))


def judged(silence: Silence, crew: Crew, duty: Callable[[str, int], Duty], pane_ms: int) -> Judgement:
    """The judgement on a source. `duty`: of an agent at an instant.

    It is missed when enough people have been at work for as long as it may be silent, and nothing was heard of it. A
    common break neither begins an outage nor ends one.
    """
    if not quiet(silence):
        return heard_again(silence)
    if not crew.hidden:
        return OFF_SHIFT
    value = _length(silence)
    begin_ms = silence.until_ms - silence.allowed_ms
    moments = range(silence.until_ms, begin_ms, -pane_ms)
    if len(crew.on_shift) < ENOUGH_AT_WORK or not all(_worked(crew, duty, at_ms) for at_ms in (*moments, begin_ms)):
        return Judgement(Verdict.TOO_LITTLE, Why.EVIDENCE_OPEN, value)
    return Judgement(Verdict.MISSED, Why.SOURCE_SILENT, value)


def _length(silence: Silence) -> Value:
    silent_ms = max(0, silence.until_ms - silence.last_ms)
    return Value(silent_ms, silent_ms, None)


def _worked(crew: Crew, duty: Callable[[str, int], Duty], at_ms: int) -> bool:
    """Whether enough people were on shift then; those who are now are asked first."""
    found = 0
    for agent in (*crew.on_shift, *crew.others)[:_ASKED]:
        found += duty(agent, at_ms) is Duty.ON_SHIFT
        if found == ENOUGH_AT_WORK:
            return True
    return False


GIVEN_UP: Final = NOT_COVERED
"""For the alert of a source that is switched off, or of which nothing has been heard for as long as panes are kept."""


def outage_target(allowed_ms: int) -> Target:
    """What the alert of a source is judged by."""
    return Target(
        name=OUTAGE_TARGET,
        kpi=OUTAGE_KPI,
        window=OUTAGE_WINDOW,
        direction=Direction.AT_MOST,
        high=Fraction(allowed_ms),
        recover_hold_ms=HEARD_AGAIN_MS,
    )


def source_scope(source: str) -> str:
    """Scope text of a source in alerts: `source:NAME`."""
    return f"{SOURCE_KIND}:{source}"
