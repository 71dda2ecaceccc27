"""Homes: in which panes of a partition each identity has an entry, tombstones included.

Nearly every identity has one home for good: its pane is the value, and only a second one makes a list.
"""

from kpistream.core.panes import Pane


class Homes(dict[str, Pane | list[Pane]]):
    """Panes by identity."""

    def of(self, identity: str) -> tuple[Pane, ...]:
        """The panes that hold the identity."""
        home = self.get(identity)
        if home is None:
            return ()
        return (home,) if isinstance(home, Pane) else tuple(home)

    def add(self, identity: str, pane: Pane) -> None:
        """The pane holds the identity now."""
        homes = self.of(identity)
        if not homes:
            self[identity] = pane
        elif pane not in homes:
            self[identity] = [*homes, pane]

    def leave(self, identity: str, pane: Pane) -> None:
        """The pane is gone."""
        rest = [home for home in self.of(identity) if home is not pane]
        if not rest:
            self.pop(identity, None)
        else:
            self[identity] = rest[0] if len(rest) == 1 else rest
