"""Places: what must stand at each place against its row, and, of live places, against the joined changelog.

A place is judged by the log when the log reaches back to all of it, else by the facts of what is older and
the log together. Memory follows one bucket of places, whatever the number of events behind them.
"""

from bisect import insort
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from kpistream.judge.compare import Behind, Cell, Damage, Difference, Spot, compare
from kpistream.judge.findings import NAMED, Finding, Seen, What
from kpistream.judge.subjects import Entry
from kpistream.judge.wire import Line

Joined = tuple[int, bool, Cell]
"""Rank, tombstone and sums of an entry."""
ROWS: Final = {
    Damage.LOST: What.ROW_LOST,
    Damage.DOUBLE: What.ROW_DOUBLE,
    Damage.PHANTOM: What.ROW_PHANTOM,
    Damage.DIFFERENT: What.ROW_DIFFERENT,
}


@dataclass(slots=True)
class Place:
    """Everything that bears on one place."""

    spot: Spot
    live: bool
    """At or after the frontier: the changelog must hold it."""
    by_facts: bool
    restless: bool = False
    version: int = 0
    sums: Cell = field(default_factory=dict)
    row: tuple[int, Cell] | None = None
    events: list[Seen] = field(default_factory=list)
    """The first of those that count here, by name."""
    entries: dict[str, tuple[Joined, Seen]] = field(default_factory=dict)
    joined: dict[str, Joined] = field(default_factory=dict)
    torn: set[str] = field(default_factory=set)
    """Identities of which the changelog says two things at one rank."""
    heads: list[tuple[int, Cell]] = field(default_factory=list)
    """Version and sums of the whole pane, as each record of it says."""

    def expect(self, entry: Entry) -> None:
        """Take what the pane must hold of one identity."""
        self.by_facts |= entry.by_facts
        self.version += entry.rank + 1
        if entry.counts:
            insort(self.events, entry.seen)
            del self.events[NAMED:]
        _add(self.sums, entry.counts)
        if self.live:
            self.entries[entry.identity] = ((entry.rank, entry.tombstone, entry.adds), entry.seen)

    def join(self, line: Line) -> None:
        """Join an entry of the changelog: the highest rank stands."""
        found = self.joined.get(line.identity)
        mine = (line.rank, line.tombstone, line.adds)
        if found is None or line.rank > found[0]:
            self.joined[line.identity] = mine
            self.torn.discard(line.identity)
        elif line.rank == found[0] and mine != found:
            self.torn.add(line.identity)

    @property
    def damaged(self) -> bool:
        """Whether anything is wrong here."""
        version, sums = self.row or (self.version, {})
        if sums != self.sums or version != self.version:
            return True
        return self.live and next(self._wrong_changelog(), None) is not None

    def wrong(self, standing: dict[str, Cell]) -> Iterator[Finding]:
        """Yield what is wrong with the row, then with the changelog; `standing`: what each event adds, if known."""
        yield from self._wrong_row(standing)
        if self.live:
            yield from self._wrong_changelog()

    def _wrong_row(self, standing: dict[str, Cell]) -> Iterator[Finding]:
        version, found = self.row or (0, {})
        behind = tuple(self.events)
        verdict = compare({self.spot: self.sums}, {self.spot: found}, lambda _: Behind(standing))
        about: dict[str, Any] = {"by_facts": self.by_facts, "version": version, "expected_version": self.version}
        if not verdict.exact:
            text = "; ".join(_words(each) for each in verdict.first)
            yield Finding(ROWS[verdict.first[0].damage], self.spot, text, behind, **about)
        elif self.row is not None and version != self.version:
            text = f"version {version}, expected {self.version}"
            yield Finding(What.ROW_VERSION, self.spot, text, behind, **about)

    def _wrong_changelog(self) -> Iterator[Finding]:
        missing, other = [], []
        for identity, (entry, seen) in sorted(self.entries.items()):
            found = self.joined.get(identity)
            if found is None or found[0] < entry[0]:
                missing.append(seen)
            elif found != entry or identity in self.torn:
                other.append(seen)
        phantom = sorted((name, found[0]) for name, found in self.joined.items() if name not in self.entries)
        if missing:
            yield Finding(What.CHANGELOG_LOST, self.spot, _listed("entries missing", missing), tuple(missing))
        if other:
            yield Finding(What.CHANGELOG_DIFFERENT, self.spot, _listed("entries differ", other), tuple(other))
        for identity, rank in phantom:
            yield Finding(What.CHANGELOG_PHANTOM, self.spot, "an entry of no record", (), identity, rank)
        if not (missing or other or phantom):
            yield from self._wrong_head()

    def _wrong_head(self) -> Iterator[Finding]:
        """The sink reads only the version and sums that go with the entries: they must be those of the entries."""
        version, sums = max(self.heads, key=lambda head: head[0], default=(self.version, {}))
        total: Cell = {}
        for _, _, adds in self.joined.values():
            _add(total, adds)
        if self.heads and (version, sums) != (self.version, total):
            text = f"a record of version {version} adds {sums}; its entries make version {self.version} of {total}"
            first = tuple(sorted(seen for _, seen in self.entries.values())[:1])
            yield Finding(What.CHANGELOG_DIFFERENT, self.spot, text, first)


def _words(each: Difference) -> str:
    return f"{each.measure} expected {each.expected}, found {each.found}"


def _listed(what: str, seen: Iterable[Seen]) -> str:
    names = [each.identity for each in seen]
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return f"{what}: {', '.join(names[:NAMED])}{more}"


def _add(sums: Cell, adds: Cell) -> None:
    for name, amount in adds.items():
        total = sums.get(name, 0) + amount
        if total:
            sums[name] = total
        else:
            sums.pop(name, None)
