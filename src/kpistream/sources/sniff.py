"""Sniffing: what a file looks like, from its first rows: how it is cut, and what each column holds.

Guesses only; nothing here decides about an event. A guess that could be read in two ways says so.
"""

import codecs
import csv
import gzip
import json
from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Final

from kpistream.errors import ConfigError
from kpistream.sources.rows import Format, Reader
from kpistream.sources.times import parser

SAMPLE_ROWS: Final = 500
_MAX_DIGITS: Final = 18
_UNIQUE_ROWS: Final = 1_000_000
_SAMPLE_BYTES: Final = 1 << 18
_DELIMITERS: Final = ",;\t|"
_NULLS: Final = ("", "null", "none", "nan", "n/a", "na", "-", "\\n")
_DAYS: Final = ("%Y-%m-%d", "%Y/%m/%d", "%d/%m/%Y", "%m/%d/%Y", "%d.%m.%Y", "%d-%m-%Y", "%d/%m/%y", "%m/%d/%y")
_PACKED_DAYS: Final = ("%Y%m%d", "%y%m%d")
_CLOCKS: Final = ("%H:%M:%S", "%H:%M", "%H:%M:%S.%f", "%I:%M:%S %p", "%I:%M %p")
_EPOCHS: Final = {"epoch-s": (10**9, 4 * 10**9), "epoch-ms": (10**12, 4 * 10**12)}
_NEVER: Final = ("0:00:00", "00:00:00", "0000-00-00 00:00:00", "0000-00-00")


@dataclass(frozen=True, slots=True)
class Column:
    """What a column holds, as far as the sample shows."""

    name: str
    values: tuple[str, ...]
    """Values of the sample that are no null token."""
    nulls: tuple[str, ...]
    """Texts of the sample that look like "no value", the empty text left out."""
    kind: str
    """time, date, clock, integer, number, clock-duration or text."""
    forms: tuple[str, ...] = ()
    """Formats that fit every value of a time, date or clock; several when the sample does not decide."""

    @property
    def distinct(self) -> list[str]:
        """Distinct values, the most frequent first."""
        return [value for value, _ in Counter(self.values).most_common()]


@dataclass(frozen=True, slots=True)
class Sample:
    """A file as it looks: its format, its columns and how many rows were looked at."""

    form: Format
    columns: tuple[Column, ...]
    rows: int


def sniff(path: Path) -> Sample:
    """Look at the first rows of a file. Raises: ConfigError when there is nothing to look at."""
    head = _head(path)
    encoding = _encoding(head)
    lines = head.decode(encoding, "replace").splitlines()
    if not any(line.strip() for line in lines):
        raise ConfigError(f"{path}:1 file: is empty")
    if lines[0].strip() in ("{", "[") or lines[0].lstrip().startswith("["):
        raise ConfigError(f"{path}:1 file: is one JSON document; jsonl is one object a line (jq -c '.[]' makes them)")
    form = _json_form(lines, encoding) or _csv_form(lines, encoding)
    reader = Reader(path, form)
    rows: list[dict[str, str]] = []
    try:
        for row in reader:
            if row.fault is None:
                rows.append(_named(row.cells, reader.columns))
            if len(rows) == SAMPLE_ROWS:
                break
    finally:
        reader.close()
    if not rows:
        raise ConfigError(f"{path}:1 file: has no row to look at")
    names = list(dict.fromkeys(name for row in rows for name in row)) or list(reader.columns or ())
    columns = tuple(_column(name, [row.get(name, "") for row in rows]) for name in names)
    return Sample(form, columns, len(rows))


def unique_columns(path: Path, form: Format, candidates: list[tuple[str, ...]]) -> tuple[str, ...] | None:
    """The first of the candidates whose values never repeat in the whole file, or in its first million rows.

    Memory: one hash a row and candidate that has not repeated yet.
    """
    seen: dict[tuple[str, ...], set[int]] = {names: set() for names in candidates}
    reader = Reader(path, form)
    try:
        for row in islice(reader, _UNIQUE_ROWS):
            if row.fault is not None:
                continue
            cells = _named(row.cells, reader.columns)
            for names, hashes in list(seen.items()):
                found = hash(tuple(cells.get(name) for name in names))
                if found in hashes:
                    del seen[names]
                hashes.add(found)
    finally:
        reader.close()
    return next(iter(seen), None)


def _head(path: Path) -> bytes:
    try:
        with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as file:
            return file.read(_SAMPLE_BYTES)
    except (OSError, EOFError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from error


def _encoding(head: bytes) -> str:
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    try:
        # The sample may end within a character.
        head[: head.rfind(b"\n") + 1 or None].decode("utf-8")
    except UnicodeDecodeError:
        return "windows-1252"
    return "utf-8"


def _json_form(lines: list[str], encoding: str) -> Format | None:
    first = next(line for line in lines if line.strip())
    try:
        return Format("jsonl", encoding=encoding) if isinstance(json.loads(first), dict) else None
    except ValueError:
        return None


def _csv_form(lines: list[str], encoding: str) -> Format:
    whole = lines[:-1] if any(line.strip() for line in lines[1:-1]) else lines  # the last may end within a row
    scored = []
    for delimiter in _DELIMITERS:
        widths = Counter(len(cells) for cells in csv.reader(whole[:SAMPLE_ROWS], delimiter=delimiter) if cells)
        width, count = widths.most_common(1)[0]
        scored.append((count / widths.total() if width > 1 else 0.0, width, delimiter))
    _, width, delimiter = max(scored)
    # A quote in the middle of a value, as telephone systems write names, is no quoting.
    first = next(csv.reader(whole, delimiter=delimiter))
    header = _looks_like_header([cell.strip().removeprefix("\ufeff") for cell in first])
    names = () if header else tuple(f"column_{n}" for n in range(1, width + 1))
    return Format("csv", delimiter, '"', encoding, header, names)


def _looks_like_header(cells: list[str]) -> bool:
    named = [cell for cell in cells if cell and not cell[0].isdigit() and _time_forms([cell], packed=False) == ()]
    return len(named) == len(cells) == len(set(cells))


def _named(cells: object, columns: tuple[str, ...] | None) -> dict[str, str]:
    if isinstance(cells, list) and columns is not None:
        return dict(zip(columns, cells, strict=True))
    found: dict[str, str] = {}
    _flatten(cells, "", found)
    return found


def _flatten(value: object, path: str, found: dict[str, str]) -> None:
    if isinstance(value, dict):
        for name, inner in value.items():
            _flatten(inner, f"{path}.{name}" if path else name, found)
    elif not isinstance(value, list):
        found[path] = "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _column(name: str, texts: list[str]) -> Column:
    nulls = sorted({text for text in texts if text and text.lower() in _NULLS})
    values = tuple(text for text in texts if text.lower() not in _NULLS)
    if not values:
        return Column(name, (), tuple(nulls), "text")
    dated = any(word in name.lower() for word in ("date", "day"))
    happened = [value for value in values if value not in _NEVER] or list(values)
    forms = _time_forms(happened, packed=dated)
    if forms:
        kind = "clock" if all("%d" not in form and "%" in form for form in forms) else "time"
        if all("%H" not in form and "%I" not in form and "%" in form for form in forms):
            kind = "date"
        if kind == "clock" or len(happened) < len(values):
            nulls += sorted({value for value in values if value in _NEVER})
        return Column(name, values, tuple(nulls), kind, forms)
    return Column(name, values, tuple(nulls), _number_kind(values))


def _number_kind(values: tuple[str, ...]) -> str:
    if all(value.lstrip("-").isdecimal() for value in values):
        return "integer"
    try:
        for value in values:
            float(value)
    except ValueError:
        return "text"
    return "number"


def _time_forms(values: list[str], packed: bool) -> tuple[str, ...]:
    if all(value.isdecimal() and len(value) <= _MAX_DIGITS for value in values):
        numbers = [int(value) for value in values]
        found = [form for form, (low, high) in _EPOCHS.items() if all(low <= number < high for number in numbers)]
        return tuple(found) or (tuple(form for form in _PACKED_DAYS if _fits(form, values)) if packed else ())
    if all(len(value) > 10 for value in values) and _fits("iso", values):
        return ("iso",)
    forms = [f"{day}{gap}{clock}" for day in _DAYS for gap in (" ", "T") for clock in _CLOCKS]
    return tuple(form for form in (*_CLOCKS, *_DAYS, *forms) if _fits(form, values))


def _fits(form: str, values: list[str]) -> bool:
    parse = datetime.fromisoformat if form == "iso" else parser(form)
    try:
        for value in values:
            parse(value)
    except (ValueError, ArithmeticError):
        return False
    return True
