"""Laws of settling: running windows have, at every look, the calls that settled in them, and nothing else changes."""

from collections.abc import Iterable

from hypothesis import given, settings
from hypothesis import strategies as st

from kpistream.core.conversion import delay_ms
from kpistream.core.links import Linked, Links
from kpistream.core.measures import DERIVED, Tally, total
from kpistream.core.partition import Partition
from kpistream.core.roster import Roster, Tenant
from kpistream.core.settling import Delays, Settling, delays
from kpistream.core.tallies import NOTHING
from kpistream.core.windows import LIVE_WINDOWS, RunningWindow, pane_start
from kpistream.stream.live import LiveWindows, scope_window
from tests.laws.test_link_laws import AGENTS, PANE_MS, START_MS, Told, accepted, calls, deals, fed, partition

_NUMBERS = [measure.number for measure in DERIVED]
_SETTLE_MS = (0, 600_000, 700_000)


class Panes:
    """The panes of a partition, as a shard shows them."""

    def __init__(self, part: Partition) -> None:
        self.part = part

    @property
    def links(self) -> Links:
        return self.part.links

    def starts_of(self, key: str) -> list[int]:
        return [start_ms for start_ms, by_key in self.part.panes.items() if key in by_key]

    def packed_at(self, key: str, start_ms: int) -> bytes:
        pane = self.part.panes.get(start_ms, {}).get(key)
        return NOTHING if pane is None else pane.packed_tally

    def keys_at(self, start_ms: int) -> Iterable[str]:
        return self.part.panes.get(start_ms, {})


def waits(settle_ms: int) -> Delays:
    return delays(Roster({"acme": Tenant("acme", settle_ms=settle_ms)}), PANE_MS)


def expected(part: Partition, key: str, running: RunningWindow, now_ms: int, settle_ms: int) -> Tally:
    """The panes in the window, and the calls whose settle time has passed in one of its panes."""
    wait_ms, current_ms = delay_ms(settle_ms, PANE_MS), pane_start(now_ms, PANE_MS)
    here = [pane.tally for pane in part.live_panes() if pane.key == key and running.window.holds(pane.start_ms)]
    settled = [
        dict(zip(_NUMBERS, linked, strict=True))
        for start_ms, linked in part.links.of(key, wait_ms).items()
        if running.window.holds(start_ms + wait_ms) and start_ms + wait_ms <= current_ms
    ]
    return total([*here, *settled])


@given(
    st.lists(st.lists(calls | deals, max_size=6), min_size=1, max_size=8),
    st.lists(st.sampled_from([1_000, 200_000, 400_000, 1_700_000, 40_000_000]), min_size=8, max_size=8),
    st.lists(st.sampled_from(_SETTLE_MS), min_size=8, max_size=8),
)
@settings(max_examples=200)
def test_windows_have_what_settled_in_them_at_every_look(
    batches: list[list[Told]], steps_ms: list[int], settle_ms: list[int]
) -> None:
    part, now_ms, roster = partition(), START_MS + 900_000, Roster({"acme": Tenant("acme")})
    source = Settling(Panes(part), waits(settle_ms[0]), PANE_MS)
    live = LiveWindows(PANE_MS, scope_window(roster, PANE_MS))
    for number, batch in enumerate(batches):
        fed(part, map(accepted, batch))
        source.adopt(waits(settle_ms[number]))
        changed = [(pane.key, pane.start_ms) for pane in part.live_panes()]
        live.look(now_ms, (*changed, *source.due(now_ms, changed)), source)

        for key in (f"acme/agent:{agent}" for agent in AGENTS):
            if key in live:
                for name in LIVE_WINDOWS:
                    running = live.window((key, name))
                    assert running.tally == expected(part, key, running, now_ms, settle_ms[number])
        now_ms += steps_ms[number]


def test_calls_are_of_age_when_the_settle_time_after_the_last_of_them_has_passed() -> None:
    """A settle time that is no multiple of a pane waits for the next pane.

    0    5    10   15   20   25        panes of five minutes, a call in the first one
    [call)                             at most 5 min
         [ settle 12 min   )           is over at 17 min at the latest
                        [ counts here
    """
    assert delay_ms(720_000, PANE_MS) == 1_200_000
    assert delay_ms(600_000, PANE_MS) == 900_000
    assert delay_ms(0, PANE_MS) == PANE_MS


def test_nobody_is_looked_at_of_whom_nothing_has_settled() -> None:
    part = partition()
    source = Settling(Panes(part), waits(600_000), PANE_MS)
    source.due(START_MS, ())
    fed(part, map(accepted, [Told("call/1", 0, "ada", START_MS, "c1", "nothing"), _call_of("bob")]))
    source.due(START_MS + 1, [("acme/agent:ada", START_MS), ("acme/agent:bob", START_MS)])

    assert source.due(START_MS + 900_000, ()) == [("acme/agent:bob", START_MS + 900_000)]
    assert source.due(START_MS + 900_001, ()) == []
    assert part.links.of("acme/agent:bob", 900_000) == {START_MS: Linked(1, 0, 0)}


def _call_of(agent: str) -> Told:
    return Told("call/2", 0, agent, START_MS, "c2", "call")
