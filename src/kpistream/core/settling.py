"""Settling: the panes of agents as live windows see them, with the calls that have come of age.

A call of age counts in the pane of time in which its settle time has passed, so that every window, rolling ones too,
has the calls that settled in it, and each call is in one day. All other sums are those of the panes. No clock decides
but through the pane that a look is in.
"""

from collections.abc import Collection, Iterable, Mapping
from itertools import islice
from typing import Final, NamedTuple, Protocol

from kpistream.core.conversion import delay_ms
from kpistream.core.links import Linked, Links
from kpistream.core.measures import SETTLED_CALLS, SETTLED_CALLS_IN_DOUBT, SETTLED_CALLS_WON, Tally
from kpistream.core.roster import Roster
from kpistream.core.tallies import pack_tally, unpack_tally
from kpistream.core.windows import pane_start

DUE_A_LOOK: Final = 200
"""Panes with calls that come of age in one look, 30 ms of it at most: all at once would stop reading for longer."""
_NOTHING_READ: Final[tuple[str, int, dict[int, Linked]]] = ("", 0, {})


class Delays(NamedTuple):
    """How long the calls of each tenant take from the start of their pane until they are of age."""

    by_tenant: Mapping[str, int]
    others_ms: int
    """Of tenants that are in no settings."""

    def of(self, key: str) -> int:
        """Of the tenant of a `tenant/scope`."""
        return self.by_tenant.get(key.partition("/")[0], self.others_ms)

    def every(self) -> set[int]:
        """All that there are."""
        return {*self.by_tenant.values(), self.others_ms}


def delays(roster: Roster, pane_ms: int) -> Delays:
    """The delays of a roster's tenants."""
    by_tenant = {name: delay_ms(tenant.settle_ms, pane_ms) for name, tenant in roster.tenants.items()}
    return Delays(by_tenant, delay_ms(roster.tenant("").settle_ms, pane_ms))


class LivePanes(Protocol):
    """Where the panes are."""

    def starts_of(self, key: str) -> Iterable[int]:
        """Starts of the panes that a scope has."""

    def packed_at(self, key: str, start_ms: int) -> bytes:
        """The packed tally of a pane; that of nothing when there is no such pane."""

    def keys_at(self, start_ms: int) -> Iterable[str]:
        """Scopes that have a pane at a start."""

    @property
    def links(self) -> Links:
        """What came of their calls."""


class Settling:
    """Panes of one partition with what has settled in them."""

    def __init__(self, panes: LivePanes, waits: Delays, pane_ms: int) -> None:
        self._panes = panes
        self._delays = waits
        self._pane_ms = pane_ms
        self._left: list[Delays] = []
        """Those that held at the last look and do not any more."""
        self._to_ms = -1
        """Start of the pane in which the last look was: what falls due later has not settled."""
        self._waiting: dict[tuple[str, int], bool] = {}
        """Panes (key, start) that are to be looked at; True: also when nothing has settled in them any more."""
        self._read: tuple[str, int, dict[int, Linked]] = _NOTHING_READ
        """What was asked for last in this look: all panes of a scope are asked for one after the other."""
        self._now: dict[str, Linked | None] = {}
        """What settled in the current pane, of keys that were asked for; events come there all the time."""

    @property
    def behind(self) -> bool:
        """True when the last look left something over."""
        return bool(self._waiting)

    def adopt(self, waits: Delays) -> None:
        """Calls come of age by other settings from the next look on."""
        if waits != self._delays:
            self._left.append(self._delays)
            self._delays, self._now, self._read = waits, {}, _NOTHING_READ

    def due(self, now_ms: int, changed: Collection[tuple[str, int]]) -> list[tuple[str, int]]:
        """Panes (key, start) in which something else has settled: time has passed, calls or deals have changed.

        To be called at the beginning of a look. At the first one everything is new anyway.
        """
        current_ms, links = pane_start(now_ms, self._pane_ms), self._panes.links
        panes, keys = links.take_changed()
        self._read = _NOTHING_READ
        if self._to_ms < 0:
            self._to_ms = current_ms
            return []
        self._pass_to(current_ms)
        for key, start_ms in (*changed, *panes):
            self._wait(key, start_ms)
        for key in {*keys, *self._delayed_otherwise()}:
            self._now.pop(key, None)
            for start_ms in self._parts(key, self._delays.of(key)):
                self._wait(key, start_ms)
        self._left = []
        out: list[tuple[str, int]] = []
        for key, start_ms in list(islice(self._waiting, DUE_A_LOOK)):
            if self._waiting.pop((key, start_ms)) or self._part(key, start_ms) is not None:
                out.append((key, start_ms))
        return out

    def _pass_to(self, current_ms: int) -> None:
        if current_ms <= self._to_ms:
            return
        self._now = {}
        for start_ms in range(self._to_ms + self._pane_ms, current_ms + 1, self._pane_ms):
            for each_ms in self._delays.every():
                for key in self._panes.keys_at(start_ms - each_ms):
                    if self._delays.of(key) == each_ms:
                        self._waiting.setdefault((key, start_ms), False)
        self._to_ms = current_ms

    def _delayed_otherwise(self) -> list[str]:
        """Scopes whose calls come of age by another delay than at the last look."""
        if not self._left:
            return []
        keys = self._panes.links.keys()
        return [key for key in keys if any(was.of(key) != self._delays.of(key) for was in self._left)]

    def _wait(self, key: str, start_ms: int) -> None:
        """Something else has come of calls that ended in a pane."""
        for each in (self._delays, *self._left):
            settled_ms = start_ms + each.of(key)
            if settled_ms <= self._to_ms:
                self._now.pop(key, None)
                self._waiting[key, settled_ms] = True

    def starts_of(self, key: str) -> Collection[int]:
        """Starts of the panes in which a scope has something."""
        wait_ms = self._delays.of(key)
        settled = {start_ms + wait_ms for start_ms in self._parts(key, wait_ms)}
        return {*self._panes.starts_of(key), *(start_ms for start_ms in settled if start_ms <= self._to_ms)}

    def packed_at(self, key: str, start_ms: int) -> bytes:
        """The packed tally of a pane with what has settled in it."""
        packed = self._panes.packed_at(key, start_ms)
        part = self._part(key, start_ms)
        return packed if part is None else pack_tally(unpack_tally(packed) | _tally(part))

    def _part(self, key: str, start_ms: int) -> Linked | None:
        if start_ms > self._to_ms:
            return None
        wait_ms = self._delays.of(key)
        if start_ms < self._to_ms:
            return self._parts(key, wait_ms).get(start_ms - wait_ms)
        if key not in self._now:
            self._now[key] = self._parts(key, wait_ms).get(start_ms - wait_ms)
        return self._now[key]

    def _parts(self, key: str, wait_ms: int) -> dict[int, Linked]:
        if self._read[:2] != (key, wait_ms):
            self._read = key, wait_ms, self._panes.links.of(key, wait_ms)
        return self._read[2]


def _tally(part: Linked) -> Tally:
    sums = {
        SETTLED_CALLS: part.calls,
        SETTLED_CALLS_WON: part.won,
        SETTLED_CALLS_IN_DOUBT: part.in_doubt,
    }
    return {number: value for number, value in sums.items() if value}
