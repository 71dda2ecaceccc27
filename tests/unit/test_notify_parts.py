"""Small parts of the role that tells people: who reads, what a dead letter says, where secrets come from."""

from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest

from kpistream.config import secret_of
from kpistream.core.acks import Said, acknowledged, closed, decode_ack, encode_ack, muted, snoozed
from kpistream.core.alerts import Subject
from kpistream.core.errands import Entry, Kind, Message
from kpistream.core.receivers import Secret
from kpistream.errors import ConfigError, EventRejected
from kpistream.log.dead_letters import letter_of
from kpistream.log.reading import EventReader
from kpistream.log.records import Located
from kpistream.notify.assignor import OneMember
from kpistream.notify.desk import begins, undelivered
from tests.unit.telling import NOON_MS, transition

ANNA = Subject("connects", "acme", "agent:anna")


class Cluster(NamedTuple):
    partitions: set[int]

    def partitions_for_topic(self, _: str) -> set[int]:
        return self.partitions


def test_one_member_reads_everything_and_all_members_agree_who() -> None:
    members = {name: OneMember.metadata(["kpi.alerts"]) for name in ("b", "a", "c")}

    found = OneMember.assign(Cluster({2, 0, 1}), members)

    assert {name: each.assignment for name, each in found.items()} == {
        "a": [("kpi.alerts", [0, 1, 2])],
        "b": [],
        "c": [],
    }


def test_dead_letter_of_a_message_says_what_and_why_and_is_no_event() -> None:
    message = Message("5f1d", "floor", Kind.NEWS, NOON_MS, 55, (Entry(transition(), 0, NOON_MS),))

    out = undelivered(message, "the answer was 404", NOON_MS + 1)
    record = Located("kpi.dead-letters", 0, 7, NOON_MS + 2, out.key, out.value, out.headers)
    letter = letter_of(record)

    assert (letter.reason, letter.key, letter.first_ms) == ("undelivered", b"floor", NOON_MS + 1)
    assert letter.detail == "receiver floor, message 5f1d: the answer was 404"
    assert b"connects/acme/agent:anna/1" in (letter.value or b"")
    with pytest.raises(EventRejected):
        EventReader(300_000, 4).read(record)


def test_secret_comes_from_a_variable_or_a_file_and_stands_in_no_fault(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("s3cret\n")

    assert secret_of({"KEY": "s3cret"}, Secret("env", "KEY")) == "s3cret"
    assert secret_of({}, Secret("file", str(tmp_path / "key"))) == "s3cret"
    with pytest.raises(ConfigError, match=r"^secret env KEY: there is none$"):
        secret_of({"KEY": ""}, Secret("env", "KEY"))
    with pytest.raises(ConfigError, match=r"^secret file .*: FileNotFoundError$"):
        secret_of({}, Secret("file", str(tmp_path / "gone")))


def test_words_add_up_and_the_newest_says_who() -> None:
    first = acknowledged(None, ANNA, 3, Said("eva", 1, "seen"))
    second = snoozed(first, ANNA, 99, Said("bob", 2))
    third = muted(second, ANNA, True, Said("eva", 3, "training"))
    fourth = closed(third, ANNA, 2, Said("eva", 4, "old one"))

    assert (fourth.acked, fourth.closed, fourth.snoozed_until_ms, fourth.muted) == (3, 2, 99, True)
    assert (fourth.by, fourth.at_ms, fourth.note, fourth.key) == ("eva", 4, "old one", "connects/acme/agent:anna")
    assert decode_ack(encode_ack(fourth)) == fourth


def test_record_of_somebody_else_is_no_ack() -> None:
    with pytest.raises(msgspec.DecodeError):
        decode_ack(b'{"target": "connects"}')


def test_results_are_read_on_and_of_a_log_that_was_made_again_from_its_first() -> None:
    """Partition 0 goes on, 1 was made again, 2 has lost its oldest records, 3 is new."""
    found = begins({0: 7, 1: 90, 2: 3}, {0: 2, 1: 0, 2: 5, 3: 0}, {0: 9, 1: 4, 2: 8, 3: 1})

    assert found == {0: 7, 1: 0, 2: 5, 3: 0}
