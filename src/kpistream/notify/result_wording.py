"""Result wording: a list of results in words; `text_of` is the text of any message, for all channels."""

from typing import Final

from kpistream.core.errands import Message
from kpistream.core.kpis import BY_NAME
from kpistream.core.own_kpis import PER_HOUR, Shape
from kpistream.core.result_records import ResultList, ToldResult
from kpistream.core.results import Outcome, Result
from kpistream.core.targets import Severity
from kpistream.notify.languages import N_, Language
from kpistream.notify.wording import SEVERITIES, WINDOWS, Figure, Text, bound, kpi_name, size, value, write

OUTCOMES: Final = {
    Outcome.MET: N_("met"),
    Outcome.MISSED: N_("missed"),
    Outcome.TOO_LITTLE: N_("too little data"),
}
_ROOM_BYTES: Final = 20


def text_of(message: Message, language: Language, limit_bytes: int | None = None) -> Text:
    """A message as a person reads it, subject and body together at most so many bytes of UTF-8."""
    if message.results is None:
        return write(message, language, limit_bytes)
    found = message.results
    subject = language._("Results: {missed} missed, {met} met, {too_little} with too little data").format(
        missed=language.number(found.missed),
        met=language.number(found.met),
        too_little=language.number(found.too_little),
    )
    room = None if limit_bytes is None else limit_bytes - size(subject)
    return Text(subject, _body(found, language, room))


def _body(found: ResultList, language: Language, limit_bytes: int | None) -> str:
    """A line for each that is listed, as many as there is room for."""
    more = language._("and {count} more: kpistream report results")
    room = None if limit_bytes is None else limit_bytes - size(more) - _ROOM_BYTES
    lines: list[str] = []
    for each in found.listed:
        line = result_line(each, language)
        if room is not None:
            room -= size(line) + 1
            if room < 0:
                break
        lines.append(line)
    left = found.count - len(lines)
    return "\n".join([*lines, more.format(count=language.number(left))] if left else lines)


def result_line(told: ToldResult, language: Language) -> str:
    """One result: who, what, how it closed, by which number, and over which period."""
    found = told.result
    unit, worked = _unit_of(found)
    figure = Figure(
        found.value,
        found.numerator,
        found.denominator,
        unit,
        found.direction,
        found.low,
        found.high,
        found.denominator if worked else None,
    )
    outcome = language._(OUTCOMES[found.outcome])
    if found.outcome is Outcome.MISSED and found.severity is Severity.CRITICAL:
        outcome += f" ({language._(SEVERITIES[found.severity])})"
    line = language._("{who}: {kpi} {outcome}: {value}, target {bound}; {window} from {begin}").format(
        who=found.display_name or found.scope.partition(":")[2] or found.tenant,
        kpi=kpi_name(found.kpi, language),
        outcome=outcome,
        value=value(figure, language),
        bound=bound(figure, language),
        window=language._(WINDOWS.get(found.window, found.window)),
        begin=language.time(found.window_from_ms),
    )
    if told.was is not None:
        line += language._(" (corrected, was: {outcome})").format(outcome=language._(OUTCOMES[told.was]))
    return f"- {line}"


def _unit_of(found: Result) -> tuple[str, bool]:
    """Unit of a result's KPI, none for one that this version does not know, and whether it is over working time."""
    if isinstance(found.shape, Shape):
        return found.shape.unit, found.shape.form == PER_HOUR
    kpi = BY_NAME.get(found.kpi)
    return "" if kpi is None else kpi.unit, False
