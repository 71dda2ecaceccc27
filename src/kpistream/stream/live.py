"""Live: the windows of many scopes, kept up to date by the panes that change and the windows that move.

Used for agents (from a shard's panes) and for teams and tenants (from sums by tenant). The cost of a look
follows what changed or fell due, not the number of scopes.
"""

from collections.abc import Callable, Iterable
from functools import partial
from itertools import islice
from typing import Final

from kpistream.core.roster import Roster
from kpistream.core.windows import LIVE_WINDOWS, RunningWindow, Window

PackedAt = Callable[[str, int], bytes]
"""Gives the packed tally of a scope's key at a pane start; that of nothing when there is no such pane."""
Slot = tuple[str, str]
"""A scope's key (`tenant/scope`) and a window's name."""


MOVES_A_LOOK: Final = 500
"""Keys whose windows one look moves when a pane of time has passed: all at once would stop reading for seconds."""
BEGINS_A_LOOK: Final = 25
"""New keys whose windows one look makes; each costs half a millisecond late in the day. After a start all are new."""


class LiveWindows:
    """Running windows by scope and window name."""

    def __init__(self, pane_ms: int, window_of: Callable[[str, str, int], Window]) -> None:
        self._pane_ms = pane_ms
        self._window_of = window_of
        """(key, window name, now_ms) -> the window."""
        self._windows: dict[str, dict[str, RunningWindow]] = {}
        self._moved_to = -1
        self._to_move: dict[str, None] = {}
        """Keys whose windows have not followed the last step of time yet."""
        self._to_begin: dict[str, None] = {}
        """Keys that have no windows yet."""

    def __contains__(self, key: str) -> bool:
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
        return [
            (key, name)
            for key, windows in self._windows.items()
            for name, running in windows.items()
            if from_ms <= running.window.from_ms < to_ms
        ]

    def look(self, now_ms: int, changed: Iterable[tuple[str, int]], packed_at: PackedAt) -> list[Slot]:
        """Take in changed panes (key, start) and the passing of time; the slots whose sums changed."""
        touched: dict[Slot, None] = {}
        if self._moved_to != now_ms // self._pane_ms:
            self._moved_to = now_ms // self._pane_ms
            self._to_move = dict.fromkeys(self._windows)
        for key in list(islice(self._to_move, MOVES_A_LOOK)):
            self._move(key, now_ms, packed_at, touched)
        new: dict[str, None] = {}
        for key, start_ms in changed:
            if key in self._to_move:
                self._move(key, now_ms, packed_at, touched)
            if key not in self._windows:
                new[key] = None
                continue
            packed = packed_at(key, start_ms)
            for name, running in self._windows[key].items():
                if running.put(start_ms, packed):
                    touched[key, name] = None
        if new:
            self._to_begin = new | self._to_begin  # those that something happens to come first
        for key in list(islice(self._to_begin, BEGINS_A_LOOK)):
            self._begin(key, now_ms, packed_at, touched)
        return list(touched)

    def _begin(self, key: str, now_ms: int, packed_at: PackedAt, touched: dict[Slot, None]) -> None:
        """Take in all panes of a new key."""
        del self._to_begin[key]
        windows = self._windows[key] = {}
        for name in LIVE_WINDOWS:
            window = self._window_of(key, name, now_ms)
            running = windows[name] = RunningWindow(Window(window.from_ms, window.from_ms), self._pane_ms)
            if running.move_to(window, partial(packed_at, key)):
                touched[key, name] = None

    def _move(self, key: str, now_ms: int, packed_at: PackedAt, touched: dict[Slot, None]) -> None:
        del self._to_move[key]
        empty = True
        for name, running in self._windows[key].items():
            window = self._window_of(key, name, now_ms)
            if window != running.window and running.move_to(window, partial(packed_at, key)):
                touched[key, name] = None
            empty = empty and not running.tally
        if empty and not any((key, name) in touched for name in LIVE_WINDOWS):
            del self._windows[key]


def scope_window(roster: Roster, pane_ms: int) -> Callable[[str, str, int], Window]:
    """Windows of agents, queues and campaigns, in the zone that the roster gives them."""

    def window(key: str, name: str, now_ms: int) -> Window:
        tenant, _, scope = key.partition("/")
        return roster.window(tenant, scope, name, now_ms, pane_ms)

    return window
