"""Live windows: looks that follow what changed, and what the passing of time moves."""

from kpistream.core.windows import Window, rolling
from kpistream.stream.live import MOVES_A_LOOK, LiveWindows

PANE_MS = 300_000
CALLS = 1


def rolling_windows() -> LiveWindows:
    def window_of(key: str, name: str, now_ms: int) -> Window:
        return rolling(now_ms, 900_000, PANE_MS)

    return LiveWindows(PANE_MS, window_of)


def test_time_moves_the_windows_of_many_keys_in_several_looks() -> None:
    live, panes = rolling_windows(), {0: {CALLS: 1}}
    keys = [f"acme/agent:{number}" for number in range(MOVES_A_LOOK + 1)]
    live.look(0, [(key, 0) for key in keys], lambda key: panes)

    moved = {key for key, _ in live.look(3 * PANE_MS, [], lambda key: panes)}
    behind = live.behind
    moved_next = {key for key, _ in live.look(3 * PANE_MS, [], lambda key: panes)}

    assert (len(moved), behind, moved_next, live.behind) == (MOVES_A_LOOK, True, {keys[-1]}, False)


def test_a_change_does_not_wait_for_the_window_to_be_moved() -> None:
    live, panes = rolling_windows(), {0: {CALLS: 1}}
    keys = [f"acme/agent:{number}" for number in range(MOVES_A_LOOK + 1)]
    live.look(0, [(key, 0) for key in keys], lambda key: panes)

    panes[PANE_MS] = {CALLS: 5}
    live.look(PANE_MS, [(keys[-1], PANE_MS)], lambda key: panes)

    assert live.window((keys[-1], "rolling-15m")).tally == {CALLS: 6}


def test_a_new_key_takes_in_all_of_its_panes_once() -> None:
    """Panes that are sealed are summed up when they are read: a start must not read each of a day twice."""
    live, read = rolling_windows(), []

    class Panes(dict[int, dict[int, int]]):
        def __getitem__(self, start_ms: int) -> dict[int, int]:
            read.append(start_ms)
            return super().__getitem__(start_ms)

        def get(self, start_ms: int, default: object = None) -> dict[int, int]:  # type: ignore[override]
            return self[start_ms]

    panes = Panes({-9 * PANE_MS: {CALLS: 9}, 0: {CALLS: 1}, PANE_MS: {CALLS: 2}})
    touched = live.look(PANE_MS, [("acme/agent:1", start_ms) for start_ms in panes], lambda key: panes)

    assert {name for _, name in touched} == {"rolling-15m", "rolling-60m", "business-day"}
    assert live.window(touched[0]).tally == {CALLS: 3}
    assert sorted(read) == [0, PANE_MS]
