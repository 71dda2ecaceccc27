"""Recompute: every cell again, from the raw records of the events topic, in plain dictionaries.

Of each identity the record with the highest (revision, digest) over the whole topic counts, where and
what its own content says; retractions are ignored, and so are order, partition and repetition. It shares
no code with the engine: an agreement of both says something. Memory follows the number of identities.
"""

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, NamedTuple
from zlib import crc32

import msgspec

from kpistream.errors import EventRejected, Reason
from kpistream.judge.compare import Behind, Cell, Cells, Spot
from kpistream.judge.contract import FIELDS, KINDS, MOVED_FROM, OWN_TIME, Event, Fields, Headers, accept, scope
from kpistream.judge.values import refuse

TALK_SECONDS: Final = (
    *(0, 1, 2, 3, 5, 7, 10, 15, 20, 30, 45, 60, 90, 120, 180, 240, 300, 360, 420, 480, 600, 720, 900),
    *(1200, 1500, 1800, 2400, 2700, 3600, 5400, 7200, 10800, 14400, 28800),
)
"""Lower edges of the talk-time bins."""
WAIT_SECONDS: Final = (
    *(0, 2, 3, 5, 8, 10, 12, 15, 20, 25, 30, 40, 45, 60, 75, 90, 120, 180, 240, 300, 420, 600, 900),
    *(1200, 1800, 3600),
)
"""Lower edges of the queue-wait bins."""
TOP_BOX: Final = {3: 1, 5: 2, 7: 2, 10: 3}
"""How many of a scale's points, from the top, mean satisfied."""


class Raw(NamedTuple):
    """One record of the events topic."""

    partition: int
    offset: int
    timestamp_ms: int
    """The timestamp that counts: the first one of a record that was forwarded or replayed."""
    key: bytes | None
    """Kafka key; the judge places an event by its content and never looks here."""
    value: bytes | None
    headers: Headers = ()


class Winner(NamedTuple):
    """The record of an identity that counts."""

    revision: int
    digest: int
    spot: Spot
    names: tuple[str, ...]
    amounts: tuple[int, ...]


@dataclass(slots=True)
class Recomputation:
    """What the records read so far come to."""

    pane_ms: int
    read: int = 0
    accepted: int = 0
    """Events that the contract accepts, repetitions included; retractions are counted apart."""
    rejected: Counter[str] = field(default_factory=Counter)
    """Records that the contract refuses, by reason."""
    retractions: int = 0
    duplicates: int = 0
    """Accepted records equal in revision and content to the one that stands."""
    corrections: int = 0
    """Accepted records of a higher revision than any before."""
    outdated: int = 0
    """Accepted records of a lower revision than one before."""
    conflicts: int = 0
    """Accepted records of the revision that stands, with other content."""
    winners: dict[str, Winner] = field(default_factory=dict)
    """What counts, by identity: `tenant/source/kind/event_id`."""
    _left: dict[Spot, set[str]] = field(default_factory=dict)
    _standing: dict[Spot, list[str]] | None = None
    _shapes: dict[tuple[str, ...], tuple[str, ...]] = field(default_factory=dict)

    def take(self, record: Raw) -> EventRejected | None:
        """Read one record; return why it was refused, or None."""
        self.read += 1
        try:
            event = accept(record.value, record.timestamp_ms, record.headers)
            check_pane(event, self.pane_ms)
        except EventRejected as refused:
            self.rejected[refused.reason.value] += 1
            return refused
        if event["type"] == "retracted":
            self.retractions += 1
        else:
            self.accepted += 1
            self._stand(identity(event), self._winner(event))
        return None

    def cells(self) -> Cells:
        """Sum what counts, by place; zeros and empty cells left out."""
        sums: dict[Spot, Counter[str]] = {}
        for winner in self.winners.values():
            cell = sums.setdefault(winner.spot, Counter())
            for name, amount in zip(winner.names, winner.amounts, strict=True):
                cell[name] += amount
        plain = {spot: {name: total for name, total in cell.items() if total} for spot, cell in sums.items()}
        return {spot: cell for spot, cell in plain.items() if cell}

    def behind(self, spot: Spot) -> Behind:
        """Name the events behind a place: those that count there, and those that moved away."""
        if self._standing is None:
            self._standing = {}
            for each, winner in self.winners.items():
                self._standing.setdefault(winner.spot, []).append(each)
        standing = {each: self._adds(each) for each in sorted(self._standing.get(spot, ()))}
        return Behind(standing, tuple(sorted(self._left.get(spot, set()) - standing.keys())))

    def _adds(self, each: str) -> Cell:
        winner = self.winners[each]
        return dict(zip(winner.names, winner.amounts, strict=True))

    def _winner(self, event: Event) -> Winner:
        adds = contribution(event)
        names = tuple(adds)
        at = event[OWN_TIME[event["type"]]]
        spot = (f"{event['tenant']}/{scope(event)}", at // self.pane_ms * self.pane_ms)
        return Winner(
            event["revision"], digest(event), spot, self._shapes.setdefault(names, names), tuple(adds.values())
        )

    def _stand(self, each: str, new: Winner) -> None:
        """Keep the higher of two records of one identity, and remember the place that the other names."""
        self._standing = None
        old = self.winners.get(each)
        if old is None:
            self.winners[each] = new
            return
        self.duplicates += new[:2] == old[:2]
        self.conflicts += new.revision == old.revision and new.digest != old.digest
        self.corrections += new.revision > old.revision
        self.outdated += new.revision < old.revision
        stays, goes = (new, old) if new[:2] > old[:2] else (old, new)
        self.winners[each] = stays
        if goes.spot != stays.spot:
            self._left.setdefault(goes.spot, set()).add(each)


def recompute(records: Iterable[Raw], pane_ms: int) -> Recomputation:
    """Read all records of the events topic, in any order, and return what they come to."""
    out = Recomputation(pane_ms)
    for record in records:
        out.take(record)
    return out


def check_pane(event: Event, pane_ms: int) -> None:
    """Refuse a retraction that leaves no pane: its start is none of this pane size. Raises EventRejected."""
    if event["type"] == "retracted" and event["start_ms"] % pane_ms:
        refuse(Reason.INVALID_FIELD, f"start_ms: {event['start_ms']} is no start of a pane")


def identity(event: Event) -> str:
    """Name an event for ever: ids are unique within tenant, source and kind."""
    return "/".join((event["tenant"], event["source"], KINDS[event["type"]], event["event_id"]))


def digest(event: Event) -> int:
    """Return 32 bits of the content; of two contents at one revision the higher stands.

    CRC-32 of a MessagePack map with a header of 16 bits: the type, then the fields in the order of the
    contract without those that have their default; attributes by name, times in ms, the score in
    thousandths, `occurred_at` filled in.
    """
    kind = event["type"]
    content = {"type": kind, **_told({**event, "occurred_at": event[OWN_TIME[kind]]}, FIELDS[kind])}
    if event["moved_from"] is not None:
        content["moved_from"] = _told(event["moved_from"], MOVED_FROM)
    if event["attributes"] is not None:
        content["attributes"] = dict(sorted(event["attributes"].items()))
    pairs = (msgspec.msgpack.encode(part) for pair in content.items() for part in pair)
    return crc32(b"\xde" + len(content).to_bytes(2, "big") + b"".join(pairs))


def _told(event: Event, fields: Fields) -> Event:
    return {name: event[name] for name, (_, default) in fields.items() if event[name] != default}


def contribution(event: Event) -> Cell:
    """Return what an event adds, by measure name or `family.member`; zero left out."""
    kind = event["type"]
    adds = {"call.ended": _call, "deal.closed": _deal, "survey.completed": _survey}[kind](event)
    return {name: int(amount) for name, amount in adds.items() if amount}


def _call(call: Event) -> Cell:
    outbound, connected = call["direction"] == "outbound", call["outcome"] == "connected"
    abandoned = not outbound and call["outcome"] == "abandoned"
    waited, due = call["queue_wait_ms"], call["follow_up_due_at"]
    adds: Cell = {
        "calls": 1,
        "first_legs": call["transfer_leg"] == 0,
        "outbound_calls": outbound,
        "inbound_calls": not outbound,
        "connected": connected,
        "outbound_connected": outbound and connected,
        "inbound_connected": not outbound and connected,
        "voicemails": call["outcome"] == "voicemail",
        "answerer_unknown": outbound and connected and call["answered_by"] in (None, "unknown"),
        "abandoned": abandoned,
        "ring_ms": call["ring_ms"] or 0,
        "queue_wait_ms": waited or 0,
        "follow_ups_done": call["follow_up_of"] is not None,
        "follow_ups_on_time": due is not None and call["started_at"] <= due,
        "follow_ups_late": due is not None and call["started_at"] > due,
        "follow_ups_promised": call["next_follow_up_at"] is not None,
    }
    if connected:
        adds.update(_talk(call))
    if waited is not None and abandoned:
        adds.update({"abandoned_wait_known": 1, f"abandoned_wait_bin.{_edge(WAIT_SECONDS, waited)}": 1})
    if waited is not None and connected and not outbound:
        adds.update({"answered_wait_known": 1, f"answered_wait_bin.{_edge(WAIT_SECONDS, waited)}": 1})
    return adds


def _talk(call: Event) -> Cell:
    """Return what a connected call adds; talk that nobody told is answered to ended without hold."""
    hold, wrap_up = call["hold_ms"] or 0, call["wrap_up_ms"]
    talk = call["talk_ms"]
    if talk is None:
        talk = max(0, call["ended_at"] - call["answered_at"] - hold)
    return {
        "talk_ms": talk,
        "talk_sq_ms2": talk**2,
        f"talk_bin.{_edge(TALK_SECONDS, talk)}": 1,
        "hold_ms": hold,
        "wrap_up_ms": wrap_up or 0,
        "wrap_up_known": wrap_up is not None,
        "handle_ms": 0 if wrap_up is None else talk + hold + wrap_up,
    }


def _edge(seconds: tuple[int, ...], ms: int) -> int:
    """Return the lower edge, in ms, of the bin that holds `ms`."""
    return 1000 * seconds[bisect_right(seconds, ms // 1000) - 1]


def _deal(deal: Event) -> Cell:
    outcome, customer = deal["outcome"], deal["customer_type"]
    if outcome != "won":
        return {f"deals_{outcome}": 1}
    return {
        "deals_won": 1,
        "deals_repeat": customer == "repeat",
        "deals_customer_known": customer is not None,
        f"won_minor.{deal['currency']}": deal["amount_minor"],
        f"won_deals.{deal['currency']}": 1,
    }


def _survey(survey: Event) -> Cell:
    low, high, score = survey["scale_min"], survey["scale_max"], survey["score"]
    adds: Cell = {"surveys": 1}
    if survey["kind"] == "nps":
        adds.update(nps_rated=1, nps_promoters=score >= 9000, nps_detractors=score <= 6000)
    if survey["kind"] == "csat":
        scale, points = f"{low}-{high}", high - low + 1
        adds[f"csat_answers.{scale}"] = 1
        adds[f"csat_score_milli.{scale}"] = score
        adds[f"csat_score_sq_milli2.{scale}"] = score**2
        adds["csat_rated"] = points in TOP_BOX
        adds["csat_satisfied"] = points in TOP_BOX and score >= 1000 * (high - TOP_BOX[points] + 1)
    return adds
