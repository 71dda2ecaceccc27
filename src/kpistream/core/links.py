"""Links: which of an agent's calls are of age, and which of those a won deal names.

Derived from the entries of panes and from nothing else: what it says is a function of the panes that are live, in
whatever order they came, and is made again from them after a recovery. Sixteen bytes a connected call or won deal.
Both must be the same agent's: another agent's deal may be on another partition, and says nothing here.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from struct import Struct
from typing import Final, NamedTuple

from kpistream.core.linking import UNNAMED, UNREADABLE
from kpistream.core.panes import Joined, Pane

_AGENT: Final = "agent:"


class Linked(NamedTuple):
    """What came of the connected calls whose last leg with the agent ended in one pane."""

    calls: int
    won: int
    """Those of them that a won deal names; two deals that name one call count once."""
    in_doubt: int
    """Those that no deal names, and that a won deal which names no call may have won."""


_PAIR: Final = Struct("qq")
_LINK: Final = Struct("q")


class Links:
    """The links of all live panes of a partition, by agent."""

    def __init__(self) -> None:
        self._pairs: dict[str, bytearray] = {}
        """Pane start and link, 8 bytes each, of every entry of a key that has one; in no order."""
        self._unread: dict[str, dict[Pane, None]] = {}
        """Panes by key whose pairs are not what their entries say."""
        self._frontier_ms = -1
        self._doubtful: set[str] = set()
        """Keys of which some deal may name no call."""
        self._changed: dict[tuple[str, int], None] = {}
        """Keys and starts of panes with calls of which something else came."""
        self._all_changed: dict[str, None] = {}
        """Keys of which every pane may have changed."""

    def took(self, pane: Pane, link: int, joined: Joined) -> None:
        """An entry with this link was joined to a pane."""
        if joined is not Joined.ADDED:
            if joined is Joined.REPLACED or joined is Joined.CONFLICT_WON:
                self.reread(pane)
        elif link:
            self._added(pane.key, pane.start_ms, link)

    def _added(self, key: str, start_ms: int, link: int) -> None:
        pairs = self._pairs.get(key)
        if pairs is None:
            pairs = self._pairs[key] = bytearray()
        elif link == UNNAMED or (key in self._doubtful and not _newest(pairs, start_ms, link)):
            self._all_changed[key] = None  # other calls may be in doubt now
        elif pairs.find(_LINK.pack(link if link > 0 else -link)) > 0:
            for leg_ms in _starts(pairs, abs(link)):
                self._changed[key, leg_ms] = None
        if link == UNNAMED:
            self._doubtful.add(key)
        pairs += _PAIR.pack(start_ms, link)

    def reread(self, pane: Pane) -> None:
        """The entries of a pane have changed otherwise: what they say is read when it is asked for."""
        if pane.key.partition("/")[2].startswith(_AGENT):
            self._unread.setdefault(pane.key, {})[pane] = None
            self._all_changed[pane.key] = None

    def leave(self, pane: Pane, frontier_ms: int) -> None:
        """The pane is closed, as everything before the frontier is.

        Pairs come nearly in order of time: what is closed is taken from the front, the rest of it is passed over.
        """
        key, self._frontier_ms = pane.key, frontier_ms
        unread = self._unread.get(key)
        if unread is not None:
            unread.pop(pane, None)
            if not unread:
                del self._unread[key]
        pairs = self._pairs.get(key)
        if pairs is None:
            return
        at = 0
        while at < len(pairs) and _PAIR.unpack_from(pairs, at)[0] < frontier_ms:
            at += _PAIR.size
        del pairs[:at]
        if not pairs:
            del self._pairs[key]
            self._doubtful.discard(key)

    def keys(self) -> list[str]:
        """Agents with links."""
        return list(self._pairs.keys() | self._unread.keys())

    def take_changed(self) -> tuple[list[tuple[str, int]], list[str]]:
        """Panes (key, start) whose calls something else may have come of since the last call, and keys of which all."""
        taken = list(self._changed), list(self._all_changed)
        self._changed, self._all_changed = {}, {}
        return taken

    def of(self, key: str, delay_ms: int) -> dict[int, Linked]:
        """What came of an agent's calls, by the start of the pane in which their last leg ended.

        `delay_ms`: from the start of a pane until its calls are of age. Nothing is said of panes up to the last one in
        which an earlier release has written, because nobody knows whose deals those are. Costs about 0.8 us a link.
        """
        self._read(key)
        pairs = self._pairs.get(key)
        if pairs is None:
            return {}
        last: dict[int, int] = {}
        deals: set[int] = set()
        unnamed: list[int] = []
        readable_from_ms = -1
        for start_ms, link in _PAIR.iter_unpack(pairs):
            if start_ms < self._frontier_ms:
                continue
            if link > 0:
                if last.get(link, -1) < start_ms:
                    last[link] = start_ms
            elif link == UNNAMED:
                unnamed.append(start_ms)
            elif link == UNREADABLE:
                readable_from_ms = max(readable_from_ms, start_ms + 1)
            else:
                deals.add(-link)
        if readable_from_ms >= 0:
            last = {call: start_ms for call, start_ms in last.items() if start_ms >= readable_from_ms}
        calls, won = Counter(last.values()), Counter(last[call] for call in deals & last.keys())
        doubtful = Counter[int]()
        if unnamed:
            open_ = sorted(start_ms for call, start_ms in last.items() if call not in deals)
            doubtful.update(_doubtful(open_, sorted(unnamed), delay_ms))
        return {start_ms: Linked(count, won[start_ms], doubtful[start_ms]) for start_ms, count in calls.items()}

    def _read(self, key: str) -> None:
        unread = self._unread.pop(key, None)
        if not unread:
            return
        pairs = _without(self._pairs.get(key, bytearray()), {pane.start_ms for pane in unread})
        for pane in unread:
            links = pane.links()
            if UNNAMED in links:
                self._doubtful.add(key)
            for link in links:
                pairs += _PAIR.pack(pane.start_ms, link)
        if pairs:
            self._pairs[key] = pairs
        else:
            self._pairs.pop(key, None)


def _starts(pairs: bytearray, link: int) -> list[int]:
    """Starts of the panes that have a link. Searched as bytes: looking at each would cost ten times as much."""
    wanted, found = _LINK.pack(link), []
    at = pairs.find(wanted)
    while at >= 0:
        if at % _PAIR.size == _LINK.size:
            found.append(_PAIR.unpack_from(pairs, at - _LINK.size)[0])
        at = pairs.find(wanted, at + 1)
    return found


def _newest(pairs: bytearray, start_ms: int, link: int) -> bool:
    """True for a call that was not known and comes after all others: it leaves in doubt what was."""
    return link > 0 and not _starts(pairs, link) and start_ms >= max(each_ms for each_ms, _ in _PAIR.iter_unpack(pairs))


def _without(pairs: bytearray, starts: set[int]) -> bytearray:
    return bytearray(b"".join(_PAIR.pack(*each) for each in _PAIR.iter_unpack(pairs) if each[0] not in starts))


def _doubtful(calls: Iterable[int], deals: Iterable[int], delay_ms: int) -> Iterator[int]:
    """Pane starts of calls that deals which name none may have won: of each deal, the oldest one left in its time.

    The oldest: its call, whichever that is, is of age no sooner, so that at no moment more calls are of age and
    neither won nor in doubt than the deals leave. Starts of calls that no deal names, and of deals, oldest first.
    """
    left = iter(calls)
    call_ms = next(left, None)
    for deal_ms in deals:
        while call_ms is not None and call_ms + delay_ms < deal_ms:
            call_ms = next(left, None)
        if call_ms is not None and call_ms <= deal_ms:
            yield call_ms
            call_ms = next(left, None)
