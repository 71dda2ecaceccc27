"""Health: what a role must keep doing, and what is true of it now.

A `Pulse` is one thing that must come again, or end, within a limit: a turn of a loop, a call, a rebalance.
The role writes pulses; a watchdog and an HTTP endpoint read them from threads of their own, so that they tell
the truth also when the event loop is blocked. Nothing here waits, locks or reads a clock of its own.
"""

from collections.abc import Callable
from typing import Final, NamedTuple, Protocol

LATE_LOOP_S: Final = 5.0
"""An event loop that has not turned for longer makes a role not ready, long before it counts as blocked."""


class Fault(NamedTuple):
    """One thing that is stuck."""

    what: str
    for_s: float
    hint: str

    def __str__(self) -> str:
        return f"{self.what} for {self.for_s:.0f} s"


class Vitals(Protocol):
    """What a role says of itself. Both are called from other threads: they read what the role has noted."""

    def faults(self, now_s: float) -> list[Fault]:
        """What is stuck."""

    def waits_for(self) -> list[str]:
        """What is missing before the role is ready."""


class Pulse:
    """One thing that must come again, or end, within a limit; many may be under way at once."""

    def __init__(self, what: str, hint: str, limit_s: float, steady_s: Callable[[], float]) -> None:
        self._what = what
        self._hint = hint
        self._limit_s = limit_s
        self._steady_s = steady_s
        self._since_s: float | None = None
        self.unready_after_s: float | None = None
        """A role is not ready while this has been under way for longer; None: that says nothing about it."""

    def beat(self) -> None:
        """It came, or began; from now on the next time, or the end, is waited for."""
        self._since_s = self._steady_s()

    def rest(self) -> None:
        """It has ended and nothing is waited for."""
        self._since_s = None

    def fault(self, now_s: float) -> Fault | None:
        """The fault once the limit has passed."""
        since_s = self._since_s
        if since_s is None or now_s - since_s <= self._limit_s:
            return None
        return Fault(self._what, now_s - since_s, self._hint)

    def waits_for(self, now_s: float) -> str | None:
        """What a role that is not ready waits for."""
        since_s, limit_s = self._since_s, self.unready_after_s
        if since_s is None or limit_s is None or now_s - since_s < limit_s:
            return None
        return f"{self._what} for {now_s - since_s:.0f} s"


class Health:
    """All pulses of one process, and the roles in it."""

    def __init__(self, role: str, steady_s: Callable[[], float]) -> None:
        self.role = role
        self.steady_s = steady_s
        self._pulses: tuple[Pulse, ...] = ()
        self._vitals: tuple[Vitals, ...] = ()

    def pulse(self, what: str, hint: str, limit_s: float, unready_after_s: float | None = None) -> Pulse:
        """A new pulse, at rest. `what` reads well before "for 31 s"."""
        pulse = Pulse(what, hint, limit_s, self.steady_s)
        pulse.unready_after_s = unready_after_s
        self._pulses = (*self._pulses, pulse)
        return pulse

    def watch(self, vitals: Vitals) -> None:
        """Ask this role, too."""
        self._vitals = (*self._vitals, vitals)

    def ending(self, limit_s: float, because: BaseException | None = None) -> Pulse:
        """The role is about to end: nothing is judged any more but that it does; the pulse rests when it has."""
        self._pulses, self._vitals = (), ()
        cause = "" if because is None else f" after {because!r}"
        pulse = self.pulse(
            f"end{cause} has begun and is not done", "nothing is lost; restart the process", limit_s, 0.0
        )
        pulse.beat()
        return pulse

    def faults(self) -> list[Fault]:
        """What is stuck."""
        now_s = self.steady_s()
        found = [fault for pulse in self._pulses if (fault := pulse.fault(now_s)) is not None]
        return [*found, *(fault for vitals in self._vitals for fault in vitals.faults(now_s))]

    def waits_for(self) -> list[str]:
        """What is missing before the process is ready; empty: it is."""
        now_s = self.steady_s()
        found = [text for pulse in self._pulses if (text := pulse.waits_for(now_s)) is not None]
        return [*found, *(text for vitals in self._vitals for text in vitals.waits_for())]
