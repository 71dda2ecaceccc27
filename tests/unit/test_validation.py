"""`kpistream validate` judges lines as the worker would judge records."""

from kpistream.core.validation import Verdict, validate_lines
from kpistream.errors import Reason

SOUND = (
    b'{"type":"deal.closed","tenant":"acme","source":"crm","event_id":"d-1","agent_id":"maria",'
    b'"outcome":"lost","closed_at":"2026-03-04T08:17:02Z"}'
)
RETRACTED = (
    b'{"type":"retracted","tenant":"acme","source":"crm","kind":"deal","event_id":"d-1","epoch":1,"revision":1,'
    b'"digest":7,"scope":"agent:maria","start_ms":1772612100000}'
)


def test_every_line_that_is_not_blank_gets_a_verdict_under_its_number():
    lines = [SOUND + b"\r\n", b"\n", b"{\n", SOUND.replace(b"Z", b"") + b"\n", SOUND[:-1] + b',"stage":"x"}']

    assert list(validate_lines(lines)) == [
        Verdict(1, True),
        Verdict(3, False, Reason.NOT_JSON, "value is not JSON: EOF while parsing an object at line 1 column 1"),
        Verdict(
            4,
            False,
            Reason.NO_ZONE,
            'closed_at: "2026-03-04T08:17:02" has no zone',
            "end the time with Z or an offset such as +02:00",
        ),
        Verdict(5, True, unknown_fields=("stage",)),
    ]


def test_what_only_the_system_writes_is_refused():
    (verdict,) = validate_lines([RETRACTED])

    assert verdict.reason is Reason.RESERVED


def test_future_is_checked_against_the_given_timestamp_only():
    early_ms = 1_772_612_222_000 - 300_001

    assert [verdict.accepted for verdict in validate_lines([SOUND])] == [True]
    assert [verdict.reason for verdict in validate_lines([SOUND], early_ms)] == [Reason.IN_THE_FUTURE]
    assert [verdict.accepted for verdict in validate_lines([SOUND], early_ms + 1)] == [True]
