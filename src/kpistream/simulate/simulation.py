"""Simulation: a telesales floor as a stream of records, on an axis of time of its own.

A function of the seed, the floor, the start and the length; no clock is read. A longer run begins with
the records of a shorter one. To show a floor that is already at work, start in the past, send at once
what is due by now, and the rest when the simulated clock gets there.
"""

from collections.abc import Iterator
from random import Random

from kpistream.simulate.agenda import Agenda, Sent
from kpistream.simulate.calls import Calls
from kpistream.simulate.delivery import Delivery, Rates
from kpistream.simulate.floor import Floor
from kpistream.simulate.outcomes import Outcomes

FOREVER_MS = 1 << 62


def simulate(floor: Floor, start_ms: int, duration_ms: int | None = None, rates: Rates | None = None) -> Iterator[Sent]:
    """Records in due order, from `start_ms` on for `duration_ms` of simulated time (None: without end).

    Ids hold the seed and the start, so that another run never contradicts this one.
    """
    ids = f"{start_ms // 1000:x}.{floor.seed}"
    agenda = Agenda()
    delivery = Delivery(agenda, Random(f"{floor.seed}/delivery"), rates or Rates())
    outcomes = Outcomes(delivery, Random(f"{floor.seed}/outcomes"), ids)
    calls = Calls(floor, agenda, delivery, outcomes, Random(f"{floor.seed}/calls"))
    calls.open(start_ms, ids)
    return agenda.run(FOREVER_MS if duration_ms is None else start_ms + duration_ms)
