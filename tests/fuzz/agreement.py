"""Agreement: what must hold for any record whatever, checked for one.

Worker, models and judge say the same: refused by all for the same reason or by none, and what all accept is the
same event with the same rank at the same place with the same sums. A refused record is one dead letter with a
reason of the closed list and the bytes it came with. Anything else than `EventRejected` is a crash.
"""

from collections.abc import Callable
from typing import Any, Final

from kpistream.core.decoding import Decoder as EventDecoder
from kpistream.core.decoding import fields_of
from kpistream.core.explaining import examine
from kpistream.core.measures import named
from kpistream.core.partition import PartitionSettings
from kpistream.core.placing import place, rank_parts
from kpistream.errors import EventRejected, Reason
from kpistream.judge import contract
from kpistream.judge.compare import cells_of_named
from kpistream.judge.recompute import Raw, digest, identity, recompute
from kpistream.log.reading import EventReader
from kpistream.log.records import first_timestamp_ms
from kpistream.stream.decode import Decoder
from kpistream.stream.state import Shard
from tests.fuzz.inputs import Record

PANE_MS: Final = 300_000
ACCEPTED: Final = "accepted"
_CONFLICTS: Final = {Reason.CONFLICT.value}


class Disagreement(AssertionError):
    """Two hands say different things about one record."""


class Intake:
    """One worker's intake, on one partition, to which everything belongs."""

    def __init__(self) -> None:
        self._decoder = Decoder(EventReader(PANE_MS, 1), PANE_MS, "kpi.events")
        self._shard = Shard(0, PartitionSettings("fuzz"))
        self._shard.assigned(1)
        self._shard.partition.recovered(0)

    def verdict(self, record: Record) -> str:
        """What a worker makes of the record: accepted, or the reason on its one dead letter."""
        shard = self._shard
        taken = self._decoder.take(shard, [record])
        if taken.records != 1 or shard.forwards or shard.partition.at.next_offset != record.offset + 1:
            raise Disagreement("the record was not read, or sent away")
        letters, shard.dead_letters = shard.dead_letters, []
        reasons = [dict(letter.headers)["kpi-reason"].decode() for letter in letters]
        if not taken.rejected:
            if not {*reasons} <= _CONFLICTS:
                raise Disagreement(f"accepted, with dead letters {reasons}")
            return ACCEPTED
        if len(letters) != 1 or [str(each) for each in taken.rejected.elements()] != reasons:
            raise Disagreement(f"refused for {taken.rejected}, dead letters {reasons}")
        _check_letter(record, letters[0])
        return Reason(reasons[0]).value


def _check_letter(record: Record, letter: Any) -> None:
    originals = [(name, held) for name, held in record.headers]
    kept = [(name.removeprefix("kpi-original-"), held) for name, held in letter.headers[-len(originals) :]]
    null = ("kpi-null-value", b"1") in letter.headers and record.value is None
    if letter.key != record.key or letter.value != (record.value or b"") or null != (record.value is None):
        raise Disagreement("the dead letter does not hold the record's key and bytes")
    if originals and not null and kept != originals:
        raise Disagreement(f"the dead letter holds headers {kept}, the record {originals}")


def verdict(intake: Intake, record: Record) -> str:
    """Accepted, or the reason. Raises Disagreement, or whatever crashed."""
    timestamp_ms = first_timestamp_ms(record)
    fast = _outcome(EventDecoder().decode, record, timestamp_ms)
    exact = _outcome(lambda *parts: fields_of(examine(*parts)), record, timestamp_ms)
    if fast != exact:
        raise Disagreement(f"fast way: {fast!r:.600}\nmodels: {exact!r:.600}")
    judged = _outcome(contract.accept, record, timestamp_ms)
    taken = intake.verdict(record)
    if isinstance(fast, tuple):
        if not isinstance(judged, tuple) or judged[0] != fast[0] or taken != fast[0]:
            raise Disagreement(f"models: {fast!r:.600}\njudge: {judged!r:.600}\nworker: {taken}")
        return str(fast[0])
    if isinstance(judged, tuple):
        raise Disagreement(f"models: {fast!r:.600}\njudge: {judged!r:.600}")
    _check_event(record, timestamp_ms, fast, judged, taken)
    return taken


def _outcome(decide: Callable[..., Any], record: Record, timestamp_ms: int) -> Any:
    try:
        return decide(record.value, timestamp_ms, record.headers)
    except EventRejected as rejected:
        return rejected.reason, rejected.detail, rejected.hint


def _check_event(record: Record, timestamp_ms: int, fields: Any, judged: contract.Event, taken: str) -> None:
    try:
        placed = place(fields, PANE_MS)
    except EventRejected as rejected:  # of a retraction, which the judge does not look at
        if judged["type"] != "retracted" or taken != rejected.reason:
            raise Disagreement(f"placing: {rejected}, worker: {taken}") from rejected
        return
    if taken != ACCEPTED:
        raise Disagreement(f"accepted by all, but {taken} in the worker")
    if placed.retracts:
        return
    _, revision, found = rank_parts(placed.rank)
    if (placed.identity, revision, found) != (identity(judged), judged["revision"], digest(judged)):
        raise Disagreement(f"identity or rank: {placed.identity, revision, found}, {identity(judged), digest(judged)}")
    cells = recompute([Raw(0, 0, timestamp_ms, None, record.value, record.headers)], PANE_MS).cells()  # type: ignore[arg-type]
    pairs = iter(placed.contribution)
    tally = dict(zip(pairs, pairs, strict=True))
    if cells != cells_of_named({(placed.key, placed.start_ms): named(tally)}):
        raise Disagreement(f"sums: {tally}, {cells}")
