"""Fields: how one value of an event comes from a row, as a small description that becomes a function.

A value is found (constant, template of columns, first of several, another field), emptied when it is a null
token, looked up, and then read as what the field is: text, time, duration, amount or number. A value that
cannot be read rejects its row, with the field and the text in the reason.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final
from zoneinfo import ZoneInfo

from kpistream.core.currencies import DIGITS
from kpistream.core.yaml_nodes import Where
from kpistream.errors import EventRejected, Reason
from kpistream.sources.predicates import EVERY, Predicate
from kpistream.sources.rows import Cell, Columns, Row
from kpistream.sources.times import duration_ms, number, parser, to_ms

Value = object
Make = Callable[[Row], Value]
DEFAULT_CURRENCY_DIGITS: Final = 2


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a template: literal text, or a column."""

    text: str
    column: bool


@dataclass(frozen=True, slots=True)
class Spec:
    """How one value comes; exactly one of `pieces`, `first`, `field`, `date` says from where."""

    where: Where
    kind: str
    """text, time, duration, amount, decimal or integer."""
    pieces: tuple[Piece, ...] | None = None
    first: "tuple[Spec, ...]" = ()
    field: str | None = None
    """Another field of the same event, made before."""
    date: str | None = None
    """Column with the date; `time` is the column with the time of day."""
    time: str | None = None
    when: Predicate = EVERY
    nulls: frozenset[str] = frozenset()
    table: Mapping[str, str] | None = None
    otherwise: "Spec | None" = None
    """What a text that is not in the table becomes; None rejects the row."""
    form: str = "iso"
    time_form: str = "%H:%M:%S"
    zone: ZoneInfo | None = None
    unit: str = "ms"
    decimal: str = "."
    thousands: str = ""
    not_before: str | None = None
    plus: "Spec | None" = None
    minus: "Spec | None" = None

    def needs(self) -> set[str]:
        """Names of the fields of the same event that this value is made from."""
        found = {name for name in (self.field, self.not_before) if name is not None}
        if self.kind == "amount" and self.unit == "major":
            found.add("currency")
        for spec in (*self.first, self.otherwise, self.plus, self.minus):
            if spec is not None:
                found |= spec.needs()
        return found


@dataclass(frozen=True, slots=True)
class Binding:
    """What specs are bound to: the columns of a file and the zone for local times."""

    columns: Columns
    zone: ZoneInfo | None
    nulls: frozenset[str] = field(default=frozenset())


def bind(spec: Spec, to: Binding) -> Make:
    """The value as a function of a row; it raises EventRejected. Missing columns and zones become faults of `to`."""
    if spec.kind == "time" and (spec.zone or to.zone) is None and _is_local(spec):
        to.columns.faults.add(
            spec.where,
            "local time without a zone: give --zone, or zone: in the mapping",
        )
    make = _source(spec, to)
    if spec.when.groups:
        make = _only_when(spec.when.bind(to.columns), make)
    if spec.plus is not None:
        make = _shifted(make, bind(spec.plus, to), 1)
    if spec.minus is not None:
        make = _shifted(make, bind(spec.minus, to), -1)
    return make


def _is_local(spec: Spec) -> bool:
    """True when no text in the format of this time can name its zone."""
    forms = spec.form if spec.time is None else spec.form + spec.time_form
    found = spec.date is not None or any(piece.column for piece in spec.pieces or ())
    return found and "%" in forms and "%z" not in forms


def _source(spec: Spec, to: Binding) -> Make:
    if spec.first:
        return _first([bind(option, to) for option in spec.first])
    if spec.field is not None:
        name = spec.field
        return lambda row: row.made.get(name)
    if spec.date is not None:
        return _date_and_time(spec, to)
    assert spec.pieces is not None
    return _read(spec, _looked_up(spec, _text(spec, to), to), to)


def _only_when(test: Callable[[Row], bool], make: Make) -> Make:
    return lambda row: make(row) if test(row) else None


def _first(options: list[Make]) -> Make:
    def make(row: Row) -> Value:
        for option in options:
            value = option(row)
            if value is not None:
                return value
        return None

    return make


def _shifted(base: Make, by: Make, sign: int) -> Make:
    def make(row: Row) -> Value:
        start, step = base(row), by(row)
        if start is None or step is None:
            return None
        assert isinstance(start, int)
        assert isinstance(step, int)
        return start + sign * step

    return make


def _text(spec: Spec, to: Binding) -> Cell:
    """The text before look-up; None when any column of it is empty or a null token."""
    assert spec.pieces is not None
    nulls = spec.nulls | to.nulls
    parts = [_cell(piece.text, spec, to, nulls) if piece.column else piece.text for piece in spec.pieces]
    if len(parts) == 1:
        (only,) = parts
        return (lambda row: only or None) if isinstance(only, str) else only

    def text(row: Row) -> str | None:
        out = []
        for part in parts:
            found = part if isinstance(part, str) else part(row)
            if found is None:
                return None
            out.append(found)
        return "".join(out)

    return text


def _cell(column: str, spec: Spec, to: Binding, nulls: frozenset[str]) -> Cell:
    cell = to.columns.cell(column, spec.where)

    def text(row: Row) -> str | None:
        found = cell(row)
        return None if not found or found in nulls else found

    return text


def _looked_up(spec: Spec, text: Cell, to: Binding) -> Cell:
    table = spec.table
    if table is None:
        return text
    otherwise = None if spec.otherwise is None else bind(spec.otherwise, to)

    def look_up(row: Row) -> str | None:
        found = text(row)
        if found is None:
            return None
        value = table.get(found)
        if value is not None:
            return value or None
        if otherwise is None:
            raise _unmapped(spec, f'"{found}" is not in the table')
        other = otherwise(row)
        return None if other is None else str(other)

    return look_up


def _read(spec: Spec, text: Cell, to: Binding) -> Make:
    if spec.kind == "text":
        return text
    if spec.kind == "time":
        return _timed(spec, text, to)
    if spec.kind == "duration":
        return _converted(spec, text, lambda found, row: duration_ms(_plain(found, spec), spec.unit))
    if spec.kind == "amount":
        return _converted(spec, text, lambda found, row: _amount(spec, found, row))
    if spec.kind == "decimal":
        return _converted(spec, text, lambda found, row: _number(found, spec))
    return _converted(spec, text, lambda found, row: _whole(found, spec))


def _converted(spec: Spec, text: Cell, convert: Callable[[str, Row], Value]) -> Make:
    def make(row: Row) -> Value:
        found = text(row)
        if found is None:
            return None
        try:
            return convert(found, row)
        except (ValueError, OverflowError, ArithmeticError) as error:
            raise _unmapped(spec, str(error)) from error

    return make


def _unmapped(spec: Spec, fact: str) -> EventRejected:
    return EventRejected(
        Reason.UNMAPPED,
        f"{spec.where.key}: {fact}",
        f"line {spec.where.line} of the mapping",
    )


def _timed(spec: Spec, text: Cell, to: Binding) -> Make:
    parse = parser(spec.form)
    zone = spec.zone or to.zone
    after = spec.not_before

    def convert(found: str, row: Row) -> int:
        try:
            at = parse(found)
        except (ValueError, ArithmeticError) as error:
            raise ValueError(f'"{found}" is not a time in the format {spec.form}') from error
        return _ms(spec, at, zone, _ms_of(row, after))

    return _converted(spec, text, convert)


def _ms(spec: Spec, at: datetime, zone: ZoneInfo | None, not_before_ms: int | None) -> int:
    if at.tzinfo is None and zone is None:
        raise EventRejected(
            Reason.NO_ZONE,
            f'{spec.where.key}: "{at}" names no zone',
            "give --zone or zone: in the mapping",
        )
    return to_ms(at, zone, not_before_ms)


def _ms_of(row: Row, name: str | None) -> int | None:
    found = None if name is None else row.made.get(name)
    return found if isinstance(found, int) else None


def _date_and_time(spec: Spec, to: Binding) -> Make:
    assert spec.date is not None
    nulls = spec.nulls | to.nulls
    date = _cell(spec.date, spec, to, nulls)
    clock = None if spec.time is None else _cell(spec.time, spec, to, nulls)
    parse_date, parse_clock = parser(spec.form), parser(spec.time_form)
    zone, after = spec.zone or to.zone, spec.not_before

    def make(row: Row) -> Value:
        day, hour = date(row), None if clock is None else clock(row)
        if day is None or (clock is not None and hour is None):
            return None
        try:
            at = parse_date(day)
            if hour is not None:
                at = datetime.combine(at.date(), parse_clock(hour).time(), at.tzinfo)
            return _ms(spec, at, zone, _ms_of(row, after))
        except (ValueError, ArithmeticError) as error:
            shown = day if hour is None else f"{day} {hour}"
            form = spec.form if hour is None else f"{spec.form} {spec.time_form}"
            raise _unmapped(spec, f'"{shown}" is not a time in the format {form}') from error

    return make


def _plain(text: str, spec: Spec) -> str:
    if spec.thousands:
        text = text.replace(spec.thousands, "")
    return text if spec.decimal == "." else text.replace(spec.decimal, ".")


def _number(text: str, spec: Spec) -> int | float:
    found = number(_plain(text, spec))
    return int(found) if found == found.to_integral_value() else float(found)


def _whole(text: str, spec: Spec) -> int:
    found = number(_plain(text, spec))
    if found != found.to_integral_value():
        raise ValueError(f'"{text}" is not a whole number')
    return int(found)


def _amount(spec: Spec, text: str, row: Row) -> int:
    amount = number(_plain(text, spec))
    if spec.unit == "major":
        amount = amount.scaleb(DIGITS.get(str(row.made.get("currency")), DEFAULT_CURRENCY_DIGITS))
    if amount != amount.to_integral_value():
        raise ValueError(f'"{text}" has more digits than its currency')
    return int(amount)
