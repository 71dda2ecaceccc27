"""Live: the windows of many scopes, kept up to date by the panes that change and the windows that move.

Used for agents (from a shard's panes) and for teams and tenants (from sums by tenant). The cost of a look
follows what changed or fell due, not the number of scopes.
"""

from collections.abc import Callable, Iterable
from functools import partial
from itertools import islice
from typing import Final, Protocol

from kpistream.core.roster import Roster
from kpistream.core.windows import BUSINESS_DAY, LIVE_WINDOWS, RunningWindow, Window

Slot = tuple[str, str]
"""A scope's key (`tenant/scope`) and a window's name."""


MOVES_A_LOOK: Final = 500
"""Keys whose windows one look moves when a pane of time has passed: all at once would stop reading for seconds."""
PANES_A_LOOK: Final = 2000
"""Panes of new keys that one look takes in, about 10 ms; a key counts as some. After a start all keys are new."""
_KEY_PANES: Final = 10


class PaneSource(Protocol):
    """Where the panes of scopes are."""

    def starts_of(self, key: str) -> Iterable[int]:
        """Starts of the panes that a scope has."""

    def packed_at(self, key: str, start_ms: int) -> bytes:
        """The packed tally of a scope at a pane start; that of nothing when there is no such pane."""


class LiveWindows:
    """Running windows by scope and window name."""

    def __init__(self, pane_ms: int, window_of: Callable[[str, str, int], Window]) -> None:
        self.pane_ms = pane_ms
        self._window_of = window_of
        """(key, window name, now_ms) -> the window."""
        self._windows: dict[str, dict[str, RunningWindow]] = {}
        self._moved_to = -1
        self._to_move: dict[str, None] = {}
        """Keys whose windows have not followed the last step of time yet."""
        self._to_begin: dict[str, None] = {}
        """Keys that have no windows yet."""
        self.kept: frozenset[str] = frozenset()
        self._asked: dict[str, set[str]] = {}
        """Windows by key that were asked for: they are seen as soon as there are windows, and those stay."""

    def keep(self, keys: Iterable[str]) -> None:
        """Keys that have windows also when nothing has happened: somebody without a call all day is seen, too."""
        self.kept = frozenset(keys)
        self._to_begin.update(dict.fromkeys(self.kept - self._windows.keys()))

    def renew(self, window_of: Callable[[str, str, int], Window], keys: Iterable[str] | None) -> list[Slot]:
        """Let windows be where `window_of` says from now on: of these keys, None for all. The slots that there are."""
        self._window_of = window_of
        mine = list(self._windows) if keys is None else [key for key in keys if key in self._windows]
        self._to_move.update(dict.fromkeys(mine))
        return [(key, name) for key in mine for name in LIVE_WINDOWS]

    def begin(self, slots: Iterable[Slot]) -> None:
        """Slots that are seen next, whatever happens; windows are made for keys that have none, and stay."""
        for key, name in slots:
            self._asked.setdefault(key, set()).add(name)
            if key not in self._windows:
                self._to_begin[key] = None

    def __contains__(self, key: object) -> bool:
        return key in self._windows

    @property
    def behind(self) -> bool:
        """True when windows of some keys are still to be made or moved: the next look should not wait."""
        return bool(self._to_move or self._to_begin)

    def window(self, slot: Slot) -> RunningWindow:
        """The running window of a slot."""
        return self._windows[slot[0]][slot[1]]

    def window_at(self, key: str, name: str, now_ms: int) -> Window:
        """Where the window of a key is at `now_ms`, whether it is kept or not."""
        return self._window_of(key, name, now_ms)

    def begin_in(self, from_ms: int, to_ms: int) -> list[Slot]:
        """Slots whose window begins in `[from_ms, to_ms)`."""
        if from_ms >= to_ms:
            return []
        return [
            (key, name)
            for key, windows in self._windows.items()
            for name, running in windows.items()
            if from_ms <= running.window.from_ms < to_ms
        ]

    def look(self, now_ms: int, changed: Iterable[tuple[str, int]], source: PaneSource) -> list[Slot]:
        """Take in changed panes (key, start) and the passing of time; the slots whose sums changed."""
        touched: dict[Slot, None] = {}
        if self._moved_to != now_ms // self.pane_ms:
            self._moved_to = now_ms // self.pane_ms
            self._to_move = dict.fromkeys(self._windows)
        for key in list(islice(self._to_move, MOVES_A_LOOK)):
            self._move(key, now_ms, source, touched)
        new: dict[str, None] = {}
        for key, start_ms in changed:
            if key in self._to_move:
                self._move(key, now_ms, source, touched)
            if key not in self._windows:
                new[key] = None
                continue
            packed = source.packed_at(key, start_ms)
            for name, running in self._windows[key].items():
                if running.put(start_ms, packed):
                    touched[key, name] = None
        if new:
            self._to_begin = new | self._to_begin  # those that something happens to come first
        left = PANES_A_LOOK
        while self._to_begin and left > 0:
            left -= _KEY_PANES + self._begin(next(iter(self._to_begin)), now_ms, source, touched)
        return list(touched)

    def _begin(self, key: str, now_ms: int, source: PaneSource, touched: dict[Slot, None]) -> int:
        """Take in all panes of a new key; how many."""
        del self._to_begin[key]
        spans = {name: self._window_of(key, name, now_ms) for name in LIVE_WINDOWS}
        windows = self._windows[key] = {name: RunningWindow(span, self.pane_ms) for name, span in spans.items()}
        if key in self.kept:
            touched[key, BUSINESS_DAY] = None
        for name in self._asked.get(key, ()):
            touched[key, name] = None
        starts = list(source.starts_of(key))
        for start_ms in starts:
            packed = source.packed_at(key, start_ms)
            for name, running in windows.items():
                if running.put(start_ms, packed):
                    touched[key, name] = None
        return len(starts)

    def _move(self, key: str, now_ms: int, source: PaneSource, touched: dict[Slot, None]) -> None:
        del self._to_move[key]
        empty = True
        for name, running in self._windows[key].items():
            window = self._window_of(key, name, now_ms)
            if window != running.window and running.move_to(window, partial(source.packed_at, key)):
                touched[key, name] = None
            empty = empty and not running.tally
        seen = key in self.kept or key in self._asked
        if empty and not seen and not any((key, name) in touched for name in LIVE_WINDOWS):
            del self._windows[key]


def scope_window(roster: Roster, pane_ms: int) -> Callable[[str, str, int], Window]:
    """Windows of agents, queues and campaigns, in the zone that the roster gives them."""

    def window(key: str, name: str, now_ms: int) -> Window:
        tenant, _, scope = key.partition("/")
        return roster.window(tenant, scope, name, now_ms, pane_ms)

    return window
