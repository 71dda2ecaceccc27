"""What settings are in force is a function of the log: whoever wrote late, whatever was compacted, whoever begins."""

from typing import NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st

from kpistream.core.versions import Draft, VersionLog, records

TEXTS = ("zone: UTC\n", "zone: Europe/Berlin\n", "zone: Asia/Tokyo\n", "tenants: 7\n")
"""The last one cannot be read."""


class Apply(NamedTuple):
    """A writer that has read up to `seen` records from the end when it writes, and where the follower looks."""

    text: str
    seen: int
    look: bool
    compact: bool
    dies: bool
    """Before its last record is written."""


APPLIES = st.lists(
    st.builds(Apply, st.sampled_from(TEXTS), st.integers(0, 6), st.booleans(), st.booleans(), st.booleans()),
    min_size=1,
    max_size=8,
)
Log = list[tuple[int, bytes, bytes]]


def read(log: Log) -> VersionLog:
    found = VersionLog()
    for record in log:
        found.put(*record)
    return found


def compacted(log: Log) -> Log:
    """Of each key the last record stays, at its offset."""
    last = {key: offset for offset, key, _ in log}
    return [record for record in log if last[record[1]] == record[0]]


def in_force(found: VersionLog) -> tuple[int, str]:
    version = found.newest()
    return (0, "") if version is None else (version.number, version.manifest.sha256)


@settings(max_examples=300, deadline=None)
@given(APPLIES)
def test_who_follows_and_who_begins_now_run_the_same_version(applies: list[Apply]) -> None:
    log: Log = []
    follower, running, won = VersionLog(), 0, set[int]()
    for writer, apply in enumerate(applies):
        seen = read(log[: max(0, len(log) - apply.seen)])
        number, token = seen.highest + 1, f"w{writer}"
        before = read(log).numbers
        end = log[-1][0] + 1 if log else 0
        draft = Draft({"settings.yaml": apply.text}, writer)
        written = records(draft, number, token, seen)[: -1 if apply.dies else None]
        log += [(end + n, *record) for n, record in enumerate(written)]
        wins = read(log).stands(number, token)
        assert wins is (number not in before and not apply.dies), "one of two has the number, and both know it"
        won |= {number} if wins else set()
        if apply.compact:
            log = compacted(log)
        if apply.look:
            for record in log:
                if record[0] >= follower.next_offset:
                    follower.put(*record)
            version = follower.newest(above=running)
            running = running if version is None else version.number
            assert running == in_force(read(log))[0]

    assert in_force(read(log)) == in_force(read(compacted(log)))
    assert won == set(read(log).numbers)
