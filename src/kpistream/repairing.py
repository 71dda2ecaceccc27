"""Repairing: what mends a finding, with the mechanisms that the engine has anyway, and no other.

An event is sent again with its first timestamp; a retraction is written for a place that an event has left;
a mark lets the sink compute a row again from its facts. A row whose version is too high cannot be replaced
by the truth, which has a lower one: a retraction of an identity that never was raises the version of the
true pane above it and adds nothing. What none of these can mend is refused, with the reason.
"""

import hashlib
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from kpistream import service
from kpistream.config import Config
from kpistream.core.changelog import encode_mark
from kpistream.core.partition import Retraction
from kpistream.core.placing import Place, rank_of, rank_parts
from kpistream.judge.compare import Spot
from kpistream.judge.findings import Finding, What
from kpistream.log.publisher import Publisher
from kpistream.log.records import FIRST_TIMESTAMP, HOP, Outgoing, first_timestamp_ms
from kpistream.log.tail import bounds, read_between
from kpistream.log.topics import Topics, partition_of
from kpistream.stream.flush import retraction_record

COUNTERWEIGHT_SOURCE: Final = "kpistream.repair"
"""Source of the identities that never were."""
LEAST_RANK: Final = rank_of(1, 0, 0)
GREATEST_RANK: Final = rank_of((1 << 16) - 1, (1 << 48) - 1, (1 << 32) - 1)
MOST_WEIGHTS: Final = 16
"""Counterweights of one place; a version beyond that many of the heaviest is refused."""
_ROWS: Final = (What.ROW_LOST, What.ROW_DOUBLE, What.ROW_PHANTOM, What.ROW_DIFFERENT, What.ROW_VERSION)
_AGAIN: Final = (
    What.FACT_MISSING,
    What.FACT_STALE,
    What.FACT_ALTERED,
    What.CHANGELOG_LOST,
    What.CHANGELOG_DIFFERENT,
)
_HOPELESS: Final = {
    What.RETRACTED_IN_PLACE: "only a higher revision stands above a retraction: let the event's source send one",
    What.CHANGELOG_UNREADABLE: "something else writes to this topic; a worker that recovers stops at this record",
    What.CHANGELOG_PHANTOM: "a worker that recovers joins the entry: it leaves with its pane, once that is closed",
    What.READING_DIFFERENT: "a reading is a view: the worker publishes it again when it changes, or starts",
}
_MORE_THAN_FACTS: Final = "the row was made of more than the facts and the log hold: restore the facts from a backup"
_TOO_HEAVY: Final = (
    "its version is beyond what retractions can outweigh: fill a new database from the log, see docs/how-to/audit.md"
)


class Refused(NamedTuple):
    """A finding that none of the mechanisms mends."""

    finding: Finding
    why: str


@dataclass(slots=True)
class Plan:
    """What to write; nothing in it twice."""

    again: dict[tuple[int, int], str] = field(default_factory=dict)
    """Records of the events topic to send again: partition and offset, and the key under which they belong."""
    retractions: dict[Retraction, None] = field(default_factory=dict)
    marks: dict[Spot, None] = field(default_factory=dict)
    refused: list[Refused] = field(default_factory=list)

    @property
    def writes(self) -> int:
        """Records that would be written."""
        return len(self.again) + len(self.retractions) + len(self.marks)


def plan(findings: Iterable[Finding]) -> Plan:
    """Decide what mends each finding."""
    out, found = Plan(), list(findings)
    taken = {finding.spot for finding in found if finding.what is What.RETRACTED_IN_PLACE}
    for finding in found:
        if finding.what in _HOPELESS:
            out.refused.append(Refused(finding, _HOPELESS[finding.what]))
        elif finding.what in _AGAIN:
            _send_again(out, finding)
        elif finding.what is What.MOVE_UNANNOUNCED:
            _retract(out, finding.identity, finding.rank, finding.spot)
        elif finding.what is What.FACT_PHANTOM:
            _retract_phantom(out, finding)
        elif finding.spot in taken:
            out.refused.append(Refused(finding, _HOPELESS[What.RETRACTED_IN_PLACE]))
        else:
            _compute_again(out, finding)
    return out


def _send_again(out: Plan, finding: Finding) -> None:
    for seen in finding.behind:
        if seen.offset < 0:
            out.refused.append(Refused(finding, f"the log no longer holds {seen.identity}"))
        else:
            out.again[seen.partition, seen.offset] = finding.spot[0]


def _retract(out: Plan, identity: str, rank: int, spot: Spot) -> None:
    out.retractions[Retraction(identity, rank, Place(*spot))] = None
    out.marks[spot] = None


def _retract_phantom(out: Plan, finding: Finding) -> None:
    """A retraction above the phantom; above the true event, too, it would take that away as well."""
    if 0 < finding.top <= finding.rank:
        revision = rank_parts(finding.rank)[1]
        why = f"the identity counts with a lower rank: let its source send a revision above {revision}"
        out.refused.append(Refused(finding, why))
    elif max(finding.top, finding.rank + 1) > GREATEST_RANK:
        out.refused.append(Refused(finding, "no rank is above it"))
    else:
        _retract(out, finding.identity, max(finding.top, finding.rank + 1), finding.spot)


def _compute_again(out: Plan, finding: Finding) -> None:
    """Facts give the row; where its version is too high, or there are no facts, a counterweight comes first."""
    excess = finding.version - finding.expected_version
    if finding.expected_version and excess <= 0:
        out.marks[finding.spot] = None
    elif finding.by_facts:
        out.refused.append(Refused(finding, _MORE_THAN_FACTS))
    elif excess > MOST_WEIGHTS * GREATEST_RANK:
        out.refused.append(Refused(finding, _TOO_HEAVY))
    else:
        for number, rank in enumerate(_weights(excess)):
            _retract(out, _weight(finding, number), rank, finding.spot)


def _weights(excess: int) -> list[int]:
    """Ranks whose tombstones raise a version by more than `excess`."""
    out = []
    while excess >= 0:
        out.append(min(GREATEST_RANK, max(LEAST_RANK, excess)))
        excess -= out[-1] + 1
    return out


def _weight(finding: Finding, number: int) -> str:
    """An identity that nobody else uses, the same for the same damage."""
    key, start_ms = finding.spot
    name = hashlib.sha256(f"{key}/{start_ms}/{finding.version}/{number}".encode()).hexdigest()[:32]
    return f"{key.partition('/')[0]}/{COUNTERWEIGHT_SOURCE}/call/{name}"


async def carry_out(config: Config, work: Plan) -> None:
    """Write what is planned: events and retractions first, then the marks that wait for their facts."""
    topics = Topics(config.topic_prefix)
    publisher = Publisher(config.connection())
    await publisher.start()
    try:
        partitions = await publisher.partitions(topics.events)

        def home(key: bytes) -> int:
            return partition_of(key, partitions)

        events = [event async for event in _sent_again(config, work.again)]
        now_ms = service.clocks().now_ms()
        events += [retraction_record(each, now_ms) for each in work.retractions]
        await publisher.publish_keyed(topics.events, events, home)
        _, ends = await bounds(config.connection(), topics.events, partitions)
        marks: dict[int, list[Outgoing]] = {}
        for key, start_ms in work.marks:
            number = home(_bytes(key))
            marks.setdefault(number, []).append(Outgoing(*encode_mark(Place(key, start_ms), ends[number] - 1)))
        for number, records in marks.items():
            await publisher.publish(topics.panes, number, records)
    finally:
        await publisher.stop()


async def _sent_again(config: Config, wanted: dict[tuple[int, int], str]) -> AsyncIterator[Outgoing]:
    """The records as they were, under the timestamp by which they were accepted first."""
    topic = Topics(config.topic_prefix).events
    by_partition: dict[int, list[int]] = {}
    for partition, offset in wanted:
        by_partition.setdefault(partition, []).append(offset)
    starts = {partition: min(offsets) for partition, offsets in by_partition.items()}
    ends = {partition: max(offsets) + 1 for partition, offsets in by_partition.items()}
    async for records in read_between(config.connection(), topic, starts, ends):
        for record in records:
            key = wanted.get((record.partition, record.offset))
            if key is not None:
                first = (FIRST_TIMESTAMP, str(first_timestamp_ms(record)).encode())
                kept = [(name, value) for name, value in record.headers if name not in (FIRST_TIMESTAMP, HOP)]
                yield Outgoing(_bytes(key), record.value, [*kept, first], record.timestamp)


def _bytes(key: str) -> bytes:
    return key.encode("utf-8", "surrogatepass")
