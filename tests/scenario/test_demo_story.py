"""The demo's floor, played through panes, windows and targets on its own clock: a slip is alarmed, bad luck is not."""

from collections.abc import Iterable
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from kpistream.core.alerts import State, Transition
from kpistream.core.partition import Partition, PartitionSettings
from kpistream.core.readings import About
from kpistream.core.tallies import NOTHING
from kpistream.errors import EventRejected
from kpistream.log.reading import EventReader
from kpistream.simulate.floor import DEMO_FATES, TENANT, Floor, demo_settings, floor_of
from kpistream.simulate.simulation import simulate
from kpistream.stream.judging import AGENT_KINDS, Bench
from kpistream.stream.live import LiveWindows, scope_window
from kpistream.stream.showing import Known, Show
from tests.scenario.history_events import Record

PANE_MS, MINUTE_MS, HOUR_MS = 300_000, 60_000, 3_600_000
ZONE = "Europe/Berlin"
OPENING_MS = int(datetime(2026, 3, 2, 8, tzinfo=ZoneInfo(ZONE)).timestamp() * 1000)
"""A Monday."""


class Played:
    """A day of the demo's floor."""

    def __init__(self, seed: int, floor: Floor | None = None) -> None:
        known = demo_settings()
        self._partition = Partition(0, PartitionSettings("story", PANE_MS))
        self._partition.assigned()
        self._partition.recovered(0)
        self._roster = known.roster
        self._show = Show(
            LiveWindows(PANE_MS, scope_window(known.roster, PANE_MS)), Bench(known, self._about, AGENT_KINDS)
        )
        self._show.bench.load([])
        self.log: list[Transition] = []
        floor = floor or floor_of(known.roster, TENANT, OPENING_MS, seed, DEMO_FATES)
        self._play(floor)

    def _play(self, floor: Floor) -> None:
        reader, now_ms, changed = EventReader(PANE_MS, 1), OPENING_MS, dict[tuple[str, int], None]()
        for number, sent in enumerate(simulate(floor, OPENING_MS, 9 * HOUR_MS)):
            while sent.due_ms >= now_ms + MINUTE_MS:
                now_ms += MINUTE_MS
                self._look(now_ms, changed)
                changed = {}
            try:
                event = reader.read(Record(sent.value, offset=number, timestamp=sent.due_ms, key=sent.key))
            except EventRejected:
                continue
            self._partition.accept(event, number)
            changed[event.key, event.start_ms] = None

    def _look(self, now_ms: int, changed: dict[tuple[str, int], None]) -> None:
        places, again = list(changed), True
        while again:
            _, transitions = self._show.look(now_ms, places, self, Known(0, True))
            self.log += transitions
            places, again = [], self._show.behind

    def _about(self, key: str, now_ms: int) -> About:
        tenant, _, scope = key.partition("/")
        return About(tenant, scope, self._roster.team_of_scope(tenant, scope, now_ms))

    def starts_of(self, key: str) -> Iterable[int]:
        return [start_ms for start_ms, panes in self._partition.panes.items() if key in panes]

    def packed_at(self, key: str, start_ms: int) -> bytes:
        pane = self._partition.panes.get(start_ms, {}).get(key)
        return NOTHING if pane is None else pane.packed_tally

    def fired(self, agent: str) -> list[Transition]:
        """Alerts of the share that connects."""
        return [
            each
            for each in self.log
            if (each.scope, each.kpi, each.to_state) == (f"agent:{agent}", "connect_share", State.FIRING)
        ]


def minutes_after_noon(at_ms: int) -> float:
    return (at_ms - OPENING_MS) / MINUTE_MS - 240


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_who_slips_at_noon_is_alarmed_and_bad_luck_is_not(seed: int):
    played = Played(seed)

    [slipped] = played.fired("david.okafor")
    assert 5 <= minutes_after_noon(slipped.at_ms) <= 120
    assert slipped.slip_from_ms is not None and -30 <= minutes_after_noon(slipped.slip_from_ms) <= 60
    assert played.fired("greta.sommer") == []


def test_without_its_fates_the_floor_alarms_nobody_who_dials_well():
    known = demo_settings()
    played = Played(1, floor_of(known.roster, TENANT, OPENING_MS, 1))

    assert played.fired("david.okafor") == played.fired("greta.sommer") == []
