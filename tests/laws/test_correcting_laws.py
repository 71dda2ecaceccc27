"""Corrections of alerts: said exactly when an alert was not true by the panes as they are, in whatever order they come.

The twin looks at plain sums of calls; it shares nothing with the windows and detectors of the code.
"""

from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from kpistream.core.alerts import State, Subject, Transition, encode_transition
from kpistream.core.measures import OUTBOUND_CALLS, OUTBOUND_CONNECTED
from kpistream.core.readings import About
from kpistream.core.settings import read_settings
from kpistream.core.tallies import NOTHING, pack_tally
from kpistream.core.targets import Why
from kpistream.core.windows import business_day
from kpistream.stream.judging import AGENT_KINDS, Bench
from kpistream.stream.live import LiveWindows
from kpistream.stream.showing import Known, Show

PANE = 300_000
DAY = 1_785_110_400_000
"""2026-07-27 00:00 UTC."""
KEY = "acme/agent:ann"
ANN = Subject("connects", "acme", "agent:ann")
POINT = read_settings(
    {"s.yaml": "targets: [{name: connects, kpi: connect_share, window: business-day, bound: 50 %, minimum_sample: 4}]"}
)
LOOKS = 6


@dataclass
class Floor:
    """One agent on a morning of six panes."""

    calls: dict[int, tuple[int, int]] = field(default_factory=dict)
    """Calls and connected ones, by pane start."""
    log: list[Transition] = field(default_factory=list)
    partial: tuple[int, int] = (0, 0)
    """What the pane held in which it fired last."""

    def restart(self) -> None:
        """A process that knows the panes and the log."""
        live = LiveWindows(PANE, lambda key, name, now_ms: business_day(now_ms, "UTC"))
        self.bench = Bench(POINT, lambda key, now_ms: About("acme", "agent:ann", "unassigned", "Ann"), AGENT_KINDS)
        self.bench.load(map(encode_transition, self.log))
        self.show = Show(live, self.bench)
        live.keep([KEY])

    def starts_of(self, _: str) -> list[int]:
        """Starts of panes."""
        return list(self.calls)

    def packed_at(self, _: str, start_ms: int) -> bytes:
        """Packed sums."""
        calls, connected = self.calls.get(start_ms, (0, 0))
        found = {OUTBOUND_CALLS: calls, OUTBOUND_CONNECTED: connected}
        return pack_tally({number: value for number, value in found.items() if value}) if calls else NOTHING

    def look(self, now_ms: int, changed: list[int]) -> list[Transition]:
        """Looks until nothing is left over."""
        found: list[Transition] = []
        for later in range(3):
            _, some = self.show.look(now_ms + 600 * later, [(KEY, start) for start in changed], self, Known(0, True))
            found, changed = found + some, []
        self.log += found
        return found


def missed(panes: list[tuple[int, int]]) -> bool:
    calls, connected = sum(each[0] for each in panes), sum(each[1] for each in panes)
    return calls >= 4 and 2 * connected < calls


def ever_true(floor: Floor, fired_ms: int, over_ms: int) -> bool:
    """Whether it was missed when it fired or at the end of any further pane, by what is known now."""
    begin = fired_ms - fired_ms % PANE
    before = [held for start, held in floor.calls.items() if start < begin]
    if missed([*before, floor.partial]):
        return True
    ends = [*range(begin + PANE, over_ms, PANE), *([over_ms] if over_ms > begin else [])]
    return any(missed([held for start, held in floor.calls.items() if start < end]) for end in ends)


STEP = st.tuples(
    st.integers(0, LOOKS - 1),
    st.integers(0, 6).flatmap(lambda calls: st.tuples(st.just(calls), st.integers(0, calls))),
    st.booleans(),
)


@settings(max_examples=400, deadline=None)
@given(st.lists(st.lists(STEP, max_size=3), min_size=LOOKS, max_size=LOOKS))
def test_alert_is_corrected_exactly_when_it_was_never_true(days: list[list[tuple[int, tuple[int, int], bool]]]) -> None:
    floor = Floor()
    floor.restart()
    fired_ms, over_ms = 0, 0
    for number, steps in enumerate(days):
        for count, (pane, held, kill) in enumerate(steps):
            now_ms = DAY + number * PANE + 5000 * (1 + count)
            start_ms = DAY + min(pane, number) * PANE
            floor.calls[start_ms] = held
            if kill:
                floor.restart()
            standing = floor.bench.alerts.get(ANN)
            true = not standing or standing.state is not State.FIRING or ever_true(floor, fired_ms, now_ms)

            found = floor.look(now_ms, [max(floor.calls)] if kill else [start_ms])  # one pane of a key is enough

            assert true or (found and found[0].reason is Why.CORRECTED)
            for each in found:
                if each.to_state is State.FIRING:
                    fired_ms, over_ms = each.at_ms, 0
                    floor.partial = floor.calls.get(DAY + number * PANE, (0, 0))
                elif each.reason is Why.CORRECTED:
                    assert each.corrects
                    assert not ever_true(floor, fired_ms, over_ms - over_ms % PANE if over_ms else now_ms)
                else:
                    over_ms = each.at_ms
            stands = floor.bench.alerts.get(ANN)
            if missed(list(floor.calls.values())):
                assert stands is not None and stands.state is State.FIRING
            if stands is not None and stands.state is State.FIRING:
                assert ever_true(floor, fired_ms, now_ms)
    assert [each.sequence for each in floor.log] == list(range(1, len(floor.log) + 1))
