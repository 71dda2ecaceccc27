"""Watchdog: a thread that ends the process when it is alive but stuck.

It looks at two things from outside the event loop: does the loop still turn, and does work that is there
get acknowledged. Ending the process is safe at any moment: nothing that was not acknowledged is lost.
"""

import logging
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

log = logging.getLogger(__name__)

EXIT_STUCK = 70


@dataclass(slots=True)
class Pulse:
    """What the watched process reports; written by the event loop, read by the watchdog."""

    beat_s: float
    """When the event loop turned last."""
    progress_s: Callable[[], float]
    """When work was acknowledged, or there was none, last."""


def stuck(pulse: Pulse, now_s: float, limit_s: float) -> str | None:
    """What is stuck for longer than `limit_s`, None when nothing is."""
    if now_s - pulse.beat_s > limit_s:
        return f"event loop blocked for {now_s - pulse.beat_s:.0f} s"
    if now_s - pulse.progress_s() > limit_s:
        return f"no progress for {now_s - pulse.progress_s():.0f} s although records wait"
    return None


@dataclass(slots=True)
class Watchdog:
    """Checks a pulse in a thread of its own."""

    pulse: Pulse
    steady_s: Callable[[], float]
    limit_s: float
    end: Callable[[int], None] = os._exit
    _stop: threading.Event = field(default_factory=threading.Event)

    def start(self) -> None:
        """Begin to watch."""
        threading.Thread(target=self._watch, name="watchdog", daemon=True).start()

    def stop(self) -> None:
        """Watch no longer."""
        self._stop.set()

    def _watch(self) -> None:
        while not self._stop.wait(min(5.0, self.limit_s / 4)):
            fault = stuck(self.pulse, self.steady_s(), self.limit_s)
            if fault is not None:
                log.error("stuck fault=%r action=%r", fault, "ending the process; the supervisor restarts it")
                self.end(EXIT_STUCK)
