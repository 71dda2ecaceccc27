"""In force: which targets are judged for a scope at a look, each with the bound that holds for it.

Resolving asks roster and calendar, a look comes many times a second: so a bound is remembered until it may change. A
target without overrides, ramp and seasons costs nothing more than before there were any.
"""

from collections.abc import Container
from heapq import heappop, heappush

from kpistream.core.overrides import Override
from kpistream.core.ramps import Factor
from kpistream.core.readings import About
from kpistream.core.resolution import Held, deciding_ms, in_force, own_bound, resolve, varies
from kpistream.core.roster import ALWAYS_TO_MS
from kpistream.core.settings import Settings
from kpistream.core.targets import Target, covers
from kpistream.core.windows import ROLLING_MS, Window
from kpistream.stream.live import Slot


class InForce:
    """The targets of the settings, and the bounds that were found for keys (`tenant/scope`)."""

    def __init__(self, settings: Settings) -> None:
        self._roster = settings.roster
        self._by_window: dict[str, list[tuple[Target, Held | None]]] = {}
        for target in settings.targets:
            if not target.alerts:
                continue
            same_for_all = None if varies(target) else Held(target, own_bound(target))
            self._by_window.setdefault(target.window, []).append((target, same_for_all))
        self._held: dict[str, dict[str, Held]] = {}
        """By key, then by target."""
        self._parts: dict[tuple[str, Override, tuple[Factor, ...], tuple[Override, ...]], Held] = {}
        self._changes: list[tuple[int, str, str]] = []
        """A heap of when the bounds of rolling windows may change, with key and window."""

    def targets(self, about: About, window_name: str, window: Window, now_ms: int) -> list[Held]:
        """What is judged for a scope over a window, in the order of the settings."""
        at_ms = deciding_ms(window_name, window, now_ms)
        team = about.team or ""
        return [
            same_for_all or self._resolved(target, about, at_ms)
            for target, same_for_all in self._by_window.get(window_name, ())
            if in_force(target, at_ms) and covers(target, about.tenant, about.scope, team)
        ]

    def _resolved(self, target: Target, about: About, at_ms: int) -> Held:
        known = self._held.setdefault(f"{about.tenant}/{about.scope}", {})
        held = known.get(target.name)
        if held is None or not held.at_ms <= at_ms < held.until_ms:
            held = self._shared(resolve(target, self._roster, about.tenant, about.scope, at_ms))
            known[target.name] = held
            if target.window in ROLLING_MS and held.until_ms < ALWAYS_TO_MS:
                heappush(self._changes, (held.until_ms, f"{about.tenant}/{about.scope}", target.window))
        return held

    def _shared(self, held: Held) -> Held:
        """The same, made of what others have: most agents of a tier differ only in when their bound may change."""
        like = self._parts.setdefault((held.target.name, held.override, held.factors, held.overridden), held)
        return like._replace(at_ms=held.at_ms, until_ms=held.until_ms)

    def changed(self, now_ms: int) -> list[Slot]:
        """Slots of rolling windows whose bound may be another by now; each once. Of a day it is one all day long."""
        slots: dict[Slot, None] = {}
        while self._changes and self._changes[0][0] <= now_ms:
            _, key, window = heappop(self._changes)
            slots[key, window] = None
        return list(slots)

    def forget_all_but(self, live: Container[str]) -> None:
        """Drop what is remembered of keys that have no windows any more."""
        for key in [key for key in self._held if key not in live]:
            del self._held[key]
