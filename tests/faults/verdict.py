"""Verdict: what must hold when the dust has settled.

Every cell of the store equals the judge's from the raw topic, and so does every live cell of the joined
changelog; dead letters are exactly those of the records
that the contract refuses, of records wrong twice, and of conflicts. A letter may stand twice (a replayed batch
writes it again), so letters are compared by the coordinates of the record they speak of.
"""

from collections import defaultdict
from collections.abc import Iterable
from typing import NamedTuple

from confluent_kafka import Message

from kpistream.errors import EventRejected
from kpistream.judge import recompute as judge
from kpistream.judge.compare import Verdict, cells_of_rows, compare
from kpistream.judge.contract import accept
from kpistream.log.records import HOP
from kpistream.log.topics import partition_of
from tests.faults.changelog import Changelog
from tests.live.system import PANE_MS, System, raw

Spot = tuple[int, int]
"""Partition and offset."""


class Judged(NamedTuple):
    """What the judge found."""

    verdict: Verdict
    records: int
    letters: list[str]
    """What is wrong with the dead letters."""
    changelog: Verdict
    """Of the live cells: what the joined changelog says."""

    @property
    def exact(self) -> bool:
        """True when nothing is wrong."""
        return self.verdict.exact and self.changelog.exact and not self.letters

    def __str__(self) -> str:
        of_changelog = [f"changelog: {line}" for line in (self.changelog, *self.changelog.first)]
        return "\n".join([str(self.verdict), *map(str, self.verdict.first), *self.letters, *of_changelog])


def judged(system: System) -> Judged:
    """Compare everything; the roles have stopped."""
    messages = system.read("events")
    astray = [message for message in messages if _misrouted(message, system.partitions)]
    seen = judge.Recomputation(PANE_MS)
    reasons = {_spot(message): "misrouted" for message in astray}
    kept = [message for message in messages if _spot(message) not in reasons]
    for message in kept:
        refused = seen.take(raw(message))
        if refused is not None:
            reasons[_spot(message)] = refused.reason.value
    cells = seen.cells()
    verdict = compare(cells, cells_of_rows(system.rows()), seen.behind)
    letters = wrong_letters(system.read("dead-letters"), reasons, Conflicts(kept))
    changelog = Changelog(system.read("panes"))
    live = {
        (key, start_ms): cell
        for (key, start_ms), cell in cells.items()
        if changelog.live(partition_of(key.encode(), system.partitions), start_ms)
    }
    return Judged(verdict, len(messages), letters, compare(live, changelog.cells(), seen.behind))


def _misrouted(message: Message, partitions: int) -> bool:
    """A record that was forwarded and is wrong again. The tests produce such records with the right key."""
    hopped = any(name == HOP for name, _ in message.headers() or ())
    return hopped and partition_of(message.key(), partitions) != message.partition()


def _spot(message: Message) -> Spot:
    return message.partition(), message.offset()


class Conflicts:
    """Records of which another one with the same identity and revision says something else."""

    def __init__(self, messages: Iterable[Message]) -> None:
        self.possible: dict[Spot, tuple[str, int]] = {}
        """Each such record, with identity and revision: it may have a letter."""
        self.certain: dict[tuple[str, int], set[Spot]] = {}
        """Conflicts whose records of one identity met in order on one partition: one of them must have a letter."""
        by_identity: dict[str, list[tuple[int, int, Spot, tuple[str | None, int]]]] = defaultdict(list)
        newest_ms = 0
        for message in messages:
            record = raw(message)
            newest_ms = max(newest_ms, record.timestamp_ms)
            try:
                event = accept(record.value, record.timestamp_ms, record.headers)
            except EventRejected:
                continue
            if event["type"] != "retracted":
                place = (judge.scope(event), event[judge.OWN_TIME[event["type"]]] // PANE_MS)
                by_identity[judge.identity(event)].append(
                    (event["revision"], judge.digest(event), _spot(message), place)
                )
        for identity, records in by_identity.items():
            self._sort(identity, records, newest_ms)

    def _sort(
        self, identity: str, records: list[tuple[int, int, Spot, tuple[str | None, int]]], newest_ms: int
    ) -> None:
        digests: dict[int, set[int]] = defaultdict(set)
        for revision, digest, _, _ in records:
            digests[revision].add(digest)
        for revision, found in digests.items():
            if len(found) < 2:
                continue
            spots = {spot for each, _, spot, _ in records if each == revision}
            self.possible.update(dict.fromkeys(spots, (identity, revision)))
            where = {(spot[0], place) for _, _, spot, place in records}
            live = all(place[1] * PANE_MS > newest_ms - 3_000_000 for *_, place in records)
            if len(digests) == 1 and len(where) == 1 and live:
                self.certain[identity, revision] = spots


def wrong_letters(letters: Iterable[Message], reasons: dict[Spot, str], conflicts: Conflicts) -> list[str]:
    """What is wrong with the dead letters: missing, unexpected, or of another reason than the judge's."""
    found: dict[Spot, set[str]] = defaultdict(set)
    for letter in letters:
        about = dict(letter.headers() or ())
        spot = (int(about["kpi-partition"]), int(about["kpi-offset"]))
        found[spot].add(about["kpi-reason"].decode())
    wrong = []
    for spot in sorted(found.keys() | reasons.keys()):
        expected = {reasons[spot]} if spot in reasons else set()
        if found.get(spot, set()) != expected and not (spot in conflicts.possible and found[spot] == {"conflict"}):
            wrong.append(f"record {spot}: letters {sorted(found.get(spot, set()))}, expected {sorted(expected)}")
    for (identity, revision), spots in conflicts.certain.items():
        if not any(found.get(spot) for spot in spots):
            wrong.append(f"conflict of {identity} revision {revision}: no letter for any of {sorted(spots)}")
    return wrong[:20]
