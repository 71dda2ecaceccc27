"""Mappings: rows to events, one account for every row."""

import json
from pathlib import Path

import pytest

from kpistream.core.settings import read_settings
from kpistream.errors import ConfigError, Reason
from kpistream.sources.mapping import Account, Mapped, load_mapping, packaged

CALLS = """
source: pbx
format: csv
zone: Europe/Berlin
events:
  - type: call.ended
    event_id: "{id}"
    agent_id: "{agent}"
    direction: outbound
    started_at: {column: start, format: "%d.%m.%Y %H:%M:%S"}
    answered_at: {field: started_at}
    ended_at: {field: started_at, plus: {column: seconds, unit: s}}
    outcome: connected
"""
ROW = "id,agent,start,seconds\nc1,anna,04.03.2026 09:00:00,60\n"


def read(folder: Path, mapping: str, text: str | bytes, name: str = "calls.csv", **options: object) -> list[Mapped]:
    """The rows of a file with this text, by a mapping with that text."""
    (folder / "map.yaml").write_text(mapping, encoding="utf-8")
    (folder / name).write_bytes(text.encode() if isinstance(text, str) else text)
    return list(load_mapping(folder / "map.yaml").rows(folder / name, **options))  # type: ignore[arg-type]


def events(rows: list[Mapped]) -> list[dict[str, object]]:
    """The events of all rows; no row may be rejected."""
    assert [row.rejected for row in rows if row.rejected] == []
    return [json.loads(record.value) for row in rows for record in row.records]


def test_row_becomes_an_event_with_key_and_time(tmp_path: Path) -> None:
    (row,) = read(tmp_path, CALLS, ROW, tenant="acme")

    (record,) = row.records
    assert json.loads(record.value) == {
        "type": "call.ended",
        "tenant": "acme",
        "source": "pbx",
        "event_id": "c1",
        "agent_id": "anna",
        "direction": "outbound",
        "started_at": 1772611200000,
        "answered_at": 1772611200000,
        "ended_at": 1772611260000,
        "outcome": "connected",
    }
    assert record.key == "acme/agent:anna"
    assert record.occurred_at_ms == 1772611260000
    assert (row.line, row.raw) == (2, b"c1,anna,04.03.2026 09:00:00,60")


def test_zone_of_the_command_stands_above_that_of_the_mapping(tmp_path: Path) -> None:
    (event,) = events(read(tmp_path, CALLS, ROW, zone="UTC"))

    assert event["started_at"] == 1772614800000


def test_unknown_zone_and_tenant_of_the_command_are_faults(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match='unknown time zone "Berlin"'):
        read(tmp_path, CALLS, ROW, zone="Berlin")
    with pytest.raises(ConfigError, match='tenant "a/b" must be 1 to 64 of the characters'):
        read(tmp_path, CALLS, ROW, tenant="a/b")


def test_every_row_is_mapped_skipped_or_rejected(tmp_path: Path) -> None:
    mapping = CALLS.replace("events:", "skip:\n  - {as: test call, when: {agent: [test, demo]}}\nevents:")
    mapping = mapping.replace("  - type: call.ended", '  - type: call.ended\n    when: {seconds: {not: ["-1"]}}')
    text = (
        "id,agent,start,seconds\n"
        "c1,anna,04.03.2026 09:00:00,60\n"
        "c2,test,04.03.2026 09:00:00,60\n"
        "c3,anna,04.03.2026 09:00:00,-1\n"
        "c4,anna,04.03.2026 09:00:00,a minute\n"
        "c5,,04.03.2026 09:00:00,60\n"
        "c6,anna,04.03.2026 09:00:00\n"
    )

    rows = read(tmp_path, mapping, text)
    account = Account()
    for row in rows:
        account.add(row)

    assert account.as_dict() == {
        "rows": 6,
        "mapped": 1,
        "events": {"call.ended": 1},
        "skipped": {"test call": 1},
        "rejected": {"unmapped": 3, "no-place": 1},
    }
    details = [str(row.rejected) for row in rows if row.rejected]
    assert details[0] == "unmapped: no event of the mapping takes this row, and no skip rule names it"
    assert details[1] == 'unmapped: events[0].ended_at.plus: "a minute" is not a duration in s'
    assert details[3] == "unmapped: the row has 3 cells, the header 4"


DEALS_TOO = (
    CALLS
    + """
  - type: deal.closed
    when: {sold: "yes"}
    event_id: "{id}"
    agent_id: "{agent}"
    call_id: "{id}"
    outcome: won
    currency: "{currency}"
    amount_minor: "{price}"
    closed_at: {column: start, format: "%d.%m.%Y %H:%M:%S"}
"""
)


def test_one_row_makes_several_events(tmp_path: Path) -> None:
    text = "id,agent,start,seconds,sold,price,currency\nc1,anna,04.03.2026 09:00:00,60,yes,19.90,EUR\n"

    call, deal = events(read(tmp_path, DEALS_TOO, text))

    assert (call["type"], deal["type"]) == ("call.ended", "deal.closed")
    assert (deal["amount_minor"], deal["currency"], deal["call_id"]) == (1990, "EUR", "c1")


def test_row_with_one_bad_event_hands_out_none(tmp_path: Path) -> None:
    text = "id,agent,start,seconds,sold,price,currency\nc1,anna,04.03.2026 09:00:00,60,yes,19.90,EURO\n"

    (row,) = read(tmp_path, DEALS_TOO, text)

    assert row.records == ()
    assert row.rejected is not None
    assert row.rejected.reason is Reason.UNKNOWN_CURRENCY


@pytest.mark.parametrize(
    ("price", "currency", "minor"),
    [("19.9", "EUR", 1990), ("1500", "JPY", 1500), ("1.234", "KWD", 1234), ("0", "EUR", 0)],
)
def test_amount_in_major_units_has_the_digits_of_its_currency(
    tmp_path: Path, price: str, currency: str, minor: int
) -> None:
    text = f"id,agent,start,seconds,sold,price,currency\nc1,anna,04.03.2026 09:00:00,60,yes,{price},{currency}\n"

    _, deal = events(read(tmp_path, DEALS_TOO, text))

    assert deal["amount_minor"] == minor


def test_amount_with_more_digits_than_its_currency_is_rejected(tmp_path: Path) -> None:
    text = "id,agent,start,seconds,sold,price,currency\nc1,anna,04.03.2026 09:00:00,60,yes,1.5,JPY\n"

    (row,) = read(tmp_path, DEALS_TOO, text)

    assert str(row.rejected) == 'unmapped: events[1].amount_minor: "1.5" has more digits than its currency'


def test_marks_of_numbers_can_be_those_of_another_country(tmp_path: Path) -> None:
    mapping = DEALS_TOO.replace(
        'amount_minor: "{price}"', 'amount_minor: {column: price, decimal: ",", thousands: "."}'
    )
    text = 'id,agent,start,seconds,sold,price,currency\nc1,anna,04.03.2026 09:00:00,60,yes,"1.234,50",EUR\n'

    _, deal = events(read(tmp_path, mapping, text))

    assert deal["amount_minor"] == 123450


def test_null_tokens_mean_no_value(tmp_path: Path) -> None:
    mapping = CALLS.replace("source: pbx", 'source: pbx\nnulls: ["NULL"]').replace(
        'agent_id: "{agent}"', 'agent_id: {column: agent, nulls: ["0"]}\n    queue: "{queue}"'
    )
    text = "id,agent,start,seconds,queue\nc1,NULL,04.03.2026 09:00:00,60,sales\nc2,0,04.03.2026 09:00:00,60,sales\n"

    rows = read(tmp_path, mapping, text)

    assert [record.key for row in rows for record in row.records] == ["default/queue:sales", "default/queue:sales"]


def test_table_looks_up_and_what_is_not_in_it_is_rejected(tmp_path: Path) -> None:
    mapping = CALLS.replace('"{agent}"', "{column: agent, table: {'17': anna}}")
    text = "id,agent,start,seconds\nc1,17,04.03.2026 09:00:00,60\nc2,18,04.03.2026 09:00:00,60\n"

    good, bad = read(tmp_path, mapping, text)

    assert good.records[0].key == "default/agent:anna"
    assert str(bad.rejected) == 'unmapped: events[0].agent_id: "18" is not in the table'


def test_otherwise_stands_for_what_the_table_has_not(tmp_path: Path) -> None:
    mapping = CALLS.replace('"{agent}"', "{column: agent, table: {'17': anna}, otherwise: 'ext {agent}'}")
    text = "id,agent,start,seconds\nc1,17,04.03.2026 09:00:00,60\nc2,18,04.03.2026 09:00:00,60\n"

    assert [event["agent_id"] for event in events(read(tmp_path, mapping, text))] == ["anna", "ext 18"]


def test_first_value_of_a_list_wins(tmp_path: Path) -> None:
    mapping = CALLS.replace('"{agent}"', '["{owner}", "{agent}"]')
    text = "id,agent,start,seconds,owner\nc1,anna,04.03.2026 09:00:00,60,\nc2,anna,04.03.2026 09:00:00,60,ben\n"

    assert [event["agent_id"] for event in events(read(tmp_path, mapping, text))] == ["anna", "ben"]


def test_template_with_an_empty_column_is_no_value(tmp_path: Path) -> None:
    mapping = CALLS.replace('event_id: "{id}"', 'event_id: "{id}"\n    customer_id: "{country}-{customer}"')
    text = "id,agent,start,seconds,country,customer\nc1,anna,04.03.2026 09:00:00,60,de,\n"

    (event,) = events(read(tmp_path, mapping, text))

    assert "customer_id" not in event


def test_row_line_and_file_can_be_in_a_template(tmp_path: Path) -> None:
    mapping = CALLS.replace('"{id}"', '"{file}:{row}:{line}:{{x}}"')
    text = "id,agent,start,seconds\n\nc1,anna,04.03.2026 09:00:00,60\n"

    (event,) = events(read(tmp_path, mapping, text))

    assert event["event_id"] == "calls.csv:1:3:{x}"


def test_revision_attributes_and_moves_come_from_columns(tmp_path: Path) -> None:
    mapping = CALLS + (
        '    revision: "{version}"\n'
        '    attributes: {list: "{list}", note: "{note}"}\n'
        "    moved_from:\n"
        '      agent_id: "{was}"\n'
        '      occurred_at: {column: start, format: "%d.%m.%Y %H:%M:%S", when: {was: {empty: no}}}\n'
    )
    text = (
        "id,agent,start,seconds,version,list,note,was\n"
        "c1,anna,04.03.2026 09:00:00,60,2,spring,,ben\n"
        "c2,anna,04.03.2026 09:00:00,60,0,spring,,\n"
    )

    moved, still = events(read(tmp_path, mapping, text))

    assert moved["revision"] == 2
    assert moved["attributes"] == {"list": "spring"}
    assert moved["moved_from"] == {"agent_id": "ben", "occurred_at": 1772611200000}
    assert "moved_from" not in still


def test_conditions_can_compare_match_and_be_any_of(tmp_path: Path) -> None:
    mapping = CALLS.replace(
        "  - type: call.ended",
        "  - type: call.ended\n"
        "    when:\n"
        "      - {seconds: {above: 10, below: '100'}, agent: {matches: '^an'}}\n"
        "      - {id: c4}",
    )
    text = "id,agent,start,seconds\n" + "".join(
        f"{call},{agent},04.03.2026 09:00:00,{seconds}\n"
        for call, agent, seconds in (("c1", "anna", 60), ("c2", "anna", 10), ("c3", "ben", 60), ("c4", "ben", 0))
    )

    rows = read(tmp_path, mapping, text)

    assert [bool(row.records) for row in rows] == [True, False, False, True]


def test_agent_of_another_system_gets_the_own_id_at_the_time_of_the_event(tmp_path: Path) -> None:
    asked: list[tuple[str, str, str, int]] = []

    def resolve(tenant: str, source: str, external_id: str, at_ms: int) -> str | None:
        asked.append((tenant, source, external_id, at_ms))
        return {"anna": "a-1"}.get(external_id)

    text = ROW + "c2,ben,04.03.2026 09:00:00,60\n"
    rows = read(tmp_path, CALLS, text, tenant="acme", resolve=resolve)

    assert [record.key for row in rows for record in row.records] == ["acme/agent:a-1", "acme/agent:ben"]
    assert asked[0] == ("acme", "pbx", "anna", 1772611260000)


def test_three_files_of_one_person_with_three_ids_become_one(tmp_path: Path) -> None:
    text = """
tenants:
  acme:
    zone: Europe/Berlin
    teams: {north: {}}
    people:
      anna:
        team: north
        aliases: {pbx: [{id: ext-1, to: 2026-04-01}], crm: "4711", survey: anna@acme.example}
"""
    roster = read_settings({"roster.yaml": text}).roster
    deals = CALLS.replace("source: pbx", "source: crm")
    answers = CALLS.replace("source: pbx", "source: survey")

    keys = [
        record.key
        for mapping, agent in ((CALLS, "ext-1"), (deals, "4711"), (answers, "anna@acme.example"), (deals, "ext-1"))
        for row in read(tmp_path, mapping, ROW.replace("anna", agent), tenant="acme", resolve=roster.resolve)
        for record in row.records
    ]

    assert keys == ["acme/agent:anna", "acme/agent:anna", "acme/agent:anna", "acme/agent:ext-1"]


def test_common_fields_serve_every_event_that_has_them(tmp_path: Path) -> None:
    mapping = DEALS_TOO.replace('    event_id: "{id}"\n', "").replace("events:", 'common:\n  event_id: "{id}"\nevents:')
    text = "id,agent,start,seconds,sold,price,currency\nc1,anna,04.03.2026 09:00:00,60,yes,1,EUR\n"

    call, deal = events(read(tmp_path, mapping, text))

    assert (call["event_id"], deal["event_id"]) == ("c1", "c1")


def test_json_lines_are_read_by_path_and_keep_every_digit(tmp_path: Path) -> None:
    mapping = """
source: survey
format: jsonl
events:
  - type: survey.completed
    event_id: "{answer.id}"
    agent_id: "{agent}"
    kind: csat
    score: "{answer.score}"
    scale_min: 1
    scale_max: 5
    completed_at: {column: at, format: epoch-s}
"""
    text = (
        '{"answer": {"id": 12345678901234567890, "score": 4.5}, "agent": "anna", "at": 1772611200}\n{"agent": null}\n'
    )

    good, bad = read(tmp_path, mapping, text, "answers.jsonl")

    (record,) = good.records
    event = json.loads(record.value)
    assert (event["event_id"], event["score"]) == ("12345678901234567890", 4.5)
    assert record.occurred_at_ms == 1772611200000
    assert bad.rejected is not None
    assert bad.rejected.reason is Reason.MISSING_FIELD


CANONICAL = (
    b'{"type":"call.ended","tenant":"acme","source":"pbx","event_id":"1","agent_id":"anna","direction":"inbound",'
    b'"started_at":"2026-03-04T09:00:00Z","ended_at":"2026-03-04T09:01:00Z","outcome":"no-answer"}'
)


def test_canonical_lines_pass_as_they_are(tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    file.write_bytes(CANONICAL + b"\n")

    (row,) = load_mapping("canonical").rows(file, tenant="other")

    assert row.records[0].value == CANONICAL
    assert (row.records[0].key, row.records[0].type) == ("acme/agent:anna", "call.ended")
    assert row.records[0].occurred_at_ms == 1772614860000


def test_canonical_line_gets_the_tenant_that_it_lacks_and_its_agents_own_id(tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    file.write_bytes(CANONICAL.replace(b'"tenant":"acme",', b""))

    (row,) = load_mapping("canonical").rows(file, tenant="other", resolve=lambda *_: "a-1")

    assert row.records[0].key == "other/agent:a-1"
    assert json.loads(row.records[0].value)["tenant"] == "other"


def test_canonical_lines_are_refused_by_the_contract_with_their_bytes(tmp_path: Path) -> None:
    retracted = (
        b'{"type":"retracted","tenant":"acme","source":"pbx","kind":"call","event_id":"1","epoch":1,"revision":0,'
        b'"digest":1,"scope":"agent:anna","start_ms":1772611200000}'
    )
    lines = [b"not json", CANONICAL.replace(b"no-answer", b"maybe"), retracted]
    file = tmp_path / "events.jsonl"
    file.write_bytes(b"\n".join(lines))

    rows = list(load_mapping("canonical").rows(file))

    assert [row.rejected.reason for row in rows if row.rejected] == [
        Reason.NOT_JSON,
        Reason.INVALID_FIELD,
        Reason.RESERVED,
    ]
    assert [row.raw for row in rows] == lines


def test_event_after_now_is_rejected_when_now_is_given(tmp_path: Path) -> None:
    (row,) = read(tmp_path, CALLS, ROW, now_ms=1772611260000 - 300_001)

    assert row.rejected is not None
    assert row.rejected.reason is Reason.IN_THE_FUTURE


def test_packaged_mappings_can_be_loaded_by_name() -> None:
    assert packaged() == ("canonical", "technion")
    for name in packaged():
        assert load_mapping(name).name == name


def test_unknown_mapping_names_the_packaged_ones() -> None:
    with pytest.raises(ConfigError, match=r'mapping "tecnion": no such file, and none .*canonical, technion'):
        load_mapping("tecnion")
