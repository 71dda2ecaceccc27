"""Live: the windows of many scopes, kept up to date by the panes that change and the windows that move.

Used for agents (from a shard's panes) and for teams and tenants (from sums by tenant). The cost of a look
follows what changed or fell due, not the number of scopes.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from typing import Final

from kpistream.core.changelog import pack_tally
from kpistream.core.measures import Tally
from kpistream.core.roster import Roster
from kpistream.core.windows import LIVE_WINDOWS, RunningWindow, Window

Panes = Mapping[int, Mapping[int, int]]
Slot = tuple[str, str]
"""A scope's key (`tenant/scope`) and a window's name."""


MOVES_A_LOOK: Final = 500
"""Keys whose windows one look moves when a pane of time has passed: all at once would stop reading for seconds."""


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

    def __contains__(self, key: str) -> bool:
        return key in self._windows

    @property
    def behind(self) -> bool:
        """True when windows of some keys are still to be moved: the next look should not wait."""
        return bool(self._to_move)

    def window(self, slot: Slot) -> RunningWindow:
        """The running window of a slot."""
        return self._windows[slot[0]][slot[1]]

    def window_at(self, key: str, name: str, now_ms: int) -> Window:
        """Where the window of a key is at `now_ms`, whether it is kept or not."""
        return self._window_of(key, name, now_ms)

    def look(self, now_ms: int, changed: Iterable[tuple[str, int]], panes_of: Callable[[str], Panes]) -> list[Slot]:
        """Take in changed panes (key, start) and the passing of time; the slots whose sums changed."""
        touched: dict[Slot, None] = {}
        if self._moved_to != now_ms // self._pane_ms:
            self._moved_to = now_ms // self._pane_ms
            self._to_move = dict.fromkeys(self._windows)
        for key in list(islice(self._to_move, MOVES_A_LOOK)):
            self._move(key, now_ms, panes_of(key), touched)
        begun: set[str] = set()
        for key, start_ms in changed:
            if key in begun:
                continue  # took in all of its panes
            panes = panes_of(key)
            if key in self._to_move:
                self._move(key, now_ms, panes, touched)
            if key not in self._windows:
                self._begin(key, now_ms, panes, touched)
                begun.add(key)
                continue
            packed: bytes | None = None
            for name, running in self._windows[key].items():
                if running.window.holds(start_ms):
                    packed = pack_tally(panes.get(start_ms, {})) if packed is None else packed
                    if running.put_packed(start_ms, packed):
                        touched[key, name] = None
        return list(touched)

    def _begin(self, key: str, now_ms: int, panes: Panes, touched: dict[Slot, None]) -> None:
        windows = self._windows[key] = {}
        packed: dict[int, bytes] = {}
        for name in LIVE_WINDOWS:
            window = self._window_of(key, name, now_ms)
            running = windows[name] = RunningWindow(Window(window.from_ms, window.from_ms), self._pane_ms)
            if running.move_to(window, panes, packed):
                touched[key, name] = None

    def _move(self, key: str, now_ms: int, panes: Panes, touched: dict[Slot, None]) -> None:
        del self._to_move[key]
        empty = True
        packed: dict[int, bytes] = {}
        for name, running in self._windows[key].items():
            window = self._window_of(key, name, now_ms)
            if window != running.window and running.move_to(window, panes, packed):
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


class KeyPanes(Mapping[int, Tally]):
    """The panes of one key out of panes by start and key; a view, not a copy."""

    def __init__(self, by_start: Mapping[int, Mapping[str, object]], key: str) -> None:
        self._by_start = by_start
        self._key = key

    def __getitem__(self, start_ms: int) -> Tally:
        pane = self._by_start[start_ms][self._key]
        tally = getattr(pane, "tally", pane)
        assert isinstance(tally, dict)
        return tally

    def __iter__(self) -> Iterator[int]:
        return (start_ms for start_ms, by_key in self._by_start.items() if self._key in by_key)

    def __contains__(self, start_ms: object) -> bool:
        by_key = self._by_start.get(start_ms)  # type: ignore[call-overload]
        return by_key is not None and self._key in by_key

    def __len__(self) -> int:
        return sum(1 for _ in self)
