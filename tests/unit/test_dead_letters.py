"""Dead letters: read back as they were written, chosen, and replayed as they would have been judged."""

import asyncio
import json
from dataclasses import replace
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kpistream.core.decoding import decode
from kpistream.dead_letters import Account, Choice, Fate, Replay
from kpistream.errors import ConfigError, EventRejected, Reason
from kpistream.log.dead_letters import Source, _named, letter_of, receipt, replayed
from kpistream.log.reading import EventReader
from kpistream.log.records import dead_letter
from kpistream.sources.mapping import Mapping, load_mapping
from kpistream.sources.mapping_schema import read_description
from kpistream.trying import refused_row
from tests.contract.strategies import TIMESTAMP_MS, sound_objects
from tests.fuzz.inputs import Record

CALL = json.dumps(sound_objects()[0]).encode()
REJECTED = EventRejected(Reason.NOT_JSON, "no object", "send JSON")


def written(record, rejected=REJECTED, offset=7):
    """The letter of a refused record, read back."""
    sent = dead_letter(record, rejected)
    return letter_of(SimpleNamespace(offset=offset, timestamp=9, key=sent.key, value=sent.value, headers=sent.headers))


def fate(letter, convert=None, again=False, done=frozenset(), whole=lambda letter: letter):
    class Letters:
        replayed = done

        async def whole(self, letter):
            return whole(letter)

    return asyncio.run(Replay(Letters(), EventReader(300_000, 4), convert, again=again).fate(letter))


headers = st.lists(st.tuples(st.text(max_size=5), st.none() | st.binary(max_size=5)), max_size=5)


@given(key=st.none() | st.binary(max_size=9), value=st.none() | st.binary(max_size=20), held=headers)
def test_letter_gives_back_the_record_byte_for_byte(key, value, held):
    record = Record(value, 1_000, tuple(held), key, "kpi.events", 3, 12)

    letter = written(record)

    assert (letter.key, letter.value, list(letter.headers)) == (key, value, held)
    assert (letter.reason, letter.detail, letter.hint) == ("not-json", "no object", "send JSON")
    assert (letter.source, letter.cut) == (Source("kpi.events", 3, 12), False)


def test_headers_that_look_like_ours_do_not_change_what_a_letter_says():
    forged = (("kpi-reason", b"closed"), ("kpi-offset", b"1"), ("kpi-null-value", b"1"), ("kpi-receipt", b"replay"))

    letter = written(Record(b"{", 1_000, forged, offset=5))

    assert (letter.reason, letter.source.offset, letter.value) == ("not-json", 5, b"{")
    assert letter.headers == forged


def test_row_of_a_file_is_a_letter_without_a_source():
    row = SimpleNamespace(raw=b"a;b", line=17)
    sent = refused_row(SimpleNamespace(name="calls.csv"), row, EventRejected(Reason.UNMAPPED, "no"))

    letter = letter_of(SimpleNamespace(offset=1, timestamp=99, key=None, value=sent.value, headers=sent.headers))

    assert (letter.source, letter.file, letter.first_ms) == (None, "calls.csv:17", 99)


def test_anything_else_in_the_topic_is_unreadable_and_listed():
    stray = SimpleNamespace(offset=1, timestamp=99, key=None, value=None, headers=(("kpi-offset", b"\xff"),))

    assert (letter_of(stray).reason, letter_of(stray).source) == ("unreadable", None)


def test_receipt_names_its_letters():
    sent = receipt([9, 3, 4, 5], 4)

    assert json.loads(sent.value) == {"letters": [[3, 5], [9, 9]], "events": 4}
    assert _named(SimpleNamespace(value=sent.value)) == [3, 4, 5, 9]
    assert _named(SimpleNamespace(value=b'{"letters": 3}')) == ()


def test_replayed_record_is_judged_at_its_first_timestamp():
    early = EventRejected(Reason.IN_THE_FUTURE, "")
    letter = written(Record(CALL, TIMESTAMP_MS - 300_001), early)

    assert fate(letter) == Fate("refused", "in-the-future")
    [event] = fate(replace(letter, first_ms=TIMESTAMP_MS)).events
    assert dict(event.headers) == {"kpi-first-timestamp": str(TIMESTAMP_MS).encode(), "kpi-replayed": b"7"}
    assert (event.key, event.value) == (b"acme/agent:agent-7", CALL)


def test_headers_go_along_except_those_of_the_way_it_went_before():
    before = (("kpi-hop", b"1"), ("kpi-first-timestamp", b"5"), ("kpi-replayed", b"3"), ("trace", b"t"), ("x", None))
    letter = written(Record(CALL, TIMESTAMP_MS, before, key=None), EventRejected(Reason.MISROUTED, ""))

    assert letter.replay_of == 3
    assert replayed(letter, "k", CALL, mapped=False).headers == [
        ("trace", b"t"),
        ("x", None),
        ("kpi-first-timestamp", b"5"),
        ("kpi-replayed", b"7"),
    ]


def test_cloud_event_headers_stay_with_original_bytes_only():
    letter = written(Record(CALL, TIMESTAMP_MS, (("ce_specversion", b"0.3"), ("trace", b"t"))))

    assert fate(letter) == Fate("refused", "invalid-field")
    names = [name for name, _ in replayed(letter, "k", CALL, mapped=True).headers]
    assert names == ["trace", "kpi-first-timestamp", "kpi-replayed"]


def test_what_is_not_sent_says_why():
    conflict = written(Record(CALL), EventRejected(Reason.CONFLICT, ""))
    letter = written(Record(CALL), EventRejected(Reason.MISROUTED, ""))

    assert fate(conflict) == Fate("conflicts")
    assert fate(letter, done={7}) == Fate("already")
    assert fate(letter, done={7}, again=True).why == ""
    assert fate(letter, whole=lambda _: None) == Fate("gone")
    assert fate(written(Record(b"{"))) == Fate("refused", "not-json")


def test_account_adds_up():
    account = Account()
    event = replayed(written(Record(CALL)), "k", CALL, mapped=False)
    for each in (Fate(events=(event, event)), Fate("already"), Fate("gone"), Fate("conflicts")):
        account.add(each)
    for each in (Fate("refused", "not-json"), Fate("skipped", "test calls"), Fate("refused", "not-json")):
        account.add(each)

    counts = account.sent, account.already, account.gone, account.conflicts
    assert (counts, account.events, account.letters, account.left) == ((1, 1, 1, 1), 2, 7, 4)
    assert json.loads(json.dumps(account.as_dict()))["refused"] == {"not-json": 2}
    assert (dict(account.refused), dict(account.skipped)) == ({"not-json": 2}, {"test calls": 1})


LETTER = written(Record(CALL, 5_000, key=b"acme/agent:ann", partition=2, offset=12))
CHOICES = [
    (Choice(), True),
    (Choice(reasons=frozenset(("not-json", "closed"))), True),
    (Choice(reasons=frozenset(("closed",))), False),
    (Choice(tenant="acme"), True),
    (Choice(tenant="acm"), False),
    (Choice(key="acme/agent:ann"), True),
    (Choice(key="acme/agent:an"), False),
    (Choice(source_partition=2), True),
    (Choice(source_partition=0), False),
    (Choice(from_ms=5_000, to_ms=5_001), True),
    (Choice(from_ms=5_001), False),
    (Choice(to_ms=5_000), False),
    (Choice(offsets=(7, 7)), True),
    (Choice(offsets=(8, 9)), False),
]


@pytest.mark.parametrize(("choice", "taken"), CHOICES)
def test_filters(choice, taken):
    assert choice.takes(LETTER) is taken


CSV = """
source: pbx
format: csv
header: no
columns: [id, agent, at]
events:
  - {type: call.ended, event_id: "{id}", agent_id: "{agent}", direction: inbound, outcome: busy,
     started_at: {column: at, format: epoch-s}, ended_at: {column: at, format: epoch-s}}
"""


def test_row_whose_columns_a_mapping_names_is_mapped_alone():
    convert = Mapping("m", read_description(CSV, "m.yaml")).payloads(tenant="acme")

    [record] = convert(b"17, ann ,1772612222", 1).records

    assert (record.key, decode(record.value, TIMESTAMP_MS).event_id) == ("acme/agent:ann", "17")
    assert convert(b"17,ann", 1).rejected.reason is Reason.UNMAPPED
    assert convert(b"\xff,a,b", 1).rejected.reason is Reason.UNMAPPED
    assert convert(b"", 1).rejected.reason is Reason.UNMAPPED


def test_events_as_they_are_get_a_tenant():
    convert = load_mapping("canonical").payloads(tenant="acme")
    content = {name: held for name, held in sound_objects()[0].items() if name != "tenant"}

    [record] = convert(json.dumps(content, indent=1).encode(), 1).records

    assert decode(record.value, TIMESTAMP_MS).tenant == "acme"
    assert convert(b"[" * 9_999, 1).rejected is not None
    assert convert(b"null", 1).rejected is not None


def test_mapping_of_files_with_a_header_is_refused_at_once():
    with pytest.raises(ConfigError, match="one row has none"):
        load_mapping("technion").payloads()
