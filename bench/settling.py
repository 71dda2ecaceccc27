"""Settling: false alarms on conversion, through panes, links, windows and detectors as a worker runs them.

    python -m bench.settling                         # the table of docs/explanation/evidence.md
    python -m bench.settling --days 100

No broker. A day of one agent with 100 connected calls from 09:00 to 17:00 is drawn event by event; deals close some
time after their calls, and name them or do not. There is a look after every event and at the beginning of every pane,
until midnight; the number of the first one that fires is its minute since 09:00. Nothing is carried in: every day is
the first of an installation.
"""

import math
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from statistics import NormalDist
from typing import Final

import click

from bench.evidence import Found, Rows, by_odds, naive
from kpistream.core.decoding import Fields, fields_of
from kpistream.core.detecting import Detectors
from kpistream.core.events import CallEnded, DealClosed
from kpistream.core.evidence import Level
from kpistream.core.kpis import DEFAULT_LIMITS
from kpistream.core.measures import CONNECTED, DEALS_WON
from kpistream.core.partition import PartitionSettings
from kpistream.core.placing import place
from kpistream.core.roster import Roster, Tenant
from kpistream.core.settling import Settling, delays
from kpistream.core.targets import Direction, Target, Verdict, judge
from kpistream.core.windows import BUSINESS_DAY, DEFAULT_PANE_MS
from kpistream.stream.live import LiveWindows, scope_window
from kpistream.stream.state import Shard

MIDNIGHT_MS: Final = 1_772_409_600_000
"""2026-03-02 00:00 UTC."""
MINUTE_MS: Final = 60_000
OPENS_MS: Final = MIDNIGHT_MS + 9 * 60 * MINUTE_MS
SHIFT_MS: Final = 8 * 60 * MINUTE_MS
DAY_MS: Final = 24 * 60 * MINUTE_MS
CALLS: Final = 100
KEY: Final = "acme/agent:ann"
BOUND: Final = Fraction(1, 5)
LEVELS: Final = {"alpha 0.05": Level(1, 1, 20), "alpha 0.01": Level(1, 5, 20)}
PERIOD: Final = {
    "period, below target from 10 calls on": naive,
    "period, evidence of a share, alpha 0.05": by_odds(0.05),
}
"""Rules on deals won so far over connected calls so far."""


@dataclass(frozen=True)
class Floor:
    """How deals come."""

    settle_min: int
    lag_min: float
    """Median of the time from a call to its deal; log-normal. 0: at once."""
    spread: float = 1.2
    named: float = 1.0
    """Share of the deals that name their call."""
    share: float = 0.2
    """Share of the calls that win a deal within the settle time."""

    @property
    def in_time(self) -> float:
        """Share of the deals that come within the settle time."""
        if not self.lag_min:
            return 1.0
        return NormalDist(math.log(self.lag_min), self.spread).cdf(math.log(self.settle_min))

    def lag_ms(self, chance: random.Random) -> int:
        """From the end of a call to its deal."""
        return round(chance.lognormvariate(math.log(self.lag_min), self.spread) * MINUTE_MS) if self.lag_min else 0


def day(floor: Floor, chance: random.Random) -> list[tuple[int, Fields]]:
    """The calls of a day and their deals with their times, in order of time."""
    out: list[tuple[int, Fields]] = []
    for number in range(CALLS):
        ended_ms = OPENS_MS + round(chance.random() * SHIFT_MS)
        out.append((ended_ms, _call(number, ended_ms)))
        if chance.random() < floor.share / floor.in_time:
            closed_ms = ended_ms + floor.lag_ms(chance)
            out.append((closed_ms, _deal(number, closed_ms, named=chance.random() < floor.named)))
    return sorted(out, key=lambda event: event[0])


def _call(number: int, ended_ms: int) -> Fields:
    return fields_of(
        CallEnded(
            tenant="acme",
            source="pbx",
            event_id=f"leg-{number}",
            agent_id="ann",
            call_id=f"c-{number}",
            direction="outbound",
            started_at=ended_ms - MINUTE_MS,
            answered_at=ended_ms - MINUTE_MS,
            ended_at=ended_ms,
            outcome="connected",
        )
    )


def _deal(number: int, closed_ms: int, *, named: bool) -> Fields:
    return fields_of(
        DealClosed(
            tenant="acme",
            source="crm",
            event_id=f"d-{number}",
            agent_id="ann",
            call_id=f"c-{number}" if named else None,
            outcome="won",
            amount_minor=100,
            currency="EUR",
            closed_at=closed_ms,
        )
    )


class Worker:
    """What a worker holds of one agent."""

    def __init__(self, floor: Floor) -> None:
        self._roster = Roster({"acme": Tenant("acme", settle_ms=floor.settle_min * MINUTE_MS)})
        self._shard = Shard(0, PartitionSettings("w"))
        self._settling = Settling(self._shard, delays(self._roster, DEFAULT_PANE_MS), DEFAULT_PANE_MS)
        self._live = LiveWindows(DEFAULT_PANE_MS, scope_window(self._roster, DEFAULT_PANE_MS))
        self._live.keep([KEY])
        self._detectors = Detectors()
        self._offset = 0

    def look(self, now_ms: int, event: Fields | None) -> Iterator[str]:
        """Take in an event, if there is one, and look; the rules that fire."""
        changed: set[tuple[str, int]] = set()
        if event is not None:
            accepted = place(event, DEFAULT_PANE_MS)
            self._shard.partition.accept(accepted, self._offset)
            self._offset += 1
            changed.add((accepted.key, accepted.start_ms))
        settled = self._settling.due(now_ms, changed)
        self._live.look(now_ms, (*changed, *settled), self._settling)
        running = self._live.window((KEY, BUSINESS_DAY))
        for name, level in LEVELS.items():
            target = Target(name, "settled_conversion", BUSINESS_DAY, Direction.AT_LEAST, low=BOUND, level=level)
            against = self._detectors.against(KEY, target, running, DEFAULT_LIMITS)
            if judge(target, running.tally, DEFAULT_LIMITS, against=against).verdict is Verdict.MISSED:
                yield name
        connected, deals = running.tally.get(CONNECTED, 0), running.tally.get(DEALS_WON, 0)
        for name, rule in PERIOD.items():
            if connected and rule(min(deals, connected), connected, BOUND):
                yield name


def first_alarms(floor: Floor, chance: random.Random) -> Mapping[str, int]:
    """Minute since 09:00 of the first look that fires, by rule, of one day."""
    looks = [*day(floor, chance), *((at_ms, None) for at_ms in range(OPENS_MS, MIDNIGHT_MS + DAY_MS, DEFAULT_PANE_MS))]
    worker, out = Worker(floor), dict[str, int]()
    for at_ms, event in sorted(looks, key=lambda look: look[0]):
        if at_ms < MIDNIGHT_MS + DAY_MS:
            for name in worker.look(at_ms, event):
                out.setdefault(name, (at_ms - OPENS_MS) // MINUTE_MS)
    return out


def found(floor: Floor, chance: random.Random, days: int) -> dict[str, Found]:
    """First alarms of some days, by rule."""
    each = [first_alarms(floor, chance) for _ in range(days)]
    return {name: Found(tuple(alarms.get(name) for alarms in each)) for name in (*PERIOD, *LEVELS)}


FLOORS: Final = {
    "deals at once": Floor(30, 0),
    "lag 18 min": Floor(120, 18),
    "lag 60 min": Floor(240, 60, spread=0.6),
    "half name no call": Floor(120, 18, named=0.5),
    "none names a call": Floor(120, 18, named=0),
    "true 10 %": Floor(120, 18, share=0.1),
    "true 5 %": Floor(120, 18, share=0.05),
    "true 5 %, half name no call": Floor(120, 18, named=0.5, share=0.05),
    "true 5 %, none names a call": Floor(120, 18, named=0, share=0.05),
}


def table(days: int, seed: int) -> Rows:
    """At least 20 % of settled calls, agent exactly on target unless said: days with an alarm, median minute of it."""
    columns = [found(floor, random.Random(seed), days) for floor in FLOORS.values()]
    rows = [(name, *(str(column[name]) for column in columns)) for name in (*PERIOD, *LEVELS)]
    return [("judged", *FLOORS), *rows]


@click.command(help=__doc__)
@click.option("--days", default=1000, show_default=True, help="Agent-days of each figure.")
@click.option("--seed", default=7, show_default=True, help="Seed of every figure.")
def main(days: int, seed: int) -> None:
    """Print the table."""
    head, *rows = table(days, seed)
    print(f"{table.__doc__}\n")
    print("\n".join(f"| {' | '.join(row)} |" for row in (head, ("---",) * len(head), *rows)))


if __name__ == "__main__":
    main()
