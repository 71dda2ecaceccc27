"""Screen: a view as a picture for a terminal: a table for each team, the state of things, the last alerts.

Columns take the room that they need, so that all tables line up; where that is too much, the same
figures are written shorter. Where there are too few lines, agents who miss a target stay longest.
"""

import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from rich.cells import cell_len, set_cell_size
from rich.console import Console, ConsoleOptions, RenderResult
from rich.terminal_theme import TerminalTheme
from rich.text import Text

from kpistream.core.alerts import State
from kpistream.core.readings import Reading
from kpistream.watching.figures import (
    COLUMNS,
    INBOUND,
    Cell,
    Mark,
    Width,
    ack_words,
    alert_words,
    cell,
    clock,
    figures,
    mark_of,
    name_of,
    own_figures,
    state_words,
    words,
)
from kpistream.watching.view import STALE_S, Team, View, fires

_ALERTS: Final = 5
_ALERTS_WHEN_LOW: Final = 2
_LOW: Final = 32
"""With fewer lines than this, room for agents is worth more than room for alerts."""
_LEAST_NAME: Final = 10
_ROOMY: Final = 100
"""Columns from which on nothing needs to be said shorter."""
_SIGNS: Final = {Mark.NONE: " ", Mark.MET: "✓", Mark.OPEN: "-", Mark.MISSED: "✗"}
_ASCII_SIGNS: Final = {Mark.NONE: " ", Mark.MET: "+", Mark.OPEN: "-", Mark.MISSED: "!"}
_SIGN_STYLES: Final = {Mark.NONE: "", Mark.MET: "green", Mark.OPEN: "dim", Mark.MISSED: "bold red"}
_MARK_WORDS: Final = {Mark.MET: " met", Mark.MISSED: " missed"}
_WARNING: Final = "black on yellow"
_STATE_STYLES: Final = {State.FIRING: "bold red", State.OK: "green", State.NO_DATA: "yellow"}


@dataclass(frozen=True, slots=True)
class Look:
    """How a screen is drawn."""

    zone: str = "UTC"
    """Zone of the times shown."""
    title: str = "kpistream"
    speed: float = 1.0
    """Simulated seconds in a second; ages are shown in seconds of the wall."""
    note: str = ""
    """A last line, such as how to leave."""


class _Row(NamedTuple):
    """One reading's cells."""

    name: str
    cells: tuple[Cell, ...]
    style: str
    missed: int
    """Targets missed: rows with most stay longest."""

    @property
    def height(self) -> int:
        """Lines that it needs."""
        return max(len(each.lines) for each in self.cells)


class Screen:
    """A rich renderable of a view at a moment; as wide and high as the terminal lets it be."""

    def __init__(self, view: View, now_ms: int, look: Look | None = None) -> None:
        self._view = view
        self._now_ms = now_ms
        self._look = look or Look()

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        height = console.size.height - 1 if console.is_terminal else None
        for line in self.lines(options.max_width, height, ascii_only=options.ascii_only):
            line.truncate(options.max_width, overflow="ellipsis")
            yield line

    def lines(self, columns: int, height: int | None = None, *, ascii_only: bool = False) -> list[Text]:
        """The picture, line by line."""
        signs = _ASCII_SIGNS if ascii_only else _SIGNS
        head, foot = [*self._head(columns), Text()], self._foot(columns, height, signs)
        blocks = self._view.teams(self._now_ms)
        totals = self._view.tenants(self._now_ms)
        if not blocks and not totals:
            waiting = Text("No readings yet. Numbers appear with the first events.", "dim")
            return [*head, waiting, Text(), *foot]
        grid = _Grid.fitting(blocks, totals, columns, signs)
        room = None if height is None else height - len(head) - len(foot) - 2  # column titles, empty line
        return [*head, grid.titles(), *grid.body(blocks, totals, room), Text(), *foot]

    def _head(self, columns: int) -> list[Text]:
        look, newest_ms = self._look, self._view.newest_ms
        line = Text.assemble((look.title, "bold"), "  ", (words(self._view.choice.window), "bold cyan"), "  ")
        if newest_ms is not None:
            age_s = max(0.0, (self._now_ms - newest_ms) / 1000 / look.speed)
            age = f"newest reading {age_s:.0f} s ago"
            line.append(*((f" {age}: nothing new arrives ", _WARNING) if age_s > STALE_S else (age, "dim")))
            line.append("  ")
        form = "%a %d %b %H:%M:%S" if columns >= _ROOMY else "%H:%M:%S"
        line.append(f"{clock(self._now_ms, look.zone, form)} {look.zone}")
        if not any(reading.provisional for reading in self._view.shown(self._now_ms)):
            return [line]
        return [line, Text(" ~ provisional: not all panes are there, numbers may be too small ", _WARNING)]

    def _foot(self, columns: int, height: int | None, signs: dict[Mark, str]) -> list[Text]:
        low = height is not None and height < _LOW
        firing = self._view.firing()
        out = [Text.assemble(("last alerts", "bold"), (f"  {firing} firing" if firing else "", "red"))]
        for transition in self._view.alerts(_ALERTS_WHEN_LOW if low else _ALERTS):
            state = (f"{state_words(transition):<9}", _STATE_STYLES.get(transition.to_state, ""))
            at = clock(transition.at_ms, self._look.zone)
            said = alert_words(transition, self._view.choice.window, short=columns < _ROOMY)
            heard = self._view.said(transition, self._now_ms)
            words_of = "" if heard is None else f"  [{ack_words(*heard, self._look.zone)}]"
            out.append(Text.assemble((at, "dim"), "  ", state, "  ", said, (words_of, "cyan")))
        if len(out) == 1:
            out.append(Text("none", "dim"))
        legend = f"target {signs[Mark.MET]} met  {signs[Mark.MISSED]} missed  {signs[Mark.OPEN]} too little to say yet"
        ends = [legend, self._look.note] if self._look.note else [legend]
        if len("   ".join(ends)) <= columns:
            ends = ["   ".join(ends)]
        out += [Text(line, "dim") for line in (ends[:1] if low else ends)]
        return out


class _Grid:
    """Columns of one width for all tables."""

    def __init__(self, rows: Sequence[_Row], width: Width, columns: int, signs: dict[Mark, str]) -> None:
        self._width = width
        self.columns = columns
        self._signs = signs
        self._gap = "  " if width is Width.FULL else " "
        tight = width in (Width.COMPACT, Width.TIGHT)
        self._titles = [column.short if tight else column.title for column in COLUMNS]
        marked = [any(row.cells[i].mark is not Mark.NONE for row in rows) for i in range(len(COLUMNS))]
        self._marked = [int(flag) * (1 if width is Width.TIGHT else 2) for flag in marked]
        self._widths = [
            max(len(self._titles[i]), *(self._marked[i] + len(line) for row in rows for line in row.cells[i].lines))
            for i in range(len(COLUMNS))
        ]
        wanted = max(cell_len(row.name) for row in rows)
        room = columns - sum(self._widths) - len(self._gap) * len(COLUMNS)
        self.fits = room >= min(wanted, 18)
        self._name = max(_LEAST_NAME, min(wanted, room))

    @classmethod
    def fitting(
        cls, blocks: Sequence[Team], totals: Sequence[Reading], columns: int, signs: dict[Mark, str]
    ) -> "_Grid":
        """The widest way of writing that fits."""
        shown = [*totals, *(each for b in blocks for each in (*b.members, *([b.total] if b.total else [])))]
        for width in Width:
            grid = cls([_row(reading, width) for reading in shown], width, columns, signs)
            if grid.fits:
                break
        return grid

    def titles(self) -> Text:
        """The line above all tables."""
        cells = [
            title.rjust(width - room) + " " * room
            for title, width, room in zip(self._titles, self._widths, self._marked, strict=True)
        ]
        return Text(self._gap.join([" " * self._name, *cells]).rstrip(), "dim")

    def body(self, blocks: Sequence[Team], totals: Sequence[Reading], room: int | None) -> list[Text]:
        """The tables, in at most `room` lines when that is possible at all."""
        parts = [_Block(self, block, self._width) for block in blocks]
        last = [line for reading in totals for line in self.row(_row(reading, self._width, "bold"))]
        lines = sum(part.height for part in parts) + len(last)
        airy = room is None or lines + len(parts) <= room
        if room is not None:
            _shorten(parts, room - len(last))
        tables = [part.lines() for part in parts] + ([last] if last else [])
        between = [Text()] if airy else []
        return [line for i, table in enumerate(tables) for line in (*(between if i else []), *table)]

    def row(self, row: _Row) -> Iterator[Text]:
        """The lines of one reading."""
        for number in range(row.height):
            line = Text(style="bold" if row.style == "bold" else "")
            line.append(set_cell_size(row.name if number == 0 else "", self._name), row.style)
            for i, each in enumerate(row.cells):
                figure = each.lines[number] if number < len(each.lines) else ""
                sign = self._signs[each.mark] if number == 0 else " "
                style = "red" if each.mark is Mark.MISSED else "dim" if figure == "-" else ""
                line.append(self._gap + figure.rjust(self._widths[i] - self._marked[i]), style)
                line.append(sign.rjust(self._marked[i]) if self._marked[i] else "", _SIGN_STYLES[each.mark])
            line.rstrip()
            yield line


class _Block:
    """The table of one team, of which members can be left out: those who miss most targets stay longest."""

    def __init__(self, grid: _Grid, team: Team, width: Width) -> None:
        total = team.total
        empty = _Row(team.title, tuple(Cell(("",)) for _ in COLUMNS), "bold", 0)
        self._head = list(grid.row(empty if total is None else _row(total, width, "bold")))
        self._grid = grid
        self._rows = [_row(reading, width) for reading in team.members]
        self._worst = sorted(range(len(self._rows)), key=lambda i: -self._rows[i].missed)
        self._besides = [] if total is None else _packed(_besides(total, width), grid.columns)
        self.keep = len(self._rows)
        self.height = len(self._head) + sum(row.height for row in self._rows) + len(self._besides)

    def leave_one_out(self) -> None:
        """Keep one member less."""
        self.height += int(self.keep == len(self._rows))  # the line that says how many more there are
        self.keep -= 1
        self.height -= self._rows[self._worst[self.keep]].height

    def lines(self) -> list[Text]:
        """The table: the team, whom it keeps of its members, what else it says."""
        out = list(self._head)
        for i in sorted(self._worst[: self.keep]):
            out += self._grid.row(self._rows[i])
        if self.keep < len(self._rows):
            out.append(Text(f"  and {len(self._rows) - self.keep} more", "dim"))
        return [*out, *self._besides]


def _shorten(parts: Sequence[_Block], room: int) -> None:
    """Leave members out, always from the team that shows most, until the tables fit or nobody is left."""
    height = sum(part.height for part in parts)
    while height > room:
        longest = max(parts, key=lambda part: part.keep, default=None)
        if longest is None or longest.keep == 0:
            return
        height -= longest.height
        longest.leave_one_out()
        height += longest.height


def _packed(parts: Sequence[str], columns: int) -> list[Text]:
    """Parts one after the other, on as many lines as they need."""
    lines: list[str] = []
    for part in parts:
        if lines and len(lines[-1]) + len(part) + 2 <= columns:
            lines[-1] += ", " + part
        else:
            lines.append("  " + part)
    return [Text(line, "dim") for line in lines]


def _row(reading: Reading, width: Width, style: str = "") -> _Row:
    cells = tuple(cell(reading, column, width) for column in COLUMNS)
    missed = sum(each.mark is Mark.MISSED for each in cells)
    indent = "  " if reading.scope.partition(":")[0] in ("agent", "queue", "campaign") else ""
    name = indent + name_of(reading) + (" ~" if reading.provisional else "")
    return _Row(name, cells, style or ("red" if fires(reading) else ""), missed)


def _besides(reading: Reading, width: Width) -> list[str]:
    """What a team's columns do not say: transfers, and what became of calls that came in, and own KPIs."""
    parts = []
    for column in INBOUND:
        said = figures(reading, column.kpi, width)
        if said:
            state = _MARK_WORDS.get(mark_of(reading, column.kpi), "")
            parts.append(f"{column.title} {said[0]}{state}")
    legs, calls = (reading.kpis[name].numerator for name in ("calls", "distinct_calls"))
    if legs != calls:
        parts.append(f"{legs:,} legs of {calls:,} calls")
    for name, figure in own_figures(reading, width).items():
        parts.append(f"{name} {figure}{_MARK_WORDS.get(mark_of(reading, name.replace(' ', '_')), '')}")
    return parts


_DARK: Final = ((24, 26, 31), (224, 108, 117), (126, 188, 110), (229, 192, 123))
_LIGHT: Final = ((97, 160, 235), (190, 130, 210), (86, 182, 194), (200, 204, 212))
_THEME: Final = TerminalTheme(_DARK[0], (216, 219, 226), [*_DARK, *_LIGHT])


def capture_svg(screen: Screen, columns: int = 100, title: str = "kpistream demo") -> str:
    """The screen as an SVG picture that needs nothing from anywhere."""
    console = Console(record=True, width=columns, file=io.StringIO(), force_terminal=False, color_system="truecolor")
    console.print(screen)
    svg = console.export_svg(title=title, theme=_THEME, unique_id="kpistream")
    return re.sub(r"\s*@font-face\s*\{[^}]*\}", "", svg)  # rich names a font on somebody's server
