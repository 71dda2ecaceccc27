"""Suggesting: a target out of what was done, for everybody and for each tier, as YAML to paste.

Whole business days of agents are taken one by one; a bound is a percentile of their values, so some agent really did
that on some day. A share or a mean of fewer cases than the minimum sample is no value. A count of a day on which the
schedule asks for half or more is scaled to a whole one; shorter days are left out.

Source: the 80th percentile of 12 weeks is what the field uses.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Final, NamedTuple

import msgspec

from kpistream.core.attainment import ENOUGH_DAYS, tally_of, working_share
from kpistream.core.bound_words import bound_text, decimal
from kpistream.core.days import Day
from kpistream.core.resolution import deciding_ms
from kpistream.core.settings import Settings
from kpistream.core.targets import Direction, Target, default_direction, exact, measured
from kpistream.core.windows import BUSINESS_DAY
from kpistream.core.working_time import by_the_hour

_HALF: Final = Fraction(1, 2)
_QUARTERS: Final = (25, 50, 75)
_SECOND_MS: Final = 1000
_HOUR_MS: Final = 3_600_000


class Wanted(NamedTuple):
    """What a target is suggested for."""

    kpi: str
    tenant: str
    member: str | None = None
    percentile: int = 80
    """1 to 99: of so many days in 100 the bound was not reached; for a KPI that should be low the other way round."""
    minimum_sample: int = 10
    """Cases of a day below which it is left out, for a share or a mean; of a KPI by the hour an hour at work."""


@dataclass(slots=True)
class _Group:
    """The days of a tier, or of everybody."""

    values: list[Fraction] = field(default_factory=list)
    agents: set[str] = field(default_factory=set)

    def add(self, agent: str, value: Fraction) -> None:
        self.values.append(value)
        self.agents.add(agent)


def percentile(values: Sequence[Fraction], percent: int) -> Fraction:
    """The smallest of the sorted values that so many in 100 do not exceed (nearest rank)."""
    assert values and 0 < percent <= 100, percent
    return values[-(-percent * len(values) // 100) - 1]


class Suggestion:
    """Takes days of one tenant's agents; `lines` is the target."""

    def __init__(self, settings: Settings, wanted: Wanted) -> None:
        self._settings = settings
        self._wanted = wanted
        kpi = settings.own.find(wanted.kpi)
        assert kpi is not None, wanted
        self._kpi = kpi
        self._target = Target(kpi.name, kpi.name, BUSINESS_DAY, default_direction(kpi), member=wanted.member)
        if kpi.form:
            self._target = msgspec.structs.replace(self._target, own=kpi)
        self._least = _HOUR_MS if by_the_hour(kpi) else wanted.minimum_sample
        self._all = _Group()
        self._tiers: dict[str, _Group] = {}

    def take(self, day: Day) -> None:
        """Take a day of an agent of the tenant."""
        roster, agent = self._settings.roster, day.scope.partition(":")[2]
        found = measured(self._target, tally_of(self._settings, self._kpi, day), roster.tenant(day.tenant).limits)
        value, share = exact(self._kpi, found), working_share(self._settings, self._kpi, day)
        few = found.denominator is not None and found.denominator < self._least
        if value is None or few or share < _HALF:
            return
        self._all.add(agent, value / share)
        tier = roster.tier_of(day.tenant, agent, deciding_ms(BUSINESS_DAY, day.window, day.window.from_ms))
        if tier is not None:
            self._tiers.setdefault(tier, _Group()).add(agent, value / share)

    @property
    def days(self) -> int:
        """Days with a value."""
        return len(self._all.values)

    def lines(self) -> Iterator[str]:
        """The target as YAML, each bound with how many days it rests on and how far they spread."""
        wanted = self._wanted
        assert self.days, "there is nothing to suggest"
        yield f"# percentile {wanted.percentile} of whole days of agents; {self._spread(self._all)}"
        yield "targets:"
        yield f"  - name: {wanted.kpi.replace('_', '-')}"
        yield f"    kpi: {wanted.kpi}"
        if wanted.member is not None:
            yield f"    member: {wanted.member}"
        yield f"    window: {BUSINESS_DAY}"
        yield f"    tenant: {wanted.tenant}"
        if self._kpi.denominator is not None:
            yield f"    minimum_sample: {'1 h' if by_the_hour(self._kpi) else wanted.minimum_sample}"
        yield from (f"    {key}: {text}" for key, text in self._bounds(self._all))
        enough = {tier: group for tier, group in sorted(self._tiers.items()) if len(group.values) >= ENOUGH_DAYS}
        if enough:
            yield "    overrides:"
        for tier, group in enough.items():
            bounds = ", ".join(f"{key}: {text}" for key, text in self._bounds(group))
            yield f"      - {{tier: {_quoted(tier)}, {bounds}}}  # {self._spread(group)}"
        for tier in sorted(self._tiers.keys() - enough.keys()):
            yield f"    # tier {tier}: {len(self._tiers[tier].values)} days are too few"

    def _bounds(self, group: _Group) -> list[tuple[str, str]]:
        values, percent = sorted(group.values), self._wanted.percentile
        low, high = percentile(values, 100 - percent), percentile(values, percent)
        direction = self._target.direction
        if direction is Direction.BETWEEN:
            return [("low", self._text(low)), ("high", self._text(high))]
        return [("bound", self._text(high if direction is Direction.AT_LEAST else low))]

    def _spread(self, group: _Group) -> str:
        values = sorted(group.values)
        low, middle, high = (self._shown(percentile(values, percent)) for percent in _QUARTERS)
        return f"{len(values)} days of {len(group.agents)} agents, half of them from {low} to {high}, median {middle}"

    def _text(self, value: Fraction) -> str:
        return f'"{self._shown(value)}"'

    def _shown(self, value: Fraction) -> str:
        """The value in the KPI's unit, with as many digits as anybody can aim at."""
        unit = self._kpi.unit
        if unit == "ms":
            return bound_text(unit, Fraction(round(value / _SECOND_MS) * _SECOND_MS))
        places = 3 if unit == "share" else 2 if self._kpi.denominator is not None else 0
        return bound_text(unit, Fraction(decimal(value, places) if places else round(value)))


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
