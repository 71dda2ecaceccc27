"""Floor: who sits on the simulated sales floor, when they work, and how good they are at it.

Taken from a roster: a team with queues takes calls, every other team dials for its campaigns. Skills and
hours are a function of the seed and the names alone, so the same seed always gives the same floor.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from functools import lru_cache
from importlib import resources
from random import Random
from typing import Final, NamedTuple

from kpistream.core.roster import Roster
from kpistream.core.settings import Settings, read_settings
from kpistream.core.windows import business_date, day_start_ms
from kpistream.errors import ConfigError

TENANT: Final = "demo"
DEMO_FILE: Final = "demo_settings.yaml"
NEW: Final = "new"
MINUTE_MS: Final = 60_000
WARM_UP_MS: Final = 195 * MINUTE_MS
"""From the opening of the floor to the moment at which the demo starts to show it: a quarter past eleven."""
_OPENING_MIN: Final = 8 * 60
_SHIFT_MIN: Final = 8 * 60
_SATURDAY: Final = 5


@dataclass(frozen=True, slots=True)
class Skill:
    """What sets one agent apart from the next."""

    connect: float
    """Share of dialled calls that a person answers."""
    conversion: float
    """Chance that a conversation leads to a deal."""
    talk_s: float
    """Median length of a conversation."""
    wrap_up_s: float
    """Median after-call work."""
    satisfaction: float
    """Mean of the answers to a question from 1 to 5."""


class Fate(NamedTuple):
    """What befalls somebody who dials, from a local time of every day on."""

    from_min: int
    """Minutes after local midnight."""
    connect: float
    """Share of what connected before that still does."""
    calls: int | None = None
    """So many calls, then it is over; None: until the evening."""


SLIP: Final = Fate(12 * 60, 0.15)
"""Something is wrong from noon on: a headset, a list, a mood."""
BAD_LUCK: Final = Fate(12 * 60, 0.0, 8)
"""Eight calls in a row that nobody answers: chance does that to everybody, once in a few days."""
DEMO_FATES: Final[dict[str, Fate]] = {"david.okafor": SLIP, "greta.sommer": BAD_LUCK}


@dataclass(frozen=True, slots=True)
class Seat:
    """One agent at work."""

    agent_id: str
    team: str
    zone: str
    queues: tuple[str, ...]
    """Queues whose calls the agent takes; empty for one who dials."""
    campaigns: tuple[str, ...]
    skill: Skill
    starts_at_min: int
    """Start of the shift, minutes after local midnight."""
    fate: Fate | None = None

    def minute(self, at_ms: int) -> int:
        """Minutes of the business day that have passed in the agent's zone."""
        return (at_ms - day_start_ms(business_date(at_ms, self.zone), self.zone)) // MINUTE_MS


@dataclass(frozen=True, slots=True)
class Floor:
    """All seats of one tenant."""

    tenant: str
    seats: tuple[Seat, ...]
    seed: int

    def spans(self, seat: Seat, from_ms: int) -> Iterator[tuple[int, int]]:
        """Spans `[begin, end)` in which the agent works and that end after `from_ms`; without end."""
        day = business_date(from_ms, seat.zone)
        while True:
            for begin_ms, end_ms in _hours(self.seed, seat, day):
                if end_ms > from_ms:
                    yield begin_ms, end_ms
            day += timedelta(days=1)


@lru_cache(maxsize=4096)
def _hours(seed: int, seat: Seat, day: date) -> tuple[tuple[int, int], ...]:
    """Before and after lunch; nobody works at the weekend."""
    if day.weekday() >= _SATURDAY:
        return ()
    rng = Random(f"{seed}/{seat.agent_id}/{day}")
    begin_min = seat.starts_at_min + rng.uniform(0, 4)
    lunch_min = 12 * 60 + 15 * rng.randrange(6) + rng.uniform(0, 5)
    back_min = lunch_min + rng.choice((30, 30, 45)) + rng.uniform(-1, 3)
    midnight_ms = day_start_ms(day, seat.zone)
    times = [midnight_ms + round(m * MINUTE_MS) for m in (begin_min, lunch_min, back_min, begin_min + _SHIFT_MIN)]
    return (times[0], times[1]), (times[2], times[3])


def demo_settings() -> Settings:
    """Roster and targets of the packaged demo."""
    return read_settings({DEMO_FILE: demo_text()})


def demo_text() -> str:
    """The same as the text of their file: a first own settings directory begins with it."""
    return resources.files("kpistream").joinpath(DEMO_FILE).read_text("utf-8")


def floor_tenant(roster: Roster) -> str:
    """The tenant whose people sit on the floor. Raises ConfigError unless exactly one has people."""
    peopled = [name for name in roster.tenants if roster.tenant(name).people]
    if len(peopled) == 1:
        return peopled[0]
    found = ", ".join(peopled) or "nobody"
    raise ConfigError(f"a floor is the people of one tenant, these settings have people in: {found}")


def floor_of(roster: Roster, tenant: str, at_ms: int, seed: int, fates: Mapping[str, Fate] | None = None) -> Floor:
    """The floor of a tenant as the roster has it at an instant; `fates` by agent."""
    known = roster.tenant(tenant)
    seats = []
    for agent_id in sorted(known.people):
        team = roster.team_of(tenant, agent_id, at_ms)
        queues, campaigns = (
            tuple(name for name in names if roster.team_of_scope(tenant, f"{kind}:{name}", at_ms) == team)
            for kind, names in (("queue", known.queues), ("campaign", known.campaigns))
        )
        rng = Random(f"{seed}/{agent_id}")
        skill = _skill(rng, new=roster.tier_of(tenant, agent_id, at_ms) == NEW)
        starts_at_min = 8 * 60 + 30 + 15 * rng.randrange(5)
        zone = roster.zone_of(tenant, agent_id, at_ms)
        fate = (fates or {}).get(agent_id)
        seats.append(Seat(agent_id, team, zone, queues, campaigns, skill, starts_at_min, fate))
    return Floor(tenant, tuple(seats), seed)


def opening_ms(now_ms: int, zone: str) -> int:
    """Opening of the floor on the latest working day that has been open for the warm-up by `now_ms`."""
    day = business_date(now_ms, zone)
    while True:
        opening = day_start_ms(day, zone) + _OPENING_MIN * MINUTE_MS
        if day.weekday() < _SATURDAY and opening + WARM_UP_MS <= now_ms:
            return opening
        day -= timedelta(days=1)


def _skill(rng: Random, *, new: bool) -> Skill:
    craft = rng.betavariate(3, 3) * (0.55 if new else 1.0)
    return Skill(
        connect=0.30 + 0.15 * (0.7 * rng.random() + 0.3 * craft),
        conversion=0.05 + 0.17 * craft,
        talk_s=rng.uniform(185, 255) * (1.15 if new else 1.0),
        wrap_up_s=rng.uniform(22, 48) * (1.5 if new else 1.0),
        satisfaction=3.75 + 0.5 * craft + rng.uniform(0, 0.5),
    )
