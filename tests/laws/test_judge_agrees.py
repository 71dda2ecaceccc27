"""Two hands, one verdict: the judge, which shares no code with the engine, agrees with it.

Records near the contract, good and bad, in any mixture: the same acceptance with the same reason, the
same identities, revisions and digests, and the same cells once every move is retracted.
"""

import json
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kpistream.core.currencies import NUMERIC
from kpistream.core.decoding import decode
from kpistream.core.events import MODELS
from kpistream.core.measures import TALK_EDGES_MS, WAIT_EDGES_MS, named
from kpistream.core.panes import Pane
from kpistream.core.placing import REVISION_SHIFT, place
from kpistream.errors import EventRejected
from kpistream.judge.compare import Cells, Spot, cells_of_named, compare
from kpistream.judge.contract import accept
from kpistream.judge.ground import astray, counting_ms, left_by, spot_of
from kpistream.judge.recompute import TALK_SECONDS, WAIT_SECONDS, Raw, Recomputation, digest, identity, recompute
from kpistream.judge.values import CURRENCIES
from kpistream.log.records import first_timestamp_ms, hops
from kpistream.log.topics import partition_of

PANE_MS = 300_000
NINE = 1_699_952_400_000
"""2023-11-14 09:00 UTC."""
FIVE_PAST = NINE + PANE_MS
HEAD = {"tenant": "acme", "source": "pbx", "event_id": "c1", "agent_id": "ann"}
CALL: dict[str, Any] = {
    "type": "call.ended",
    **HEAD,
    "direction": "outbound",
    "outcome": "connected",
    "answered_by": "human",
}
CALL |= {"started_at": NINE, "answered_at": NINE + 10_000, "ended_at": NINE + 130_000, "talk_ms": 100_000}
DEAL: dict[str, Any] = {
    "type": "deal.closed",
    **HEAD,
    "outcome": "won",
    "amount_minor": 250_00,
    "currency": "EUR",
    "closed_at": NINE,
}
SURVEY: dict[str, Any] = {
    "type": "survey.completed",
    **HEAD,
    "kind": "csat",
    "score": 4,
    "scale_min": 1,
    "scale_max": 5,
}
SURVEY |= {"completed_at": NINE + 60_000}
RETRACTED: dict[str, Any] = {"type": "retracted", **HEAD, "kind": "call", "epoch": 1, "revision": 7, "digest": 5}
RETRACTED |= {"scope": "agent:ann", "start_ms": NINE}

TIMES: list[Any] = [NINE, NINE - 1, NINE + 10_000, NINE + 131_000, FIVE_PAST, NINE + 7 * 86_400_000, NINE + 900_001]
TIMES += [631_151_999_999, 631_152_000_000, 4_102_444_799_999, 4_102_444_800_000, NINE // 1000, 1.0, None, True, "x"]
TIMES += ["2023-11-14T09:00:00Z", "2023-11-14t10:00:00.1239+01:00", "2023-11-14 09:00:00z", "2023-11-14T09:00:00"]
TIMES += [
    "2023-11-14T09:00:60Z",
    "2023-02-29T09:00:00Z",
    "2023-11-14T09:00:00+24:00",
    "2023-11-14T09:00:00.1234567890Z",
]
ANY: list[Any] = [
    None,
    0,
    1,
    -1,
    True,
    1.0,
    2**48,
    "",
    "x",
    "x" * 129,
    "x" * 257,
    [],
    {},
    "a\x00",
    "a\x85",
    "\ud800",
    "é/",
]
MS: list[Any] = [0, 1, 999, 1_000, 12_000, 60_000, 100_000, 101_000, 101_001, 121_001, 86_400_000, 86_400_001]
OUTCOMES = [
    "connected",
    "no-answer",
    "busy",
    "failed",
    "abandoned",
    "voicemail",
    "cancelled",
    "rejected",
    "won",
    "lost",
    "voided",
]
PLACES: list[Any] = [{"agent_id": "bob", "occurred_at": NINE}, {"occurred_at": NINE}, {"queue": "q", "occurred_at": 5}]
VALUES: dict[str, list[Any]] = {
    **dict.fromkeys(("started_at", "answered_at", "ended_at", "closed_at", "completed_at", "occurred_at"), TIMES),
    **dict.fromkeys(("follow_up_due_at", "next_follow_up_at"), TIMES),
    **dict.fromkeys(("queue_wait_ms", "ring_ms", "talk_ms", "hold_ms", "wrap_up_ms"), MS),
    "tenant": ["acme", "x" * 65, "a b"],
    "event_id": ["c1", "c2"],
    "revision": [0, 1, 2, 2**48 - 1],
    "agent_id": ["ann", "bob"],
    "queue": ["q"],
    "campaign": ["c"],
    "direction": ["inbound", "outbound"],
    "outcome": OUTCOMES,
    "answered_by": ["human", "machine", "unknown"],
    "follow_up_of": ["c0"],
    "transfer_leg": [0, 1, 100, 101],
    "amount_minor": [0, 5, 10**13, 10**13 + 1],
    "currency": ["EUR", "JPY", "eur", "ABC"],
    "customer_type": ["new", "repeat"],
    "kind": ["csat", "nps", "ces", "other"],
    "score": [0, 1, 2, 3, 4, 4.5, 4.123, 4.1234, 6, 9, 10, 10.5, 1e300, 0.1 + 0.2],
    "scale_min": [0, 1, 3, 101],
    "scale_max": [3, 5, 7, 10, 100],
    "attributes": [
        {"b": "2", "a": "1"},
        {"a": ""},
        {"": "x"},
        {"a": 1},
        {str(n): "" for n in range(65)},
        {"a": "\x01"},
    ],
    "moved_from": PLACES,
    "type": ["call.ended", "deal.closed", "survey.completed", "retracted"],
    "unknown": [{"a": [1]}],
}


@st.composite
def written(draw: st.DrawFn) -> Raw:
    """A record near the contract: a good event with a few fields replaced or taken out, sometimes wrapped."""
    event: dict[str, Any] = dict(draw(st.sampled_from([CALL, CALL, DEAL, SURVEY, RETRACTED])))
    names = sorted({*event, *MODELS[event["type"]].model_fields, "unknown"})
    for name in draw(st.lists(st.sampled_from(names), max_size=4)):
        pool = 3 * VALUES.get(name, []) + ANY
        event[name] = draw(st.sampled_from(pool))
        if draw(st.integers(0, 9)) == 0:
            del event[name]
    wrapping = {"specversion": "1.0", "id": "i", "source": "pbx", "type": event.get("type", "call.ended")}
    way = draw(st.sampled_from(["plain"] * 8 + ["structured", "binary"]))
    text = json.dumps({**wrapping, "data": event} if way == "structured" else event, ensure_ascii=draw(st.booleans()))
    headers = [(f"ce_{name}", str(held).encode(errors="replace")) for name, held in wrapping.items()]
    value = text.encode("utf-8", "surrogatepass")
    return Raw(0, 0, NINE + 600_000, None, value, headers if way == "binary" else ())


def engine(records: list[Raw]) -> tuple[list[str], Cells]:
    """What the engine's own decoding, placing and joining make of the records, every move retracted."""
    verdicts: list[str] = []
    panes: dict[Spot, Pane] = {}
    top: dict[str, int] = {}
    for record in records:
        try:
            accepted = place(decode(record.value, record.timestamp_ms, record.headers), PANE_MS)
        except EventRejected as rejected:
            verdicts.append(rejected.reason)
            continue
        verdicts.append("accepted")
        if not accepted.retracts:
            pane = panes.setdefault((accepted.key, accepted.start_ms), Pane(accepted.key, accepted.start_ms))
            pane.join(accepted.identity, accepted.rank, accepted.contribution)
            top[accepted.identity] = max(top.get(accepted.identity, 0), accepted.rank)
    for pane in panes.values():
        for name, rank in top.items():
            if (pane.rank(name) or rank) < rank:
                pane.join(name, rank, (), True)
    return verdicts, cells_of_named({spot: named(pane.tally) for spot, pane in panes.items()})


def judged(record: Raw) -> str:
    refused = Recomputation(PANE_MS).take(record)
    return "accepted" if refused is None else refused.reason


@settings(max_examples=400, deadline=None)
@given(records=st.lists(written(), min_size=1, max_size=8))
def test_judge_and_engine_agree(records: list[Raw]) -> None:
    verdicts, cells = engine(records)

    result = recompute(records, PANE_MS)

    assert [judged(record) for record in records] == verdicts
    assert result.cells() == cells
    assert compare(result.cells(), cells, result.behind).exact


@settings(max_examples=400, deadline=None)
@given(record=written())
def test_judge_and_engine_give_one_identity_revision_and_digest(record: Raw) -> None:
    if judged(record) != "accepted":
        return
    event = accept(record.value, record.timestamp_ms, record.headers)
    if event["type"] == "retracted":  # the judge ignores them; one of no pane is refused by the engine
        return

    placed = place(decode(record.value, record.timestamp_ms, record.headers), PANE_MS)

    assert identity(event) == placed.identity
    assert placed.rank & ((1 << 80) - 1) == event["revision"] << REVISION_SHIFT | digest(event)


@settings(max_examples=400, deadline=None)
@given(record=written())
def test_judge_and_engine_give_one_place_and_name_one_place_that_was_left(record: Raw) -> None:
    try:
        placed = place(decode(record.value, record.timestamp_ms, record.headers), PANE_MS)
    except EventRejected as rejected:
        with pytest.raises(EventRejected, match=rejected.reason):
            spot_of(accept(record.value, record.timestamp_ms, record.headers), PANE_MS)
        return

    event = accept(record.value, record.timestamp_ms, record.headers)
    spot = spot_of(event, PANE_MS)
    left = None if placed.retracts else left_by(event, PANE_MS)

    assert spot == (placed.key, placed.start_ms)
    assert placed.moved_from == (None if left == spot else left)


TOLD = st.lists(
    st.tuples(
        st.sampled_from(["kpi-first-timestamp", "kpi-hop", "x"]),
        st.sampled_from([b"", b"5", b"99999", b"1" * 20, b"-5", b" 5", b"5.0", b"\xd9\xa3", b"abc"]),
    ),
    max_size=4,
)


@given(headers=TOLD, timestamp_ms=st.integers(0, 10**13), partition=st.integers(0, 3))
def test_judge_and_log_read_headers_alike(headers: list[tuple[str, bytes]], timestamp_ms: int, partition: int) -> None:
    raw = Raw(partition, 0, timestamp_ms, None, None, headers)
    record = Consumed("t", partition, 0, timestamp_ms, None, None, headers)

    assert counting_ms(raw) == first_timestamp_ms(record)
    away = partition != partition_of(b"acme/agent:ann", 4)
    assert astray(raw, "acme/agent:ann", 4) == (away and hops(record) > 0)


class Consumed(NamedTuple):
    """A record as a consumer hands it over."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes]]


ABANDONED = {"outcome": "abandoned", "answered_by": None, "answered_at": None, "talk_ms": None, "direction": "inbound"}
NPS = {"kind": "nps", "score": 9, "scale_min": 0, "scale_max": 10}
EDGES: list[tuple[dict[str, Any], dict[str, Any], str]] = [
    (CALL, {"talk_ms": 121_000}, "accepted"),
    (CALL, {"talk_ms": 121_001}, "talk-longer-than-call"),
    (CALL, {"talk_ms": 100_000, "hold_ms": 21_001}, "talk-longer-than-call"),
    (CALL, {"talk_ms": None, "hold_ms": 121_000}, "accepted"),
    (CALL, {"ended_at": NINE + 900_000}, "accepted"),
    (CALL, {"ended_at": NINE + 900_001}, "in-the-future"),
    (CALL, {"started_at": NINE + 130_000 - 7 * 86_400_000}, "accepted"),
    (CALL, {"started_at": NINE + 129_999 - 7 * 86_400_000}, "call-too-long"),
    (CALL, {"started_at": NINE + 130_001, "answered_at": NINE + 130_001}, "ended-before-started"),
    (CALL, {"answered_at": NINE}, "accepted"),
    (CALL, {"answered_at": NINE - 1}, "answered-outside-call"),
    (CALL, {"answered_at": NINE + 130_001}, "answered-outside-call"),
    (CALL, {"answered_at": None, "talk_ms": None}, "outcome-contradicts"),
    (CALL, {"answered_by": "machine"}, "outcome-contradicts"),
    (CALL, {"outcome": "failed", "answered_at": None, "talk_ms": 0}, "accepted"),
    (CALL, {"outcome": "failed", "answered_at": None, "talk_ms": 1}, "outcome-contradicts"),
    (CALL, ABANDONED, "accepted"),
    (CALL, ABANDONED | {"answered_at": NINE}, "outcome-contradicts"),
    (CALL, ABANDONED | {"talk_ms": 1}, "outcome-contradicts"),
    (CALL, {"agent_id": None, "queue": "q", "campaign": "c"}, "accepted"),
    (CALL, {"agent_id": None}, "no-place"),
    (CALL, {"occurred_at": "2023-11-14T09:02:10Z"}, "accepted"),
    (CALL, {"occurred_at": NINE}, "occurred-at-differs"),
    (CALL, {"started_at": "2023-11-15T08:59:00+23:59"}, "accepted"),
    (CALL, {"started_at": "2023-11-15T09:00:00+24:00"}, "invalid-field"),
    (CALL, {"started_at": "2023-11-14T09:00:00"}, "no-zone"),
    (CALL, {"started_at": NINE // 1000}, "seconds-not-milliseconds"),
    (CALL, {"follow_up_due_at": NINE}, "missing-field"),
    (CALL, {"follow_up_due_at": NINE, "follow_up_of": "c0"}, "accepted"),
    (CALL, {"attributes": {str(n): "" for n in range(64)}}, "accepted"),
    (CALL, {"attributes": {str(n): "" for n in range(65)}}, "invalid-field"),
    (CALL, {"unknown": "\ud800"}, "not-json"),
    (CALL, {"unknown": json.loads("[" * 200 + "]" * 200)}, "accepted"),
    (CALL, {"unknown": json.loads("[" * 201 + "]" * 201)}, "not-json"),
    (RETRACTED, {"start_ms": NINE + PANE_MS}, "accepted"),
    (RETRACTED, {"start_ms": NINE + 1}, "invalid-field"),
    (DEAL, {"currency": None}, "missing-field"),
    (DEAL, {"amount_minor": None, "currency": None}, "missing-field"),
    (DEAL, {"amount_minor": None, "currency": None, "outcome": "lost"}, "accepted"),
    (DEAL, {"currency": "EURO"}, "unknown-currency"),
    (SURVEY, {"score": 5.001}, "score-outside-scale"),
    (SURVEY, {"score": 0.999}, "score-outside-scale"),
    (SURVEY, {"score": 4.0001}, "invalid-field"),
    (SURVEY, NPS, "accepted"),
    (SURVEY, NPS | {"score": 9.5}, "score-outside-scale"),
    (SURVEY, NPS | {"scale_min": 1}, "score-outside-scale"),
]


@pytest.mark.parametrize(("event", "change", "verdict"), EDGES)
def test_both_agree_at_the_edge_of_every_rule(event: dict[str, Any], change: dict[str, Any], verdict: str) -> None:
    record = Raw(0, 0, NINE + 600_000, None, json.dumps(event | change).encode())

    assert judged(record) == verdict
    assert engine([record]) == ([verdict], recompute([record], PANE_MS).cells())


def test_agree_on_scores_between_the_points() -> None:
    record = Raw(0, 0, NINE + 600_000, None, json.dumps(SURVEY | {"score": 3.8}).encode())

    assert recompute([record], PANE_MS).cells() == engine([record])[1]


@pytest.mark.parametrize("more", [{}, {"unknown": 1}])
def test_agree_on_binary_cloudevents_of_another_version(more: dict[str, Any]) -> None:
    record = Raw(0, 0, NINE + 600_000, None, json.dumps(CALL | more).encode(), [("ce_specversion", b"0.3")])
    plain = record._replace(value=json.dumps(CALL).encode())

    assert engine([record])[0] == engine([plain])[0] == [judged(record)]


def test_tables_written_twice_agree() -> None:
    assert frozenset(NUMERIC) == CURRENCIES
    assert tuple(1000 * edge for edge in TALK_SECONDS) == TALK_EDGES_MS
    assert tuple(1000 * edge for edge in WAIT_SECONDS) == WAIT_EDGES_MS
