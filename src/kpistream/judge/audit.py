"""Audit: the whole comparison in bounded memory, fed from outside and concluded once.

What is read goes to disk at once, parted by identity (records and facts) or by place (rows, changelog,
readings); then one bucket after the other is folded. The order of feeding is free but for one rule that
makes it sound on a live system, and that whoever feeds must keep (see auditing.py): everything that the
records before `settled` lead to is in the store before it is read, and the log is read last, up to an end
that was fixed after the store was read. Places that later records touch are still moving and not judged.
"""

import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from kpistream.errors import EventRejected
from kpistream.judge.compare import Cell, Spot
from kpistream.judge.contract import accept
from kpistream.judge.findings import Finding, Findings, What
from kpistream.judge.ground import OLDEST_LEAD_MS, Account, Ground, astray, counting_ms, left_by, spot_of
from kpistream.judge.live import Shown, judge, read
from kpistream.judge.places import Place
from kpistream.judge.recompute import Raw, contribution, digest, identity
from kpistream.judge.routing import home
from kpistream.judge.spill import Bucket, Spill
from kpistream.judge.stored import StoredFact, StoredRow
from kpistream.judge.subjects import Entry, Said, Subject, Told
from kpistream.judge.wire import Frontier, Line, Mark, PaneOnWire, place_of_key, rank
from kpistream.judge.wire import read as read_wire

EPOCH: Final = 1
"""Number of the rules by which the judge computes what an event adds."""
EXPLAINED: Final = 500
"""Damaged places whose events are in memory one by one at once."""
MEBIBYTE: Final = 1 << 20


class Audit:
    """A context manager: its folder of temporary files goes with it."""

    def __init__(self, ground: Ground, limit_bytes: int = 512 * MEBIBYTE, folder: Path | None = None) -> None:
        self.ground = ground
        self.account = Account()
        self.findings = Findings()
        self._held = tempfile.TemporaryDirectory(prefix="kpistream-audit-", dir=folder)
        path = Path(self._held.name)
        self._identities = Spill(path / "identities", limit_bytes)
        self._places = Spill(path / "places", limit_bytes)
        self._changelog = Spill(path / "changelog", limit_bytes)
        self._frontiers: dict[int, int] = {}
        self.first_record_ms: dict[int, int] = {}
        """When the first record of each partition was appended."""
        self._other_log = False
        """The store holds facts of a log before this one."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._held.cleanup()

    # ---- what is read

    def take_record(self, record: Raw) -> None:
        """Read one record of the events topic; those of a partition in the order of their offsets."""
        account = self.account
        account.records += 1
        self.first_record_ms.setdefault(record.partition, record.timestamp_ms)
        try:
            event = accept(record.value, counting_ms(record), record.headers)
            spot = spot_of(event, self.ground.pane_ms)
        except EventRejected as refused:
            account.refused[refused.reason.value] += 1
            return
        if astray(record, spot[0], self.ground.partitions):
            account.refused["misrouted"] += 1
            return
        if not self.ground.span.has_tenant(event["tenant"]):
            return
        restless = record.offset >= self.ground.settled.get(record.partition, 0)
        said = ("said", spot, record.partition, record.offset, restless)
        if event["type"] == "retracted":
            account.retractions += 1
            who = "/".join((event["tenant"], event["source"], event["kind"], event["event_id"]))
            number = rank(event["epoch"], event["revision"], event["digest"])
            self._identities.put(who, *said, number, True, {}, None)
        else:
            account.events += 1
            number = rank(EPOCH, event["revision"], digest(event))
            left = left_by(event, self.ground.pane_ms)
            self._identities.put(identity(event), *said, number, False, contribution(event), left)

    def take_fact(self, fact: StoredFact) -> None:
        """Take one standing fact of the store."""
        inside = self.ground.span.holds(fact.spot)
        self.account.facts += inside
        record = (fact.topic == self.ground.topic, fact.partition, fact.offset, fact.record_at_ms)
        adds = fact.adds if inside else None
        self._identities.put(fact.identity, "told", fact.spot, fact.rank, fact.retracted, adds, record)

    def take_row(self, row: StoredRow) -> None:
        """Take one standing row of the store."""
        self.account.rows += 1
        self._places.put(self._shelf(row.spot), "row", row.spot, row.version, row.sums)

    def take_changelog(self, partition: int, offset: int, key: bytes, value: bytes | None) -> None:
        """Read one record of the changelog; all of them come before the first row."""
        self.account.changelog_records += 1
        try:
            spot = place_of_key(key)
            found = None if value is None else read_wire(value, self.ground.pane_ms)
            if isinstance(found, PaneOnWire) and spot != (found.key, found.start_ms):
                raise ValueError(f"its key names {spot}, its value {(found.key, found.start_ms)}")
        except ValueError as error:
            where = f"[{partition}]@{offset}: {error}"
            self.findings.add(Finding(What.CHANGELOG_UNREADABLE, (repr(key)[:80], 0), where))
            return
        if isinstance(found, Frontier):
            self._frontiers[partition] = max(found.start_ms, self._frontiers.get(partition, 0))
        elif spot is not None and self.ground.span.holds(spot) and not isinstance(found, Mark):
            about = found and (found.version, found.sums, tuple(map(tuple, found.lines)))
            self._changelog.put(spot[0], key, spot, about)

    def take_reading(self, partition: int, offset: int, key: bytes, value: bytes | None) -> None:
        """Read one record of the readings: the last of a key is the reading."""
        name = key.decode("utf-8", "replace")
        shown: tuple[Any, ...] | None = None
        try:
            shown = None if value is None else tuple(read(name, value, partition, offset))
        except ValueError as error:
            where = f"{name} at [{partition}]@{offset}: {error}"
            self.findings.add(Finding(What.READING_DIFFERENT, (name, 0), where, (), name))
        self._places.put(name.rpartition("/")[0], "reading", name, shown)

    # ---- conclusion

    def conclude(self) -> None:
        """Fold everything that was read: identities first, then places."""
        for bucket in self._identities.buckets():
            self._conclude_identities(bucket)
        for bucket in self._changelog.buckets():
            self._shelve_changelog(bucket)
        for bucket in self._places.buckets():
            self._conclude_places(bucket)

    def _conclude_identities(self, bucket: Bucket) -> None:
        subjects: dict[str, Subject] = {}
        for who, sort, spot, *rest in bucket:
            subject = subjects.get(who)
            if subject is None:
                subject = subjects[who] = Subject(who)
            if sort == "said":
                partition, offset, restless, number, retracts, adds, left = rest
                subject.restless |= restless
                subject.hear(spot, Said(number, adds, partition, offset), retracts=retracts)
                if left is not None:
                    subject.announced.add(left)
            else:
                number, retracted, adds, record = rest
                subject.facts[spot] = Told(number, retracted, adds, self._old(*record))
        self.account.identities += len(subjects)
        for subject in subjects.values():
            self._conclude_subject(subject)

    def _conclude_subject(self, subject: Subject) -> None:
        span = self.ground.span
        if subject.restless:
            for spot in filter(span.holds, subject.spots):
                self._places.put(self._shelf(spot), "moving", spot)
            return
        for entry in subject.entries():
            if span.holds(entry.spot):
                self._places.put(self._shelf(entry.spot), "entry", *entry)
        for finding in subject.wrong():
            if span.holds(finding.spot):
                self.findings.add(finding)

    def _shelve_changelog(self, bucket: Bucket) -> None:
        """Hand on what compaction must leave of live panes: the last record of each key."""
        last: dict[bytes, tuple[Spot, tuple[Any, ...] | None]] = {}
        for _, key, spot, about in bucket:
            if self._live(spot):
                last[key] = (spot, about)
        for spot, about in last.values():
            if about is not None:
                self._places.put(self._shelf(spot), "joined", spot, *about)

    def _conclude_places(self, bucket: Bucket) -> None:
        places: dict[Spot, Place] = {}
        shown: dict[str, Shown | None] = {}
        for _, sort, name, *rest in bucket:
            if sort == "reading":
                shown[name] = rest[0] and Shown(*rest[0])
            else:
                self._take_place(places, sort, name, rest)
        for place in places.values():
            self._count(place)
        self._explain(bucket, [place for place in places.values() if not place.restless])
        for reading in shown.values():
            self._conclude_reading(reading, places)

    def _take_place(self, places: dict[Spot, Place], sort: str, spot: Spot, rest: list[Any]) -> None:
        place = places.get(spot)
        if place is None:
            place = places[spot] = Place(spot, self._live(spot), not self._whole(spot))
        if sort == "moving":
            place.restless = True
        elif sort == "entry":
            place.expect(Entry(spot, *rest))
        elif sort == "row":
            place.row = (rest[0], rest[1])
        else:
            version, sums, lines = rest
            place.heads.append((version, sums))
            for line in lines:
                place.join(Line(*line))

    def _count(self, place: Place) -> None:
        account = self.account
        if place.restless:
            account.cells_moving += 1
        elif place.by_facts:
            account.cells_by_facts += 1
        else:
            account.cells_by_log += 1
        account.panes_joined += place.live and not place.restless

    def _explain(self, bucket: Bucket, places: list[Place]) -> None:
        """Say what is wrong, with what each event adds: the bucket is read again for so many places at a time."""
        damaged = sorted((place for place in places if place.damaged), key=lambda place: place.spot)
        for first in range(0, len(damaged), EXPLAINED):
            some = damaged[first : first + EXPLAINED]
            standing: dict[Spot, dict[str, Cell]] = {place.spot: {} for place in some}
            for _, sort, spot, *rest in bucket:
                if sort == "entry" and spot in standing:
                    entry = Entry(spot, *rest)
                    standing[spot][entry.identity] = entry.counts
            for place in some:
                for finding in place.wrong(standing[place.spot]):
                    self.findings.add(finding)

    def _conclude_reading(self, shown: Shown | None, places: dict[Spot, Place]) -> None:
        if shown is None or not self.ground.span.has_tenant(shown.key.partition("/")[0]):
            return
        checked, finding = False, None
        if shown.whole and shown.from_ms <= self.ground.now_ms < shown.to_ms:
            checked, finding = judge(shown, places, self._settled, self.ground.pane_ms)
        if finding is None and shown.faults:
            text = f"{shown.where}: {'; '.join(shown.faults)}"
            finding = Finding(What.READING_DIFFERENT, (shown.key, shown.from_ms), text, (), shown.name)
        self.account.readings += checked
        self.account.readings_unchecked += not checked
        if finding is not None:
            self.findings.add(finding)

    # ---- what a place is

    def _settled(self, spot: Spot) -> bool:
        """Whether a reading can be checked at this place: live, and inside the span."""
        return self._live(spot) and self.ground.span.holds(spot)

    def _live(self, spot: Spot) -> bool:
        return self.ground.live and spot[1] >= self._frontiers.get(home(spot[0], self.ground.partitions), 0)

    def _shelf(self, spot: Spot) -> str:
        """Places that a reading sums lie together; closed ones need not."""
        return spot[0] if self._live(spot) else f"{spot[0]}@{spot[1]}"

    def _whole(self, spot: Spot) -> bool:
        """Whether the log reaches back to every record of the place."""
        partition = home(spot[0], self.ground.partitions)
        if self.ground.earliest.get(partition, 0) == 0 and not self._other_log:
            return True
        first_ms = self.first_record_ms.get(partition)
        return first_ms is not None and spot[1] - OLDEST_LEAD_MS >= first_ms

    def _old(self, same_topic: bool, partition: int, offset: int, record_at_ms: int) -> bool:
        """Whether the record of a fact is older than what the log holds, or of another log."""
        if same_topic and offset < self.ground.earliest.get(partition, 0):
            return True
        first_ms = self.first_record_ms.get(partition)
        other = first_ms is None or record_at_ms < first_ms
        self._other_log |= other
        return other
