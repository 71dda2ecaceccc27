"""The verdict finds planted damage: letters that are missing, wrong or too many, and cells of the changelog."""

import json
from typing import Any

from kpistream.core.changelog import encode_frontier, encode_pane
from kpistream.core.measures import CALLS
from kpistream.core.panes import Pane
from kpistream.core.placing import rank_of
from kpistream.log.records import Headers
from tests.faults.changelog import Changelog
from tests.faults.verdict import Conflicts, wrong_letters

NOON_MS = 1_772_625_600_000


class Twin:
    """A consumed record."""

    def __init__(self, offset: int, key: bytes, value: bytes | None, headers: Headers = (), partition: int = 0) -> None:
        self._said = (partition, offset, key, value, list(headers))

    def partition(self) -> int:
        return self._said[0]

    def offset(self) -> int:
        return self._said[1]

    def key(self) -> bytes:
        return self._said[2]

    def value(self) -> bytes | None:
        return self._said[3]

    def headers(self) -> list[tuple[str, bytes]]:
        return self._said[4]

    def timestamp(self) -> tuple[int, int]:
        return 2, NOON_MS + 5000


def call(offset: int, said: str = "", revision: int = 0) -> Any:
    event = {
        "type": "call.ended",
        "tenant": "acme",
        "source": "pbx",
        "event_id": "1",
        "revision": revision,
        "agent_id": "ann",
        "direction": "outbound",
        "started_at": NOON_MS,
        "ended_at": NOON_MS + 1000,
        "outcome": "busy",
        "attributes": {"said": said},
    }
    return Twin(offset, b"acme/agent:ann", json.dumps(event).encode())


def letter(offset: int, reason: str) -> Any:
    about = {"kpi-partition": b"0", "kpi-offset": str(offset).encode(), "kpi-reason": reason.encode()}
    return Twin(0, b"", b"", tuple(about.items()))


NO_CONFLICT = Conflicts([])


def test_letters_as_expected_are_right_however_often_they_stand() -> None:
    letters = [letter(3, "empty"), letter(3, "empty"), letter(9, "misrouted")]

    assert wrong_letters(letters, {(0, 3): "empty", (0, 9): "misrouted"}, NO_CONFLICT) == []


def test_missing_unexpected_and_other_letters_are_found() -> None:
    wrong = wrong_letters([letter(4, "empty"), letter(5, "not-json")], {(0, 3): "empty", (0, 5): "empty"}, NO_CONFLICT)

    assert wrong == [
        "record (0, 3): letters [], expected ['empty']",
        "record (0, 4): letters ['empty'], expected []",
        "record (0, 5): letters ['not-json'], expected ['empty']",
    ]


def test_conflict_must_have_a_letter_for_one_of_its_records() -> None:
    conflicts = Conflicts([call(1, "one"), call(7, "another")])

    assert wrong_letters([letter(7, "conflict")], {}, conflicts) == []
    assert wrong_letters([letter(1, "conflict")], {}, conflicts) == []
    assert wrong_letters([], {}, conflicts) == [
        "conflict of acme/pbx/call/1 revision 0: no letter for any of [(0, 1), (0, 7)]"
    ]


def test_record_without_a_conflict_may_have_no_letter_of_one() -> None:
    conflicts = Conflicts([call(1, "one"), call(7, "one"), call(8, "two", revision=1)])

    assert wrong_letters([letter(7, "conflict")], {}, conflicts) == ["record (0, 7): letters ['conflict'], expected []"]


def pane(writer: str, *events: str) -> Any:
    made = Pane("acme/agent:ann", NOON_MS)
    for each in events:
        made.join(f"acme/pbx/call/{each}", rank_of(1, 0, 1), (CALLS, 1))
    [(key, value)] = encode_pane(made, 300_000, writer, 1)
    return Twin(0, key, value)


def test_changelog_is_joined_over_all_writers() -> None:
    joined = Changelog([pane("one", "1", "2"), pane("two", "2", "3"), Twin(2, b"P/x", None)])

    assert joined.cells() == {("acme/agent:ann", NOON_MS): {"calls": 3}}


def test_changelog_below_the_frontier_is_not_looked_at() -> None:
    joined = Changelog([pane("one", "1"), Twin(1, *encode_frontier(0, "one", NOON_MS + 300_000))])

    assert joined.cells() == {}
    assert not joined.live(0, NOON_MS) and joined.live(0, NOON_MS + 300_000) and joined.live(1, NOON_MS)
