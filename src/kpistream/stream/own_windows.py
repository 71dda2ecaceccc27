"""Own windows: what own measures and working time add to a window's sums, and since when they are whole in it."""

from collections.abc import Callable, Hashable, Mapping

from kpistream.core.own_kpis import OwnKpis
from kpistream.core.readings import WHOLE, About, OwnFrom, Since
from kpistream.core.windows import RunningWindow, Window
from kpistream.core.working_time import with_working_time
from kpistream.stream.live import Slot
from kpistream.stream.rota import Rota


class OwnWindows:
    """Of the slots of one bench."""

    def __init__(self, rota: Rota) -> None:
        self._rota = rota
        self.own_from: Callable[[str, Window], OwnFrom] = lambda key, window: WHOLE
        """(key, window) -> from when on own measures are whole there."""
        self.own_state: Callable[[], Hashable] = lambda: None
        """Something else whenever `own_from` may have become earlier."""
        self._partial: dict[Slot, None] = {}
        self._shown_state: Hashable = None

    def tally(self, own: OwnKpis, name: str, about: About, running: RunningWindow, now_ms: int) -> Mapping[int, int]:
        """The sums of a window of that name, with the working time beside them where a KPI asks for it."""
        if not own.by_the_hour:
            return running.tally
        return with_working_time(running.tally, self._rota.plan(about, name, running.window), now_ms)

    def since(
        self, own: OwnKpis, slot: Slot, about: About, running: RunningWindow, now_ms: int
    ) -> tuple[OwnFrom, Since | None]:
        """From when on own measures are whole, and what they have counted since when that is not the whole window."""
        if not own.measures:
            return WHOLE, None
        own_from = self.own_from(slot[0], running.window)
        if own_from.from_ms <= running.window.from_ms:
            return own_from, None
        self._partial[slot] = None
        from_ms = min(own_from.from_ms, running.window.to_ms)
        if from_ms > now_ms:
            return own_from, Since(from_ms, None)
        tally: Mapping[int, int] = running.sum_from(from_ms)
        if own.by_the_hour:
            plan = self._rota.plan(about, slot[1], running.window)
            tally = with_working_time(tally, plan, now_ms, from_ms)
        return own_from, Since(from_ms, tally)

    def whole_again(self) -> list[Slot]:
        """Slots that were shown with a part of their window, when that may be more by now; each once."""
        if not self._partial or self.own_state() == self._shown_state:
            return []
        self._shown_state = self.own_state()
        partial, self._partial = list(self._partial), {}
        return partial
