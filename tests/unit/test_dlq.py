"""The verbs of dlq, where no broker is needed: wrong usage is one plain message, and bytes stay out of a terminal."""

import pytest

from kpistream.dlq import _text, _utc
from tests.unit.test_cli import run

WRONG = [
    (("dlq", "list", "--reason", "not-jsno"), "reason 'not-jsno' is unknown: one of answered-outside-call, "),
    (("dlq", "list", "--offsets", "9-3"), "--offsets '9-3' is not A-B, such as 100-199"),
    (("dlq", "replay", "--offsets", "x"), "--offsets 'x' is not A-B"),
    (("dlq", "list", "--from", "yesterday"), '"yesterday" is neither a date nor a time'),
    (("dlq", "replay", "--as", "canonical", "--map", __file__), "by --as NAME or by --map MAP.yaml, not both"),
    (("dlq", "replay", "--as", "technion"), "columns are named by the header of a file, and one row has none"),
    (("dlq", "show", "many"), "'many' is not a valid integer"),
    (("dlq", "list", "--broker", "127.0.0.1:1"), "broker '127.0.0.1:1' cannot be reached"),
    (("dlq", "show", "3", "--broker", "127.0.0.1:1"), "broker '127.0.0.1:1' cannot be reached"),
    (("dlq", "replay", "--broker", "127.0.0.1:1"), "broker '127.0.0.1:1' cannot be reached"),
]


@pytest.mark.parametrize(("arguments", "said"), WRONG, ids=[" ".join(wrong[0][1:3]) for wrong in WRONG])
def test_wrong_usage_is_one_plain_message(arguments: tuple[str, ...], said: str) -> None:
    ran = run(*arguments)

    assert (ran.code, ran.out) == (2, "")
    assert said in ran.err
    assert "Traceback" not in ran.err


def test_bytes_are_shown_as_text_and_never_command_the_terminal() -> None:
    assert _text("Zo\u00eb".encode(), False) == "Zo\u00eb"
    assert _text(b"\x1b[2J\xff\x00\n", False) == "\\x1b[2J\\xff\\x00\n"
    assert _text(b"\x1b[2J", True) == "1b 5b 32 4a"


def test_timestamps_beyond_the_calendar_are_shown_as_numbers() -> None:
    assert _utc(1_772_612_222_118) == "2026-03-04T08:17:02Z"
    assert _utc(10**17) == "100000000000000000"
