"""Overrides: other bounds of a target for an agent, a tier, a team or a tenant, from when to when.

The closest that is in force holds. Nothing is looked up here: `resolution.py` says which one that is for somebody.
"""

from enum import StrEnum
from fractions import Fraction
from typing import Final, NamedTuple

from kpistream.core.roster import ALWAYS_FROM_MS, ALWAYS_TO_MS


class Reach(StrEnum):
    """For whom a bound is, the closest first."""

    AGENT = "agent"
    TIER = "tier"
    TEAM = "team"
    TENANT = "tenant"
    TARGET = "target"
    """For everybody whom the target covers: its own bound."""

    @property
    def rank(self) -> int:
        """0 for the closest."""
        return _ORDER[self]


_ORDER: Final = {reach: rank for rank, reach in enumerate(Reach)}


class Override(NamedTuple):
    """A bound for somebody in `[from_ms, to_ms)`. A side that it does not say is the target's own."""

    reach: Reach
    name: str
    low: Fraction | None = None
    high: Fraction | None = None
    tenant: str | None = None
    """Only of this tenant, None for whoever of any tenant has the name."""
    from_ms: int = ALWAYS_FROM_MS
    to_ms: int = ALWAYS_TO_MS
    reason: str | None = None

    @property
    def words(self) -> str:
        """`tier new`; `target calls` for a target's own bound."""
        return f"{self.reach} {self.name}"

    def clashes(self, other: "Override") -> bool:
        """True when both hold for somebody at one instant, equally close."""
        same = (self.reach, self.name) == (other.reach, other.name)
        tenants = self.tenant == other.tenant or None in (self.tenant, other.tenant)
        return same and tenants and self.from_ms < other.to_ms and other.from_ms < self.to_ms


class Split(NamedTuple):
    """What each agent is expected to carry of a team's target."""

    shares: tuple[tuple[str, Fraction], ...] = ()
    """By agent id; empty: all carry the same."""

    def share(self, agent_id: str, members: int) -> Fraction:
        """Share of an agent in a team of so many; 0 for whoever is not named where others are."""
        return dict(self.shares).get(agent_id, Fraction(0)) if self.shares else Fraction(1, members)
