"""Homes: in which panes of a partition each identity has an entry, tombstones included.

Nearly every identity has one home for good: its pane is the value, and only a second one makes a list. Identities are
kept by the time of their pane, a dictionary for each half horizon. One dictionary for all of them would double once
for nothing: its entries come and go, and Python makes room for three times what it holds when it tidies up.
"""

from typing import Final

from kpistream.core.panes import Pane

SPANS_A_HORIZON: Final = 2
"""More spans hold fewer identities of closed panes' room, and make a look-up of a new identity longer."""


class Homes:
    """Panes by identity."""

    def __init__(self, horizon_ms: int) -> None:
        self._span_ms = max(1, horizon_ms // SPANS_A_HORIZON)
        self._by_span: dict[int, dict[str, Pane | list[Pane]]] = {}

    def __len__(self) -> int:
        """Identities; one with homes in several spans counts in each of them."""
        return sum(map(len, self._by_span.values()))

    def of(self, identity: str) -> tuple[Pane, ...]:
        """The panes that hold the identity."""
        found: tuple[Pane, ...] = ()
        for known in self._by_span.values():
            home = known.get(identity)
            if home is not None:
                found += (home,) if isinstance(home, Pane) else tuple(home)
        return found

    def settle(self, identity: str, pane: Pane) -> bool:
        """Make the pane the first home of the identity; False, and nothing is done, when it has a home already."""
        for known in self._by_span.values():
            if identity in known:
                return False
        self._of_span(pane)[identity] = pane
        return True

    def add(self, identity: str, pane: Pane) -> None:
        """The pane holds the identity now."""
        known = self._of_span(pane)
        home = known.get(identity)
        if home is None:
            known[identity] = pane
        elif isinstance(home, Pane):
            if home is not pane:
                known[identity] = [home, pane]
        elif pane not in home:
            home.append(pane)

    def leave(self, identity: str, pane: Pane) -> None:
        """The pane is gone."""
        span = pane.start_ms // self._span_ms
        known = self._by_span.get(span, {})
        home = known.get(identity)
        if home is pane:
            del known[identity]
            if not known:
                del self._by_span[span]
        elif isinstance(home, list) and pane in home:
            home.remove(pane)
            if len(home) == 1:
                known[identity] = home[0]

    def _of_span(self, pane: Pane) -> dict[str, Pane | list[Pane]]:
        span = pane.start_ms // self._span_ms
        known = self._by_span.get(span)
        if known is None:
            known = self._by_span[span] = {}
        return known
