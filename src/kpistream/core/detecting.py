"""Detecting: slips in the panes of running windows, found while the day goes on.

For each scope and target the panes of the day are gone through once, and the newest ones at every look. When an earlier
pane changes, the window moves or the target is another one, the day is gone through again: nothing here has to survive
anything, and what is found is a function of the panes.
"""

from bisect import bisect_right
from collections.abc import Container, Mapping
from functools import lru_cache
from typing import Final

from kpistream.core.evidence import Bets
from kpistream.core.kpis import Limits
from kpistream.core.slips import Course, slip
from kpistream.core.tallies import unpack_tally
from kpistream.core.targets import Target, measured, paced
from kpistream.core.weighing import sides, together
from kpistream.core.windows import OPEN_PANES, RunningWindow, Window

STAKED_MS: Final = 8 * 3_600_000
"""Time of panes with cases that stakes are spread over. In later panes no slip begins any more."""
_BEFORE: Final = -1
_Sides = list[Bets | float]
_NO_SIDES: Final[_Sides] = []


class Detectors:
    """What was found so far, by scope key and target."""

    def __init__(self) -> None:
        self._by_key: dict[str, dict[str, _Detector]] = {}

    def against(self, key: str, target: Target, running: RunningWindow, limits: Limits) -> float | None:
        """Evidence of the window's panes against a target; None when there are none."""
        by_target = self._by_key.get(key)
        if by_target is None:
            by_target = self._by_key[key] = {}
        detector = by_target.get(target.name)
        if detector is None:
            detector = by_target[target.name] = _Detector()
        return detector.against(target, running, limits)

    def forget_all_but(self, live: Container[str]) -> None:
        """Drop what was found of keys that have no windows any more."""
        for key in [key for key in self._by_key if key not in live]:
            del self._by_key[key]


class _Detector:
    """One target of one scope."""

    __slots__ = ("_courses", "_edits", "_limits", "_open", "_target", "_to_ms", "_window")

    def __init__(self) -> None:
        self._target: Target | None = None
        self._limits: Limits | None = None
        self._window: Window | None = None
        self._edits = 0
        self._to_ms = _BEFORE
        """Start of the last pane that was gone through for good."""
        self._courses: list[Course] = []
        """For the bound from below and from above, as there are."""
        self._open: dict[int, tuple[bytes, _Sides]] = {}
        """Panes behind it, as they were at the last look."""

    def against(self, target: Target, running: RunningWindow, limits: Limits) -> float | None:
        """Evidence of the panes; None when they have no cases."""
        if not self._knows(target, running, limits):
            self._begin(target, running, limits)
        value = measured(target, running.tally, limits)
        if not value.denominator:
            return None
        starts = running.starts
        for start_ms in starts[bisect_right(starts, self._to_ms) : -OPEN_PANES]:
            _take(self._courses, self._sides(start_ms, running))
            self._open.pop(start_ms, None)
            self._to_ms = start_ms
        courses = [course.copy() for course in self._courses]
        for start_ms in starts[bisect_right(starts, self._to_ms) :]:
            _take(courses, self._sides(start_ms, running))
        whole = sides(target.defined, target, running.tally, value)
        found = zip(courses, whole, strict=True)
        return together([side if isinstance(side, float) else course.against() for course, side in found])

    def _sides(self, start_ms: int, running: RunningWindow) -> _Sides:
        assert self._target is not None and self._limits is not None
        packed = running.packed_at(start_ms)
        known, found = self._open.get(start_ms, (b"", _NO_SIDES))
        if known is not packed:
            found = _sides_of(self._target, packed, self._limits)
            self._open[start_ms] = packed, found
        return found

    def _knows(self, target: Target, running: RunningWindow, limits: Limits) -> bool:
        same = self._target is target or self._target == target
        return same and self._limits == limits and self._edits == running.edits and self._window == running.window

    def _begin(self, target: Target, running: RunningWindow, limits: Limits) -> None:
        self._target, self._limits, self._to_ms, self._open = target, limits, _BEFORE, {}
        self._edits, self._window = running.edits, running.window
        bounds = [bound for bound in (target.low, target.high) if bound is not None]
        self._courses = [Course(_planned(running)) for _ in bounds]


def _planned(running: RunningWindow) -> int:
    return STAKED_MS // running.pane_ms


def _take(courses: list[Course], found: _Sides) -> None:
    for course, side in zip(courses, found, strict=bool(found)):
        if not isinstance(side, float):
            course.take(side)


def weighed_in_panes(target: Target) -> bool:
    """True for a target that is judged on evidence of its cases; counts are held against pace, in one sum."""
    return target.level is not None and not paced(target)


def since_ms(target: Target, running: RunningWindow, limits: Limits) -> int | None:
    """Start of the pane from which on most speaks against the target; None when nothing does, or bets do not add."""
    panes: list[tuple[int, _Sides]] = [
        (start_ms, found)
        for start_ms in running.starts
        if (found := _sides_of(target, running.packed_at(start_ms), limits))
    ]
    best: tuple[float, int | None] = (0.0, None)
    for at in range(len(panes[0][1]) if panes else 0):
        own = [(start_ms, bets) for start_ms, found in panes if (bets := _bets(found, at)) is not None]
        slipped = slip(own, _planned(running))
        best = max(best, (slipped.against, slipped.since_ms), key=lambda each: each[0])
    return best[1]


def _sides_of(target: Target, packed: bytes, limits: Limits) -> _Sides:
    """Of one pane; empty when it has no cases."""
    tally = _unpacked(packed)
    value = measured(target, tally, limits)
    return sides(target.defined, target, tally, value) if value.denominator else []


def _bets(found: _Sides, at: int) -> Bets | None:
    side = found[at] if found else None
    return None if isinstance(side, float) else side


@lru_cache(maxsize=64)
def _unpacked(packed: bytes) -> Mapping[int, int]:
    """The targets of a scope ask for the same panes one after the other."""
    return unpack_tally(packed)
