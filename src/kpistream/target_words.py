"""Words: what commands on targets have found, as lines for people and as JSON values for machines."""

from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Any, Final

from kpistream.core.alerts import Subject
from kpistream.core.backtest import Alarm, Told
from kpistream.core.bound_words import bound_words, bounds_words, decimal
from kpistream.core.overrides import Override
from kpistream.core.provenance import Provenance
from kpistream.core.ramps import Factor
from kpistream.core.resolution import percent
from kpistream.core.roster import ALWAYS_FROM_MS, ALWAYS_TO_MS
from kpistream.core.targets import Target
from kpistream.history.reports import instant

Json = dict[str, Any]
_Row = tuple[str, str, str, str]
_PLACES: Final = 2


def story_lines(found: Provenance, zone: str) -> Iterator[str]:
    """One target: its bound, then what the bound was made of, then what it overrides."""
    held, target = found.held, found.held.target
    whose = "" if found.carried is None else " of the team"
    yield (
        f"target {target.name}{whose}, {target.window}: "
        f"{bounds_words(target, target.low, target.high)}{_when(found, zone)}"
    )
    rows = [_override_row("holds", target, held.override, zone)]
    rows += [_factor_row(factor) for factor in held.factors]
    rows += [_override_row("overridden", target, each, zone) for each in held.overridden]
    yield from (f"  {line}" for line in aligned([*rows, *_asked_rows(found)]))


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of equal columns, flush left."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _when(found: Provenance, zone: str) -> str:
    target = found.held.target
    if not found.in_force:
        return f"; not in force: {_span(target.from_ms, target.to_ms, zone)}"
    until_ms = min(found.held.until_ms, target.to_ms)
    return "" if until_ms == ALWAYS_TO_MS else f", may change at {instant(until_ms, zone)}"


def _span(from_ms: int, to_ms: int, zone: str) -> str:
    begin = [] if from_ms == ALWAYS_FROM_MS else [f"from {instant(from_ms, zone)}"]
    return " ".join([*begin, *([] if to_ms == ALWAYS_TO_MS else [f"to {instant(to_ms, zone)}"])])


def _override_row(role: str, target: Target, override: Override, zone: str) -> _Row:
    bounds = bounds_words(target, override.low, override.high)
    notes = [each for each in (override.reason, _span(override.from_ms, override.to_ms, zone)) if each]
    return role, bounds, override.words, ", ".join(notes)


def _factor_row(factor: Factor) -> _Row:
    return "times", percent(factor.share), " ".join([factor.kind, factor.detail]).strip(), ""


def _asked_rows(found: Provenance) -> Iterator[_Row]:
    """What the schedule makes of the bound in this window, and what an agent carries of a team's."""
    target, pace, carried = found.held.target, found.pace, found.carried
    if carried is not None:
        parts = f"{percent(carried.share)}, split among {carried.members}"
        yield "carries", _rounded(target, carried.bound), parts, ""
    if pace is not None and pace.expected is not None:
        words = [f"{factor.kind} {percent(factor.share)}" for factor in pace.factors]
        yield "this window", _rounded(target, pace.prorated), ", ".join([pace.basis, *words]), ""
        yield "by now", _rounded(target, pace.expected), "", ""


def _rounded(target: Target, value: Fraction) -> str:
    return bound_words(target, Fraction(decimal(value, _PLACES)))


def story_json(found: Provenance, zone: str) -> Json:
    """One target as plain JSON values; numbers in the KPI's unit."""
    held, target, pace, carried = found.held, found.held.target, found.pace, found.carried
    return {
        "target": target.name,
        "kpi": target.kpi,
        "member": target.member,
        "window": target.window,
        "window_from": instant(found.window.from_ms, zone),
        "window_to": instant(found.window.to_ms, zone),
        "direction": target.direction,
        "in_force": found.in_force,
        "low": number(target.low),
        "high": number(target.high),
        "bound_from": held.bound_from,
        "may_change_at": _instant(min(held.until_ms, target.to_ms), zone),
        "holds": _override_json(held.override, zone),
        "factors": [
            {"kind": factor.kind, "share": number(factor.share), "detail": factor.detail} for factor in held.factors
        ],
        "overridden": [_override_json(each, zone) for each in held.overridden],
        "prorated": None if pace is None else number(pace.prorated),
        "expected": None if pace is None else number(pace.expected),
        "basis": None if pace is None else pace.basis,
        "carries": None
        if carried is None
        else {"share": number(carried.share), "bound": number(carried.bound), "members": carried.members},
    }


def _override_json(override: Override, zone: str) -> Json:
    return {
        "for": override.reach,
        "name": override.name,
        "low": number(override.low),
        "high": number(override.high),
        "from": _instant(override.from_ms, zone),
        "to": _instant(override.to_ms, zone),
        "reason": override.reason,
    }


SOON_MS: Final = 600_000
"""An alarm that is over so soon has called somebody for nothing, or for little."""


def told_lines(target: Target, told: Sequence[Told]) -> Iterator[str]:
    """What a target would have told: a line for everybody of whom it fired, who it fired for most often first."""
    fired = sorted((each for each in told if each.alarms), key=lambda each: (-len(each.alarms), each.subject))
    days = sum(each.days for each in told)
    yield f"target {target.name}: fired for {len(fired)} of {len(told)} on {days} business days in all"
    if fired:
        rows = [_told_row(_whose(each.subject), each.days, each.alarms) for each in fired]
        if len(fired) > 1:
            rows.append(_told_row("all", days, [alarm for each in fired for alarm in each.alarms]))
        head = ("for", "days", "fired", "on for", "longest", "over in 10 min", "still on")
        yield from (f"  {line}" for line in aligned([head, *rows]))


def _told_row(whose: str, days: int, alarms: Sequence[Alarm]) -> tuple[str, ...]:
    lengths = [alarm.to_ms - alarm.from_ms for alarm in alarms]
    soon, still = len(_soon(alarms)), sum(alarm.open for alarm in alarms)
    return (
        whose, str(days), str(len(alarms)), _hours(sum(lengths)), _hours(max(lengths)), str(soon), str(still)
    )  # fmt: skip


def _soon(alarms: Sequence[Alarm]) -> list[Alarm]:
    return [alarm for alarm in alarms if not alarm.open and alarm.to_ms - alarm.from_ms <= SOON_MS]


def _whose(subject: Subject) -> str:
    return f"{subject.tenant}/{subject.scope}"


def _hours(length_ms: int) -> str:
    """A time for people: hours and minutes."""
    return f"{length_ms // 3_600_000}:{length_ms // 60_000 % 60:02} h"


def told_json(told: Told, zone: str) -> Json:
    """What one target would have told of one scope, with every alarm."""
    return {
        "target": told.subject.target,
        "tenant": told.subject.tenant,
        "scope": told.subject.scope,
        "days": told.days,
        "fired": len(told.alarms),
        "on_ms": sum(alarm.to_ms - alarm.from_ms for alarm in told.alarms),
        "over_within_10_minutes": len(_soon(told.alarms)),
        "alarms": [
            {"from": instant(alarm.from_ms, zone), "to": None if alarm.open else instant(alarm.to_ms, zone)}
            for alarm in told.alarms
        ],
    }


def number(value: Fraction | None) -> float | int | None:
    """An exact number as JSON has it: an integer where it is one."""
    if value is None:
        return None
    return int(value) if value.denominator == 1 else float(value)


def _instant(at_ms: int, zone: str) -> str | None:
    return None if at_ms in (ALWAYS_FROM_MS, ALWAYS_TO_MS) else instant(at_ms, zone)
