"""Bad input: a short fuzz of decoder, models, judge and the worker's intake, and what longer ones have found.

The long one is run by hand: `python -m tests.fuzz --inputs 1000000 --seed 7`.
"""

import base64
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kpistream.core.decoding import decode
from kpistream.errors import EventRejected
from kpistream.judge.contract import accept
from tests.contract.strategies import TIMESTAMP_MS, cloud_records, records, sound_objects
from tests.fuzz.agreement import Disagreement, Intake, verdict
from tests.fuzz.inputs import TOKENS, Record, record

CALL, DEAL, SURVEY, RETRACTED = (json.dumps(each)[1:-1] for each in sound_objects())
DEEP = "[" * 201 + "1" + "]" * 201
LONG = "9" * 4301


@pytest.mark.parametrize("seed", range(2))
def test_whatever_comes_worker_models_and_judge_say_the_same(seed: int) -> None:
    intake, seen = Intake(), set()
    for number in range(3_000):
        try:
            seen.add(verdict(intake, record(seed, number)))
        except Exception as fault:
            raise AssertionError(f"python -m tests.fuzz --seed {seed} --only {number}") from fault
    assert {"accepted", "not-json", "empty", "unknown-type", "missing-field", "invalid-field"} <= seen


@settings(max_examples=100, deadline=None)
@given(value=st.one_of(records(), st.binary(max_size=80)), held=st.one_of(st.none(), st.binary(max_size=40)))
def test_bytes_that_hypothesis_thinks_of_get_one_verdict(value: bytes, held: bytes | None) -> None:
    verdict(Intake(), Record(value, headers=(("kpi-first-timestamp", held), ("ce_id", held), ("trace", held))))


@settings(max_examples=100, deadline=None)
@given(cloud=cloud_records())
def test_cloud_events_that_hypothesis_thinks_of_get_one_verdict(cloud: tuple[bytes, list]) -> None:
    value, headers = cloud

    verdict(Intake(), Record(value, headers=tuple(headers)))


def plain(text: str) -> Record:
    return Record(text.encode())


def wrapped(text: str, kind: str = "kpistream.call.ended") -> Record:
    held = base64.b64encode(text.encode()).decode()
    return plain(f'{{"specversion":"1.0","type":"{kind}","id":"e","source":"pbx","data_base64":"{held}"}}')


FOUND: list[tuple[str, Record, str]] = [
    ("deep value hidden by a later name", plain(f'{{"queue":{DEEP},{CALL},"queue":"q"}}'), "not-json"),
    ("half a pair hidden by a later name", plain(f'{{"queue":"\\ud800",{CALL},"queue":"q"}}'), "not-json"),
    ("long number hidden by a later name", plain(f'{{"talk_ms":{LONG},{CALL}}}'), "not-json"),
    ("long number with a point", plain(f'{{{CALL},"x":{LONG}.5}}'), "not-json"),
    ("long number with an exponent", plain(f'{{{CALL},"x":-{LONG}e-1}}'), "not-json"),
    ("number of 4300 digits", plain(f'{{{CALL},"x":{LONG[1:]}}}'), "accepted"),
    ("fraction of 10,000 digits", plain(f'{{{CALL},"x":0.{"9" * 10_000}}}'), "accepted"),
    ("escaped backslash before a half", plain(f'{{{CALL},"x":"\\\\ud800"}}'), "accepted"),
    ("brackets in a text", plain(f'{{{CALL},"x":"{"[" * 300}\\""}}'), "accepted"),
    ("score that no float holds", plain(f'{{{SURVEY},"score":{LONG[1:]}}}'), "invalid-field"),
    ("score of 300 digits", plain(f'{{{SURVEY},"score":{LONG[:300]}}}'), "score-outside-scale"),
    ("score beyond the floats", plain(f'{{{SURVEY},"score":-1e999}}'), "invalid-field"),
    ("attribute without a value", Record(f"{{{CALL}}}".encode(), headers=(("ce_id", None),)), "accepted"),
    ("prefix of the type in a CloudEvent", wrapped(f"{{{CALL.partition(',')[2]}}}"), "accepted"),
    ("unknown type in a CloudEvent", wrapped(f"{{{CALL.partition(',')[2]}}}", "other"), "unknown-type"),
    ("no JSON in a CloudEvent", wrapped("{"), "invalid-field"),
    ("another version before no JSON", plain('{"specversion":"0.3","data_base64":"ew=="}'), "invalid-field"),
    ("last of two types", plain(f'{{"type":"deal.closed",{CALL}}}'), "accepted"),
]


@pytest.mark.parametrize(("each", "wanted"), [found[1:] for found in FOUND], ids=[found[0] for found in FOUND])
def test_what_the_long_runs_found_stays_found(each: Record, wanted: str) -> None:
    assert verdict(Intake(), each) == wanted


def test_dead_letter_with_other_bytes_is_noticed() -> None:
    with pytest.raises(Disagreement, match="key and bytes"):
        Intake().verdict(_Changing(b"{"))


class _Changing(Record):
    """A record whose bytes are others at every look."""

    looks = 0

    def __getattribute__(self, name: str) -> object:
        found = object.__getattribute__(self, name)
        if name == "value":
            type(self).looks += 1
            return b"x" * type(self).looks
        return found


@pytest.mark.parametrize("token", TOKENS, ids=range(len(TOKENS)))
def test_every_token_in_every_field_gets_one_verdict(token: str) -> None:
    intake, offset = Intake(), 0
    for content in sound_objects():
        for name in (*content, "moved_from", "attributes", "surprise"):
            value = f'{{{json.dumps(content)[1:-1]},"{name}":{token}}}'.encode("utf-8", "replace")
            verdict(intake, Record(value, offset=offset))
            offset += 1


@pytest.mark.parametrize("name", ["talk_ms", "agent_id", "moved_from", "type"])
def test_last_of_two_equal_names_counts_for_all_three(name: str) -> None:
    content = {**sound_objects()[0], "moved_from": {"agent_id": "bob", "occurred_at": TIMESTAMP_MS}}
    other = {"talk_ms": "1", "agent_id": '"x"', "moved_from": '{"queue":"q","occurred_at":1}', "type": '"deal.closed"'}
    value = f'{{"{name}":{other[name]},{json.dumps(content)[1:-1]}}}'.encode()

    assert decode(value, TIMESTAMP_MS) == decode(json.dumps(content).encode(), TIMESTAMP_MS)
    assert accept(value, TIMESTAMP_MS) == accept(json.dumps(content).encode(), TIMESTAMP_MS)


MEBIBYTE = 1 << 20
WORST = {
    "quotes": b'"' * MEBIBYTE,
    "backslashes": b'{"a":"' + b"\\" * 999_000 + b'"}',
    "open brackets": b"[" * 999_000,
    "escapes": b'{"a":"' + b"\\u00e9" * 166_000 + b'"}',
    "digits": b'{"a":' + b"9" * 999_000 + b"}",
    "numbers": b'{"a":[' + b"1," * 499_000 + b"1]}",
    "long numbers": b'{"a":[' + b",".join([b"9" * 4300] * 230) + b"]}",
    "small objects": b'{"a":[' + b"{}," * 333_000 + b"{}]}",
    "one name again and again": b"{" + b'"a":1,' * 166_000 + b'"a":1}',
    "names": b"{" + b",".join(b'"n%d":1' % n for n in range(90_000)) + b"}",
    "name of one size": b'{"' + b"n" * 999_000 + b'":1}',
    "spaces": b"{" + b" " * 999_000 + b"}",
    "base64": b'{"specversion":"1.0","data_base64":"' + b"W1tb" * 249_000 + b'"}',
    "event with a great field": f'{{{CALL},"x":"{"y" * 990_000}"}}'.encode(),
    "event with many fields": f"{{{CALL},{','.join(f'{json.dumps(str(n))}:[]' for n in range(80_000))}}}".encode(),
    "10 MB": f'{{{CALL},"x":"{"y" * 10_000_000}"}}'.encode(),
}


@pytest.mark.parametrize("name", WORST)
def test_largest_records_of_the_worst_shape_get_one_verdict(name: str) -> None:
    """Work grows with the bytes, not with their square: the same for 1 MB would take minutes."""
    intake = Intake()
    found = verdict(intake, Record(WORST[name]))

    assert found == ("accepted" if name.startswith("event") else found)
    assert (found == "too-large") == (len(WORST[name]) > 1_000_000)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-8-sig", "latin-1", "cp1252"])
def test_other_encodings_are_refused_and_kept(encoding: str) -> None:
    value = f"{{{CALL}}}".replace("agent-7", "Zo\u00eb").encode(encoding)

    with pytest.raises(EventRejected):
        decode(value, TIMESTAMP_MS)
    wanted = "schema-registry-framing" if value[0] == 0 else "not-json"
    assert verdict(Intake(), Record(value)) == wanted


TIMES = {
    "1772612222": "seconds-not-milliseconds",
    "1772612222118000": "time-out-of-range",
    "1772612222118000000": "time-out-of-range",
    "0": "seconds-not-milliseconds",
    "-1": "time-out-of-range",
    '"1970-01-01T00:00:00Z"': "time-out-of-range",
    '"9999-12-31T23:59:59Z"': "time-out-of-range",
    '"9999-12-31T23:59:59-23:59"': "time-out-of-range",
    '"0001-01-01T00:00:00+23:59"': "time-out-of-range",
    "1772612222118.0": "invalid-field",
    "1.772612222118e12": "invalid-field",
    '"2026-03-04T08:17:02"': "no-zone",
    '"2026-03-04T08:22:02.119Z"': "in-the-future",
}


@pytest.mark.parametrize("time", TIMES)
def test_times_of_other_units_and_ages_are_refused_with_their_reason(time: str) -> None:
    for content in sound_objects()[:3]:
        own = {"call.ended": "ended_at", "deal.closed": "closed_at", "survey.completed": "completed_at"}
        value = f'{{{json.dumps(content)[1:-1]},"{own[content["type"]]}":{time}}}'.encode()

        assert verdict(Intake(), Record(value)) == TIMES[time]


def test_ids_of_10_kb_are_refused_and_quoted_short() -> None:
    for name in ("event_id", "agent_id", "tenant", "source", "call_id"):
        value = f'{{{CALL},"{name}":"{"i" * 10_240}"}}'.encode()

        assert verdict(Intake(), Record(value)) == "invalid-field"
        with pytest.raises(EventRejected) as refused:
            decode(value, TIMESTAMP_MS)
        assert len(refused.value.detail) < 200
