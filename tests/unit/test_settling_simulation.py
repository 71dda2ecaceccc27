"""False alarms on conversion, as a worker judges it: `python -m bench.settling`, shorter."""

import pytest

from bench import settling as sim
from tests.unit.test_evidence_simulation import at_most, chance

DAYS = 40


@pytest.mark.parametrize("name", ["lag 18 min", "half name no call"])
def test_agent_on_target_is_alarmed_as_rarely_as_stated_on_a_first_day(name: str):
    """Deals lag their calls, nothing is carried in, and there is a look after every event."""
    found = sim.found(sim.FLOORS[name], chance(), DAYS)

    assert found["alpha 0.05"].share <= at_most(0.05, DAYS)
    assert found["alpha 0.01"].share <= at_most(0.01, DAYS)
    assert found["period, below target from 10 calls on"].share > 0.9, "what is not done"


def test_agent_far_below_target_is_found_also_when_half_of_the_deals_name_no_call():
    found = sim.found(sim.FLOORS["true 5 %, half name no call"], chance(), 15)

    assert found["alpha 0.05"].share > 0.7
