"""Live windows: looks that follow what changed, and what the passing of time moves."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import NamedTuple

import pytest

from kpistream.core.settings import read_settings
from kpistream.core.tallies import pack_tally
from kpistream.core.windows import Window, rolling
from kpistream.stream.live import MOVES_A_LOOK, PANES_A_LOOK, LiveWindows, scope_window

PANE_MS = 300_000
CALLS = 1


def rolling_windows() -> LiveWindows:
    def window_of(key: str, name: str, now_ms: int) -> Window:
        return rolling(now_ms, 900_000, PANE_MS)

    return LiveWindows(PANE_MS, window_of)


class Sums(NamedTuple):
    """The same panes for every key, as they are when they are asked for."""

    panes: Mapping[int, Mapping[int, int]]

    def starts_of(self, key: str) -> list[int]:
        return list(self.panes)

    def packed_at(self, key: str, start_ms: int) -> bytes:
        return pack_tally(self.panes.get(start_ms, {}))


def begin(live: LiveWindows, keys: list[str], source: Sums) -> None:
    live.look(0, [(key, 0) for key in keys], source)
    while live.behind:
        live.look(0, [], source)


def test_time_moves_the_windows_of_many_keys_in_several_looks() -> None:
    live, panes = rolling_windows(), {0: {CALLS: 1}}
    keys = [f"acme/agent:{number}" for number in range(MOVES_A_LOOK + 1)]
    begin(live, keys, Sums(panes))

    moved = {key for key, _ in live.look(3 * PANE_MS, [], Sums(panes))}
    behind = live.behind
    moved_next = {key for key, _ in live.look(3 * PANE_MS, [], Sums(panes))}

    assert (len(moved), behind, moved_next, live.behind) == (MOVES_A_LOOK, True, {keys[-1]}, False)


def test_many_new_keys_begin_in_several_looks() -> None:
    """After a start all keys of a partition are new; one that something happens to comes first, as it is then."""
    live, panes = rolling_windows(), {0: {CALLS: 1}}
    keys = [f"acme/agent:{number}" for number in range(PANES_A_LOOK)]

    begun = {key for key, _ in live.look(0, [(key, 0) for key in keys], Sums(panes))}
    behind = live.behind
    panes[0] = {CALLS: 2}
    begun_next = {key for key, _ in live.look(0, [(keys[-1], 0)], Sums(panes))}

    assert behind
    assert begun == set(keys[: len(begun)])
    assert 1 < len(begun) < len(keys) / 2
    assert begun_next == {keys[-1], *keys[len(begun) : 2 * len(begun) - 1]}
    assert live.window((keys[-1], "rolling-15m")).tally == {CALLS: 2}
    while live.behind:
        live.look(0, [], Sums(panes))
    assert all(key in live for key in keys)


def test_a_change_does_not_wait_for_the_window_to_be_moved() -> None:
    live, panes = rolling_windows(), {0: {CALLS: 1}}
    keys = [f"acme/agent:{number}" for number in range(MOVES_A_LOOK + 1)]
    begin(live, keys, Sums(panes))

    panes[PANE_MS] = {CALLS: 5}
    live.look(PANE_MS, [(keys[-1], PANE_MS)], Sums(panes))

    assert live.window((keys[-1], "rolling-15m")).tally == {CALLS: 6}


def test_a_new_key_takes_in_all_of_its_panes() -> None:
    live = rolling_windows()
    panes = {-9 * PANE_MS: {CALLS: 9}, 0: {CALLS: 1}, PANE_MS: {CALLS: 2}}

    touched = live.look(PANE_MS, [("acme/agent:1", start_ms) for start_ms in panes], Sums(panes))

    assert {name for _, name in touched} == {"rolling-15m", "rolling-60m", "business-day"}
    assert live.window(touched[0]).tally == {CALLS: 3}


def test_slots_that_are_asked_for_are_seen_without_a_pane_and_stay() -> None:
    live, slot = rolling_windows(), ("acme/agent:1", "rolling-15m")

    live.begin([slot])
    touched = live.look(0, [], Sums({}))
    moved = live.look(PANE_MS, [], Sums({}))

    assert (touched, moved) == ([slot], [])
    assert slot[0] in live
    assert live.window(slot).tally == {}


ROSTER = """
zone: UTC
tenants:
  acme:
    zone: America/St_Johns
    teams:
      far: {zone: Australia/Lord_Howe}
    people:
      near: {}
      bela: {team: far}
"""


def at_ms(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 1000


@pytest.mark.parametrize(
    ("agent", "begin", "end"),
    [
        # Lord Howe: 4 October 2026 has 23.5 hours, 5 April 2026 has 24.5.
        ("bela", "2026-10-03 13:30", "2026-10-04 13:00"),
        ("bela", "2026-04-04 13:00", "2026-04-05 13:30"),
        # St. John's: 8 March 2026 has 23 hours, 1 November 2026 has 25.
        ("near", "2026-03-08 03:30", "2026-03-09 02:30"),
        ("near", "2026-11-01 02:30", "2026-11-02 03:30"),
    ],
)
def test_a_business_day_rolls_over_without_an_event(agent: str, begin: str, end: str) -> None:
    """Of a zone whose clock changes that day; the team of one agent is in another zone than the tenant."""
    key, first_ms, last_ms = f"acme/agent:{agent}", at_ms(begin), at_ms(end) - PANE_MS
    panes = {first_ms - PANE_MS: {CALLS: 1}, first_ms: {CALLS: 10}, last_ms: {CALLS: 100}}
    live = LiveWindows(PANE_MS, scope_window(read_settings({"roster.yaml": ROSTER}).roster, PANE_MS))
    slot = (key, "business-day")

    live.look(first_ms, [(key, start_ms) for start_ms in panes], Sums(panes))
    began = dict(live.window(slot).tally)
    live.look(last_ms + PANE_MS - 1, [], Sums(panes))
    ended = dict(live.window(slot).tally)
    touched = live.look(last_ms + PANE_MS, [], Sums(panes))

    assert (began, ended) == ({CALLS: 110}, {CALLS: 110})
    assert slot in touched
    assert live.window(slot).tally == {}
    assert live.window(slot).window.from_ms == at_ms(end)
