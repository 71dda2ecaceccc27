"""Rows of a file as text cells: csv, tsv and JSON lines, plain or .gz, with the raw bytes of each row.

Memory is one row. A row that cannot be read is handed out with its fault and its bytes; reading goes on with
the next line. A quote that is never closed costs its own line, not the rest of the file.
"""

import csv
import gzip
import io
import json
import zlib
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from kpistream.core.yaml_nodes import Faults, Where, near
from kpistream.errors import ConfigError

Cells = list[str] | dict[str, object]
MAX_ROW_BYTES = 1 << 20
"""A longer row is a bad row: 1 MiB, the largest message that a Kafka broker takes by default."""


@dataclass(slots=True)
class Row:
    """One row: its cells, where it stands, and the fields that the event in the making already has."""

    line: int
    """First line of the row in the file, from 1."""
    number: int
    """Rows since the header, from 1; blank lines are no rows."""
    raw: bytes
    cells: Cells
    fault: str | None = None
    """Why the row cannot be read; its cells are then empty."""
    made: dict[str, object] = field(default_factory=dict)


Cell = Callable[[Row], str | None]


@dataclass(frozen=True, slots=True)
class Format:
    """How a file is cut into rows and cells."""

    kind: str = "csv"
    """csv or jsonl (tsv is csv with a tab)."""
    delimiter: str = ","
    quote: str | None = '"'
    encoding: str = "utf-8"
    header: bool = True
    columns: tuple[str, ...] = ()
    """Names of the columns when the file has no header."""


class Columns:
    """The columns of one file, by name; asking for one that is not there is a fault of the mapping."""

    def __init__(self, names: tuple[str, ...] | None, file: str, faults: Faults) -> None:
        self._names = names
        """None for JSON lines, whose names are known row by row."""
        self._file = file
        self.faults = faults

    def cell(self, name: str, where: Where) -> Cell:
        """A function that takes the text of the column out of a row, None when the row has no value."""
        file = self._file
        if self._names is None:
            path = name.split(".")
            return _special(name, file) or (lambda row: _at(row.cells, path))
        count = self._names.count(name)
        if count == 1:
            index = self._names.index(name)
            return lambda row: row.cells[index]  # type: ignore[index, return-value]
        special = _special(name, file)
        if special is not None and count == 0:
            return special
        shown = ", ".join(self._names)
        if count > 1:
            self.faults.add(where, f'column "{name}" appears {count} times in the header of {file}')
        else:
            close = near(name, self._names)
            self.faults.add(
                where,
                f'column "{name}" is not in {file}{close or f" (it has {shown})"}',
            )
        return lambda row: None


def _special(name: str, file: str) -> Cell | None:
    if name == "row":
        return lambda row: str(row.number)
    if name == "line":
        return lambda row: str(row.line)
    if name == "file":
        return lambda row: file
    return None


def _at(cells: object, path: list[str]) -> str | None:
    for step in path:
        if not isinstance(cells, dict):
            return None
        cells = cells.get(step)
    if cells is None or isinstance(cells, str):
        return cells.strip() if cells else None
    if isinstance(cells, bool):
        return "true" if cells else "false"
    return json.dumps(cells, sort_keys=True)


class Reader:
    """An open file: its column names (None for JSON lines) and then its rows."""

    def __init__(self, path: Path, form: Format) -> None:
        self.name = path.name.removesuffix(".gz")
        self._form = form
        self._lines = _Lines(path, form.encoding)
        self._csv = csv.reader(
            self._lines,
            delimiter=form.delimiter,
            quotechar=form.quote or '"',
            quoting=csv.QUOTE_MINIMAL if form.quote else csv.QUOTE_NONE,
        )
        self.columns: tuple[str, ...] | None = None if form.kind == "jsonl" else form.columns
        if form.kind != "jsonl" and form.header:
            self.columns = self._header(path)

    def _header(self, path: Path) -> tuple[str, ...]:
        try:
            for cells in self._csv:
                if any(cell.strip() for cell in cells):
                    return tuple(cell.strip() for cell in cells)
        except csv.Error as error:
            self.close()
            raise ConfigError(f"{path}:1 header: {error}") from error
        except ConfigError:
            self.close()
            raise
        self.close()
        raise ConfigError(f"{path}:1 header: the file is empty")

    def __iter__(self) -> Iterator[Row]:
        self._lines.mark()
        rows = self._json_rows() if self._form.kind == "jsonl" else self._csv_rows()
        for number, row in enumerate(rows, 1):
            row.number = number
            yield row

    def close(self) -> None:
        """Close the file."""
        self._lines.close()

    def _csv_rows(self) -> Iterator[Row]:
        assert self.columns is not None
        width = len(self.columns)
        lines = self._lines
        while True:
            try:
                cells = next(self._csv)
            except StopIteration:
                return
            except csv.Error as error:
                yield lines.bad(str(error))
                continue
            if len(cells) == width:
                line, raw = lines.taken()
                fault = lines.fault(raw)
                yield Row(
                    line,
                    0,
                    raw,
                    [] if fault else [cell.strip() for cell in cells],
                    fault,
                )
            elif not any(cell.strip() for cell in cells):
                lines.mark()
            else:
                yield lines.bad(f"the row has {len(cells)} cells, the header {width}")

    def _json_rows(self) -> Iterator[Row]:
        for text in self._lines:
            line, raw = self._lines.taken()
            if not text.strip():
                continue
            fault = self._lines.fault(raw)
            value: object = None
            if fault is None:
                try:
                    value = json.loads(text, parse_float=str, parse_int=str)
                except (ValueError, RecursionError) as error:
                    fault = f"not JSON: {error}"
                else:
                    fault = None if isinstance(value, dict) else "not a JSON object"
            yield Row(
                line,
                0,
                raw,
                value if isinstance(value, dict) and not fault else {},
                fault,
            )


class _Lines:
    """Lines as text for the csv reader, which remembers the bytes taken since the last row and can give them back."""

    def __init__(self, path: Path, encoding: str) -> None:
        opened: BinaryIO = _open(path)
        self._wide = encoding.lower().replace("_", "-").startswith(("utf-16", "utf-32"))
        # Surrogates stand for undecodable bytes; codecs wider than a byte cannot carry them and mark with U+FFFD.
        self._encoding = "utf-8" if self._wide else encoding
        if self._wide:
            wide = io.TextIOWrapper(opened, encoding=encoding, errors="replace", newline="\n")
            self._source: Iterator[bytes] = (line.encode() for line in wide)
            self._close = wide.close
        else:
            self._close = opened.close
            self._source = iter(lambda: opened.readline(MAX_ROW_BYTES + 1), b"")
        self._name = path
        self._again: deque[bytes] = deque()
        self._taken: list[bytes] = []
        self._next_line = 1
        self._first_line = 1
        self._start = True

    def __iter__(self) -> "_Lines":
        return self

    def __next__(self) -> str:
        raw = self._again.popleft() if self._again else self._read()
        self._taken.append(raw)
        self._next_line += 1
        text = raw.decode(self._encoding, "surrogateescape")
        return text.rstrip("\r\n") + "\n" if "\r" in text else text

    def _read(self) -> bytes:
        try:
            raw = next(self._source)
        except (EOFError, OSError, zlib.error) as error:
            raise ConfigError(f"{self._name}:{self._next_line} file: cannot be read on: {error}") from error
        if self._start:
            self._start = False
            raw = raw.removeprefix(b"\xef\xbb\xbf")
        return raw

    def mark(self) -> None:
        """The next row starts here."""
        self._taken.clear()
        self._first_line = self._next_line

    def taken(self) -> tuple[int, bytes]:
        """First line and bytes of the row that was just read, without its line end."""
        line, raw = self._first_line, b"".join(self._taken)
        self.mark()
        return line, raw.rstrip(b"\r\n")

    def bad(self, fault: str) -> Row:
        """The row that was just read as a bad one: its first line; the other lines are read again."""
        rest = self._taken[1:]
        self._again.extendleft(reversed(rest))
        del self._taken[1:]
        self._next_line -= len(rest)
        line, raw = self.taken()
        return Row(line, 0, raw, [], self.fault(raw) or fault)

    def fault(self, raw: bytes) -> str | None:
        """Why these bytes are no row: too long or not in the encoding. None when they are."""
        if len(raw) > MAX_ROW_BYTES:
            return f"the row is longer than {MAX_ROW_BYTES} bytes"
        try:
            text = raw.decode(self._encoding)
        except UnicodeDecodeError as error:
            return f"byte 0x{raw[error.start]:02x} at {error.start} is not {self._encoding}"
        if self._wide and "\ufffd" in text:
            return "the row is not in the encoding of the file"
        return None

    def close(self) -> None:
        self._close()


def payload_row(raw: bytes, number: int, form: Format) -> Row:
    """One record that stands for itself, without a file: a JSON object, or a line whose columns the form names."""
    cells: Cells = {}
    try:
        text = raw.decode(form.encoding)
        if form.kind == "jsonl":
            cells, wanted = json.loads(text, parse_float=str, parse_int=str), "not a JSON object"
            sound = isinstance(cells, dict)
        else:
            line = csv.reader([text], delimiter=form.delimiter, quotechar=form.quote or '"')
            cells, wanted = [cell.strip() for cell in next(line)], f"not {len(form.columns)} cells"
            sound = len(cells) == len(form.columns)
    except (ValueError, RecursionError, StopIteration, csv.Error) as error:
        return Row(number, number, raw, {}, f"cannot be read: {error}")
    return Row(number, number, raw, cells if sound else {}, None if sound else wanted)


def _open(path: Path) -> BinaryIO:
    try:
        return gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb")  # type: ignore[return-value]
    except OSError as error:
        raise ConfigError(f"{path}: cannot be opened: {error.strerror}") from error
