"""Subjects: everything known of one identity, from the log and from the facts, and what must follow.

Of all records of an identity the one with the highest rank counts, where its own content says. What the
pane and the fact of a place must hold is another question: the highest of what was ever said of this
identity *at this place*, retractions included. An identity that a record behind the fixed end of the log
names is not judged: all its places are still moving.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from kpistream.judge.compare import Cell, Spot
from kpistream.judge.findings import Finding, Seen, What

NOWHERE: Final = (-1, -1)
"""Partition and offset of what is known from a fact alone."""


class Said(NamedTuple):
    """What one record says of an identity at a place."""

    rank: int
    adds: Cell
    partition: int
    offset: int


class Told(NamedTuple):
    """What a fact says of an identity at a place."""

    rank: int
    retracted: bool
    adds: Cell | None
    """None when the place is outside the span that is judged."""
    old: bool
    """Its record is older than what the log still holds."""


class Entry(NamedTuple):
    """What the pane of a place must hold of an identity, and what counts there of it."""

    spot: Spot
    identity: str
    rank: int
    tombstone: bool
    adds: Cell
    """What the entry adds; a tombstone nothing."""
    counts: Cell
    """What the highest rank of the identity over all places adds, if it is here; else nothing."""
    partition: int
    offset: int
    by_facts: bool
    """An older fact is part of it: the log alone does not say."""

    @property
    def seen(self) -> Seen:
        """The event as a finding names it."""
        return Seen(self.identity, self.partition, self.offset)


@dataclass(slots=True)
class Subject:
    """One identity. `restless`: a record that is not settled yet names it."""

    identity: str
    events: dict[Spot, Said] = field(default_factory=dict)
    tombs: dict[Spot, Said] = field(default_factory=dict)
    facts: dict[Spot, Told] = field(default_factory=dict)
    announced: set[Spot] = field(default_factory=set)
    """Places that records say it has left."""
    restless: bool = False

    def hear(self, spot: Spot, said: Said, *, retracts: bool) -> None:
        """Take a record: the highest rank of each place is kept."""
        kept = self.tombs if retracts else self.events
        if spot not in kept or said.rank > kept[spot].rank:
            kept[spot] = said

    @property
    def spots(self) -> set[Spot]:
        """Every place that has to do with it."""
        return {*self.events, *self.tombs, *self.facts, *self.announced}

    def standing(self) -> tuple[int, Spot] | None:
        """Rank and place of what counts, or None: only retractions and nothing else is known."""
        known = [(said.rank, spot) for spot, said in self.events.items()]
        known += [(told.rank, spot) for spot, told in self.facts.items() if told.old and not told.retracted]
        return max(known, default=None)

    def entries(self) -> Iterator[Entry]:
        """Say what the pane of each place must hold."""
        top = self.standing()
        for spot in sorted(self.spots):
            known = self._known(spot)
            if not known:
                continue
            rank, tombstone, said = max(known, key=lambda each: each[:2])
            alive = [(said.rank, said.adds) for _, tomb, said in known if not tomb]
            counts = max(alive, key=lambda each: each[0])[1] if alive and top and top[1] == spot else {}
            old = spot in self.facts and self.facts[spot].old
            yield Entry(spot, self.identity, rank, tombstone, said.adds, counts, said.partition, said.offset, old)

    def _known(self, spot: Spot) -> list[tuple[int, bool, Said]]:
        """Rank, whether it is a tombstone, and the rest, of all that is known of it at a place."""
        out = [
            (kept[spot].rank, tombstone, kept[spot])
            for tombstone, kept in ((False, self.events), (True, self.tombs))
            if spot in kept
        ]
        told = self.facts.get(spot)
        if told is not None and told.old:
            out.append((told.rank, told.retracted, Said(told.rank, told.adds or {}, *NOWHERE)))
        return out

    def wrong(self) -> Iterator[Finding]:
        """Yield what is wrong with its facts, and the moves that nobody announced."""
        top = self.standing()
        entries = {entry.spot: entry for entry in self.entries()}
        for spot in sorted(self.spots):
            entry, told = entries.get(spot), self.facts.get(spot)
            if told is None or told.adds is not None:
                yield from self._wrong_fact(spot, entry, told)
            if entry is not None and top is not None and not entry.tombstone and spot != top[1]:
                text = f"counts here, and with a higher rank at {top[1][0]} at {top[1][1]} ms"
                seen = (entry.seen, entries[top[1]].seen)
                yield Finding(What.MOVE_UNANNOUNCED, spot, text, seen, self.identity, top[0])
        tomb = self.tombs.get(top[1]) if top is not None else None
        if top is not None and tomb is not None and tomb.rank >= top[0]:
            text = "a retraction stands above the event where it counts"
            by = (Seen(self.identity, tomb.partition, tomb.offset),)
            yield Finding(What.RETRACTED_IN_PLACE, top[1], text, by, self.identity, tomb.rank)

    def _wrong_fact(self, spot: Spot, entry: Entry | None, told: Told | None) -> Iterator[Finding]:
        if entry is None:
            if told is not None and not told.old:
                yield self._phantom(spot, told)
            return
        seen = (entry.seen,)
        if told is None:
            yield Finding(What.FACT_MISSING, spot, "no fact of it", seen, self.identity)
        elif told.rank < entry.rank:
            text = f"its fact has rank {told.rank}, a record {entry.rank}"
            yield Finding(What.FACT_STALE, spot, text, seen, self.identity)
        elif told.rank > entry.rank:
            yield self._phantom(spot, told)
        elif told.retracted != entry.tombstone or (told.adds or {}) != entry.adds:
            text = f"its fact adds {told.adds or {}}, its record {entry.adds}"
            yield Finding(What.FACT_ALTERED, spot, text, seen, self.identity)

    def _phantom(self, spot: Spot, told: Told) -> Finding:
        text, top = f"a fact of rank {told.rank}, and no record of it", self.standing()
        return Finding(What.FACT_PHANTOM, spot, text, (), self.identity, told.rank, top=top[0] if top else 0)
