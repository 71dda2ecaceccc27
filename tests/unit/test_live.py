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
