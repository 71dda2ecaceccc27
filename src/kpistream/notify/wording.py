"""Wording: an explanation in words, the same in every channel, in the receiver's language, zone and number format."""

from collections.abc import Sequence
from typing import Final, NamedTuple

import msgspec

from kpistream.core.alerts import State
from kpistream.core.errands import Entry, Kind, Message
from kpistream.core.explanation import Explanation, Happened, Next, explained, value_of
from kpistream.core.kpis import BY_NAME
from kpistream.core.targets import Direction, Severity, Why
from kpistream.core.windows import LIVE_WINDOWS
from kpistream.notify.languages import N_, Language
from kpistream.notify.source_wording import SOURCE_HEADLINES, SOURCE_NEXTS

_IN_FULL: Final = 5
"""Alerts of a message that are explained in full; of more, each has its line and its command."""

HEADLINES: Final = {
    Happened.SLIPS: N_("{who}: {kpi} misses its target: {value}, target {bound}"),
    Happened.GOES_ON: N_("{who}: {kpi}: the alert goes on: {value}, target {bound}"),
    Happened.MAY_SLIP: N_("{who}: {kpi} may miss its target: {value}, target {bound}"),
    Happened.RECOVERS: N_("{who}: {kpi} meets its target again, not for long enough yet: {value}, target {bound}"),
    Happened.RECOVERED: N_("{who}: {kpi} has recovered: {value}, target {bound}"),
    Happened.REACHED: N_("{who}: {kpi} has reached its target: {value}, target {bound}"),
    Happened.BEST: N_("{who}: {kpi}: best day of twelve weeks: {value}, the best before: {best}"),
    Happened.NEVER_TRUE: N_("{who}: {kpi}: the alert was not true: {value} at that time, target {bound}"),
    Happened.ENDED: N_("{who}: {kpi}: the alert has ended without a recovery: {value}, target {bound}"),
    Happened.UNKNOWN: N_("{who}: {kpi}: nothing is known now, the alert is not over"),
    Happened.RESTS: N_("{who}: {kpi}: the target rests, the alert is not over"),
}
NEXTS: Final = {
    Next.FIRES_IF_IT_STAYS: N_("the alert fires if it stays so"),
    Next.OVER_WHEN_MET: N_("the alert is over when the target is met again, by its level to recover where it has one"),
    Next.OVER_IF_IT_STAYS: N_("the alert is over if it stays so"),
    Next.JUDGED_ANEW: N_("the target is judged on, and fires anew when it is missed"),
    Next.GOES_ON_WITH_DATA: N_("the alert goes on when data come again"),
    Next.GOES_ON_AT_WORK: N_("the alert goes on when work begins again"),
    Next.NOTHING: N_("nothing: the target does not hold here any more"),
}
STATES: Final = {
    State.OK: N_("ok"),
    State.PENDING: N_("pending"),
    State.FIRING: N_("firing"),
    State.RECOVERING: N_("recovering"),
    State.NO_DATA: N_("no data"),
    State.SUSPENDED: N_("suspended"),
}
REASONS: Final = {
    Why.WITHIN_BOUND: N_("within its bound"),
    Why.NEAR_BOUND: N_("back at its bound, but not far enough to end the alert"),
    Why.BELOW_BOUND: N_("below its bound"),
    Why.ABOVE_BOUND: N_("above its bound"),
    Why.NO_CASES: N_("no cases yet"),
    Why.SAMPLE_TOO_SMALL: N_("too few cases to say anything"),
    Why.ON_PACE: N_("on pace"),
    Why.BEHIND_PACE: N_("behind pace"),
    Why.NO_SCHEDULE: N_("nobody has said when this agent works"),
    Why.SOURCE_SILENT: N_("the source is silent for everybody"),
    Why.SOURCE_HEARD: N_("events come again"),
    Why.REACHED: N_("all that is asked for is done"),
    Why.PERSONAL_BEST: N_("more than on any other day of twelve weeks"),
    Why.CORRECTED: N_("events came late or were corrected"),
    Why.EVIDENCE_OPEN: N_("so little beyond its bound that chance does that"),
    Why.CATCHING_UP: N_("the system is catching up"),
    Why.PANES_CLOSED: N_("the window reaches further back than live data"),
    Why.HISTORY_UNREACHABLE: N_("history cannot be reached"),
    Why.REFILLING: N_("its own measures are still being counted"),
    Why.COUNTED_LATER: N_("its own measures are counted since a later moment"),
    Why.OFF_SHIFT: N_("off shift"),
    Why.NOT_COVERED: N_("the target does not hold here any more"),
}
WINDOWS: Final = {
    "rolling-15m": N_("last 15 minutes"),
    "rolling-60m": N_("last 60 minutes"),
    "business-day": N_("business day"),
    "week": N_("week"),
    "month": N_("month"),
    "quarter": N_("quarter"),
    "year": N_("year"),
}
SEVERITIES: Final = {Severity.WARNING: N_("warning"), Severity.CRITICAL: N_("critical")}
_COUNT_BYTES: Final = 20
KPI: Final = "kpi"
"""Context of the names of KPIs in catalogues: `connect share`."""


class Figure(NamedTuple):
    """What a number and its bound are written out of, where there is no explanation."""

    value: float | int | None
    numerator: int | None
    denominator: int | None
    unit: str
    direction: Direction
    low: float | None
    high: float | None
    worked_ms: int | None = None
    """Of a KPI by the hour: the working time that it is over."""


class Text(NamedTuple):
    """A message in words."""

    subject: str
    body: str


def write(message: Message, language: Language, limit_bytes: int | None = None) -> Text:
    """A message as a person reads it, subject and body together at most so many bytes of UTF-8."""
    explanations = [explained(entry.transition) for entry in message.entries]
    severe = max(explanations, key=lambda each: each.severity is Severity.CRITICAL)
    if len(explanations) == 1:
        first = headline(severe, language)
    else:
        first = language._("{count} alerts").format(count=len(explanations)) + _of_team(message.entries, language)
    parts = [full(entry, language) for entry in message.entries] if len(explanations) <= _IN_FULL else []
    body = "\n\n".join(parts)
    subject = _marked(first, message.kind, severe, language)
    room = None if limit_bytes is None else limit_bytes - size(subject) - _COUNT_BYTES
    if not parts or (room is not None and size(body) > room):
        body = _briefly(explanations, language, room)
    return Text(subject, body)


def _briefly(explanations: Sequence[Explanation], language: Language, limit_bytes: int | None) -> str:
    """A line and a command for each, as many as there is room for."""
    more = language._("and {count} more: kpistream alerts list")
    room = None if limit_bytes is None else limit_bytes - size(more) - _COUNT_BYTES
    lines: list[str] = []
    for found in explanations:
        line = brief(found, language)
        if room is not None:
            room -= size(line) + 1
            if room < 0:
                return "\n".join([*lines, more.format(count=len(explanations) - len(lines))])
        lines.append(line)
    return "\n".join(lines)


def size(text: str) -> int:
    """Bytes of a text."""
    return len(text.encode("utf-8", "replace"))


def _marked(text: str, kind: Kind, found: Explanation, language: Language) -> str:
    marks = []
    if found.severity is Severity.CRITICAL:
        marks.append(language._(SEVERITIES[found.severity]))
    kinds = {
        Kind.REPEAT: language._("again"),
        Kind.ESCALATION: language._("nobody has acknowledged"),
        Kind.DIGEST: language._("digest"),
    }
    if kind in kinds:
        marks.append(kinds[kind])
    return "".join(f"[{mark}] " for mark in marks) + text


def _of_team(entries: Sequence[Entry], language: Language) -> str:
    teams = {entry.transition.team for entry in entries}
    if len(teams) != 1 or None in teams:
        return ""
    return language._(" of team {team}").format(team=teams.pop())


def headline(found: Explanation, language: Language) -> str:
    """The alert in one line."""
    if found.source is not None:
        length = language._("unknown time") if found.value is None else language.duration(found.value)
        hidden = language.number(found.hidden or 0)
        return language._(SOURCE_HEADLINES[found.happened]).format(
            who=found.source, tenant=found.tenant, value=length, hidden=hidden
        )
    return language._(HEADLINES[found.happened]).format(
        who=found.who,
        kpi=kpi_name(found.kpi, language),
        value=value(found, language),
        bound=bound(found, language),
        best=amount(found.low or 0, found.unit, language),
    )


def brief(found: Explanation, language: Language) -> str:
    """Headline and command, for one of many."""
    line = f"- {headline(found, language)}"
    return line if found.ack_command is None else f"{line}\n  {found.ack_command}"


def full(entry: Entry, language: Language) -> str:
    """The alert in lines: everything that the explanation says."""
    found = explained(entry.transition)
    tell = language._
    if found.source is not None:
        return "\n".join([headline(found, language), *_of_source(found, language), *_end(entry, found, language)])
    lines = [headline(found, language)]
    if found.team is not None:
        lines.append(tell("Team: {team}").format(team=found.team))
    if found.happened in (Happened.REACHED, Happened.BEST):
        return "\n".join([*lines, _window(found, language), *_end(entry, found, language)])
    lines += [
        tell("Value: {value}, {reason}").format(
            value=value(found, language), reason=tell(REASONS.get(found.reason, found.reason))
        ),
        tell("Target {target}: {bound}, {origin}").format(
            target=found.target, bound=bound(found, language), origin=origin(found, language)
        ),
    ]
    lines += told(found, language) + evidence(found, language) + pace(found, language)
    lines += [
        _window(found, language),
        tell("Since: {time} ({zone}); before: {state}").format(
            time=language.time(found.since_ms),
            zone=language.zone,
            state=tell(STATES.get(found.previous, found.previous)),
        ),
        tell("Next: {next}").format(next=tell(NEXTS[found.next])),
        tell("How it is counted: {formula}").format(formula=found.formula),
    ]
    lines += contributors(found, language)
    return "\n".join(lines + _end(entry, found, language))


def _window(found: Explanation, language: Language) -> str:
    tell = language._
    return tell("Window: {window}, {begin} to {end}").format(
        window=tell(WINDOWS.get(found.window, found.window)),
        begin=language.time(found.window_from_ms, found.at_ms),
        end=language.time(found.window_to_ms, found.at_ms),
    )


def _of_source(found: Explanation, language: Language) -> list[str]:
    """What is known of a source that is, or was, silent."""
    tell = language._
    lines = []
    if found.last_ms is not None:
        lines.append(
            tell("Last event: before {time} ({zone})").format(time=language.time(found.last_ms), zone=language.zone)
        )
    if found.high is not None:
        lines.append(tell("Told after: {length} at work").format(length=language.duration(found.high)))
    if found.state is State.FIRING:
        lines.append(tell("Look at the source, at its way to Kafka, and at what was refused: kpistream dlq list"))
    return [*lines, tell("Next: {next}").format(next=tell(SOURCE_NEXTS[found.next]))]


def _end(entry: Entry, found: Explanation, language: Language) -> list[str]:
    """The last lines of every alert."""
    tell, lines = language._, list[str]()
    if found.owner is not None:
        lines.append(tell("Owner of the target: {owner}").format(owner=found.owner))
    if entry.repeat:
        lines.append(tell("Told before: {count} times").format(count=entry.repeat))
    lines.append(tell("Alert: {id}").format(id=found.alert_id))
    if found.ack_command is not None:
        lines.append(tell("Acknowledge: {command}").format(command=found.ack_command))
    return lines


def kpi_name(name: str, language: Language) -> str:
    """A KPI's name for people; the exact one where there is no other."""
    return language.pgettext(KPI, name.replace("_", " "))


def told(found: Explanation, language: Language) -> list[str]:
    """What was told of an alert that was not true."""
    if found.corrects is None or found.told_at_ms is None:
        return []
    text = language._("Told {time} ({zone}): {value}. That was not true: events came late or were corrected")
    then = _number(found.told_value, (found.told_numerator, found.told_denominator), found, language)
    return [text.format(time=language.time(found.told_at_ms), zone=language.zone, value=then)]


def value(found: Explanation | Figure, language: Language) -> str:
    """The value with its fraction: `15% (24 of 160)`."""
    return _number(found.value, (found.numerator, found.denominator), found, language)


def _number(
    shown: float | None, fraction: tuple[int | None, int | None], found: Explanation | Figure, language: Language
) -> str:
    if shown is None:
        return language._("no value")
    text, (numerator, denominator) = amount(shown, found.unit, language), fraction
    if numerator is None or denominator is None:
        return text
    if found.unit == "share":
        return language._("{value} ({numerator} of {denominator})").format(
            value=text, numerator=language.number(numerator), denominator=language.number(denominator)
        )
    if found.worked_ms is not None:
        return language._("{value} ({numerator} in {time} at work)").format(
            value=text, numerator=language.number(numerator), time=language.duration(denominator)
        )
    return language._("{value} (of {denominator} cases)").format(value=text, denominator=language.number(denominator))


def bound(found: Explanation | Figure, language: Language) -> str:
    """The bound, or both: `at least 25%`."""
    low = None if found.low is None else amount(found.low, found.unit, language)
    high = None if found.high is None else amount(found.high, found.unit, language)
    if found.direction is Direction.BETWEEN:
        return language._("{low} to {high}").format(low=low, high=high)
    if found.direction is Direction.AT_LEAST:
        return language._("at least {low}").format(low=low)
    return language._("at most {high}").format(high=high)


def amount(number: float, unit: str, language: Language) -> str:
    """A number in its unit."""
    if unit == "share":
        return language.percent(number)
    if unit == "ms":
        return language.duration(number)
    return language.number(number, 2)


def origin(found: Explanation, language: Language) -> str:
    """Where the bound comes from."""
    if found.bound_from is None:
        return language._("which holds for all")
    return language._("from {origin}").format(origin=found.bound_from)


def evidence(found: Explanation, language: Language) -> list[str]:
    """How rarely chance alone does this."""
    if found.window not in LIVE_WINDOWS:
        return []
    if found.alarm_days is None:
        return [language._("Evidence: none asked for, the number alone decides")]
    allowed = language._("the target allows a false alarm on 1 in {days} days").format(
        days=language.number(found.alarm_days)
    )
    if found.chance_days is None:
        return []
    text = language._("Evidence: chance alone brings this on fewer than 1 in {days} days; {allowed}")
    return [text.format(days=language.number(found.chance_days), allowed=allowed)]


def pace(found: Explanation, language: Language) -> list[str]:
    """How a count stands against the time at work."""
    if found.expected is None or found.numerator is None:
        return []
    basis = language._("business hours: no shift known") if found.no_shift_known else language._("shift")
    text = language._("Pace: {count} of {expected} expected by now, {behind} behind, by {basis}")
    return [
        text.format(
            count=language.number(found.numerator),
            expected=language.number(found.expected),
            behind=language.number(found.behind or 0.0),
            basis=basis,
        )
    ]


def contributors(found: Explanation, language: Language) -> list[str]:
    """The events or agents that have most to do with it, a line each, and how to open them."""
    if not found.contributors:
        return []
    lines = [language._("Most to do with it:")]
    for each in found.contributors:
        part = msgspec.structs.replace(
            found, value=value_of(found, each), numerator=each.numerator, denominator=each.denominator
        )
        if each.from_ms is None:
            lines.append(f"  {_plain(each.name.removeprefix('agent:'))}: {value(part, language)}")
            continue
        name, at = _plain(each.name.partition("/")[2]), language.time(each.from_ms, found.at_ms)  # without the tenant
        says_more = (
            part.value is not None and found.unit != "share" and (each.denominator is not None or part.value != 1)
        )
        number = f": {amount(part.value or 0, found.unit, language)}" if says_more else ""
        lines.append(f"  {name}, {at}{number}")
    return [*lines, language._("Open them: {command}").format(command=found.open_command)]


def _plain(name: str) -> str:
    """An id that a producer has made up, without what would look like lines of ours."""
    return "".join(char if char.isprintable() else " " for char in name)


def names_of_kpis() -> list[str]:
    """The names that catalogues translate."""
    return [name.replace("_", " ") for name in BY_NAME]
