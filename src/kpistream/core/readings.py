"""Readings: what one agent, team or tenant shows for one window, and how often it is published.

A reading is a view of a tally at a moment: measures by name, every KPI with what it was made of, and
where each target stands. It is never added and never the source of another number. `Pacer` decides when
a changed reading goes out: at once after a quiet half second, then at most twice a second.
"""

from collections import deque
from collections.abc import Hashable, Mapping
from typing import Final, Generic, NamedTuple, TypeVar

import msgspec

from kpistream.core.alerts import State
from kpistream.core.kpis import DEFAULT_LIMITS, Family, Limits, Value, evaluate_all, evaluate_own
from kpistream.core.measures import named
from kpistream.core.own_kpis import NO_OWN_KPIS, OwnKpis, counted
from kpistream.core.targets import Direction, Judgement, Target, Why
from kpistream.core.windows import Window


class TargetReading(msgspec.Struct, frozen=True):
    """Where one target stands."""

    kpi: str
    state: State
    reason: Why
    direction: Direction
    low: float | None = None
    high: float | None = None
    minimum_sample: int = 1
    value: float | int | None = None
    numerator: int | None = None
    denominator: int | None = None
    against: float | None = None
    """Evidence against the target, the log of an e-value; None when it is judged on the point."""
    alpha: float | None = None
    """Share of days on which a target that holds shows evidence of log(1 / alpha), at most: there its alert fires."""
    expected: float | None = None
    """Of a count against pace: how many the time at work lets expect by now."""
    basis: str | None = None
    """What that rests on: `shift`, or `business-hours` where no shift is known."""
    bound_from: str | None = None
    """Where the bound comes from, when it is not the target's own as it is: `tier new, week 3 of the ramp (60 %)`."""


class OwnValue(msgspec.Struct, frozen=True):
    """The number of a KPI of the settings, with what shows it."""

    value: float | int | None
    numerator: int
    denominator: int | None
    """Of one by the hour: the working time, ms."""
    form: str
    unit: str
    since_ms: int | None = None
    """It is over the panes from there on only: its measures are counted since then. None: over the whole window."""


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """The numbers of one scope over one window, as they were known at `as_of_ms`."""

    tenant: str
    scope: str
    """`agent:ID`, `queue:NAME`, `campaign:NAME`, `team:NAME` or `tenant`."""
    window: str
    from_ms: int
    to_ms: int
    as_of_ms: int
    provisional: bool
    """True while the worker recovers or lags, and for a window that is longer than the horizon: the numbers may be too
    small."""
    measures: dict[str, int | dict[str, int]]
    kpis: dict[str, Value]
    kpis_by_member: dict[str, Family]
    """KPIs with one value for each currency or scale."""
    targets: dict[str, TargetReading]
    own: dict[str, OwnValue] = {}
    """KPIs that the settings define; with one value for each currency under `name/EUR`."""
    team: str | None = None
    display_name: str | None = None


class About(NamedTuple):
    """Whom a reading is about and how to show them."""

    tenant: str
    scope: str
    team: str | None = None
    display_name: str | None = None


class Shown(NamedTuple):
    """A window's name and span, the moment, and whether the numbers are complete."""

    name: str
    window: Window
    as_of_ms: int
    provisional: bool = False
    own: OwnKpis = NO_OWN_KPIS
    since: "Since | None" = None
    """What own measures have counted, when that is not the whole window."""


class OwnFrom(NamedTuple):
    """From which pane on own measures are whole."""

    from_ms: int
    passes: bool
    """True while what is before is still read again: it will be earlier then."""


WHOLE: Final = OwnFrom(-1, False)
NOTHING_YET: Final = OwnFrom(1 << 62, True)


class Since(NamedTuple):
    """The part of a window in which own measures are whole, and its sums."""

    from_ms: int
    tally: Mapping[int, int] | None
    """None while it has not begun: there is nothing to say, not even 0."""


def own_values(
    own: OwnKpis, tally: Mapping[int, int], limits: Limits, since: Since | None = None
) -> dict[str, OwnValue]:
    """The values of own KPIs over a tally, by name; of those with own measures only since when they are whole."""
    found = evaluate_own(own, tally, limits)
    later = found if since is None else evaluate_own(own, since.tally or {}, limits)
    out: dict[str, OwnValue] = {}
    for kpi in own.kpis:
        partial = since if counted(kpi) else None
        values = found if partial is None else later
        members = values.by_member[kpi.name] if kpi.per else {"": values.kpis[kpi.name]}
        for member, each in members.items():
            shown = OwnValue(each.value, each.numerator, each.denominator, kpi.form, kpi.unit)
            if partial is not None:
                value = None if partial.tally is None else each.value
                shown = msgspec.structs.replace(shown, value=value, since_ms=partial.from_ms)
            out[f"{kpi.name}/{member}" if member else kpi.name] = shown
    return out


def read(
    about: About,
    shown: Shown,
    tally: Mapping[int, int],
    targets: Mapping[str, TargetReading] | None = None,
    limits: Limits = DEFAULT_LIMITS,
) -> Reading:
    """The reading of a tally."""
    values = evaluate_all(tally, limits)
    return Reading(
        tenant=about.tenant,
        scope=about.scope,
        window=shown.name,
        from_ms=shown.window.from_ms,
        to_ms=shown.window.to_ms,
        as_of_ms=shown.as_of_ms,
        provisional=shown.provisional,
        measures=named(tally),
        kpis=values.kpis,
        kpis_by_member=values.by_member,
        targets=dict(targets or {}),
        own=own_values(shown.own, tally, limits, shown.since) if shown.own.kpis else {},
        team=about.team,
        display_name=about.display_name,
    )


def target_reading(target: Target, state: State, judgement: Judgement, bound_from: str | None = None) -> TargetReading:
    """Where a target, with the bound in force, stands after a look at it."""
    value = judgement.value or Value(None, 0, None)
    return TargetReading(
        kpi=target.kpi,
        state=state,
        reason=judgement.reason,
        direction=target.direction,
        low=None if target.low is None else float(target.low),
        high=None if target.high is None else float(target.high),
        minimum_sample=target.minimum_sample,
        value=value.value,
        numerator=None if judgement.value is None else value.numerator,
        denominator=value.denominator,
        against=judgement.against,
        alpha=None if target.level is None else target.level.alpha,
        expected=None if judgement.due is None else float(judgement.due.expected),
        basis=None if judgement.due is None else judgement.due.basis,
        bound_from=bound_from,
    )


def reading_key(reading: Reading) -> bytes:
    """Kafka key of a reading: `tenant/scope/window`; the latest record of a key is the reading."""
    return f"{reading.tenant}/{reading.scope}/{reading.window}".encode("utf-8", "surrogatepass")


encode_reading: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder(Reading).decode


def decode_reading(value: bytes) -> Reading:
    """The reading in a record of `kpi.readings`; raises `msgspec.DecodeError` when it is none."""
    return _decode(value)


PACE_MS: Final = 500
"""Half a second makes few more readings than a second: somebody with a call every second has 0.90 a second instead of
0.73, somebody with a call every ten seconds as many as before. It takes half a second off the tail."""
Paced = TypeVar("Paced", bound=Hashable)


class Pacer(Generic[Paced]):
    """When a changed key may go out: at once after `interval_ms` of quiet, else when that has passed.

    The last change of a key always goes out, at most `interval_ms` after it happened. Cost follows what
    changes and falls due, not the number of keys. `now_ms` here comes from a clock that never goes back.
    """

    def __init__(self, interval_ms: int = PACE_MS) -> None:
        self._interval_ms = interval_ms
        self._last_ms: dict[Paced, int] = {}
        self._order: deque[tuple[int, Paced]] = deque()
        self._waiting: set[Paced] = set()

    def __len__(self) -> int:
        """Keys that wait."""
        return len(self._waiting)

    def changed(self, key: Paced, now_ms: int) -> bool:
        """True when the key may go out now; else it waits and `due` will name it."""
        last_ms = self._last_ms.get(key)
        if last_ms is None or now_ms - last_ms >= self._interval_ms:
            self._went_out(key, now_ms)
            return True
        self._waiting.add(key)
        return False

    def due(self, now_ms: int) -> list[Paced]:
        """Keys that have waited long enough; they count as gone out now."""
        out: list[Paced] = []
        while self._order and now_ms - self._order[0][0] >= self._interval_ms:
            last_ms, key = self._order.popleft()
            if self._last_ms.get(key) != last_ms:
                continue
            del self._last_ms[key]
            if key in self._waiting:
                out.append(key)
        for key in out:
            self._went_out(key, now_ms)
        return out

    def _went_out(self, key: Paced, now_ms: int) -> None:
        self._waiting.discard(key)
        self._last_ms[key] = now_ms
        self._order.append((now_ms, key))
