"""Watchdog: a thread that ends the process when it is alive but stuck.

It looks at the health of the process from outside the event loop, and ends it with code 70 and one line that
says what is stuck, where the main thread is, and what to do. Ending the process is safe at any moment: what
was not acknowledged is read again. A fault must be seen twice in a row: a process that was stopped as a whole
(SIGSTOP, a sleeping laptop) and goes on is not stuck.
"""

import logging
import os
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from kpistream.health import Fault, Health, Pulse

log = logging.getLogger(__name__)

EXIT_STUCK: Final = 70
LOOK_S: Final = 1.0
_WATCHDOG_HINT: Final = "its thread is gone: restart the process and report this"


def where(thread_id: int | None) -> str:
    """`file.py:12 function` of the line that a thread is at."""
    frame = sys._current_frames().get(thread_id or 0)
    if frame is None:
        return "gone"
    return f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno} {frame.f_code.co_name}"


@dataclass(slots=True)
class Watchdog:
    """Looks at the health of this process in a thread of its own."""

    health: Health
    look_s: float = LOOK_S
    end: Callable[[int], object] = os._exit
    log_limit_s: float = 5.0
    """How long the last line may take."""
    _stop: threading.Event = field(default_factory=threading.Event)
    _pulse: Pulse | None = None
    _main: int | None = None

    def start(self) -> None:
        """Begin to watch the thread that calls."""
        self._main = threading.get_ident()
        self._pulse = self.health.pulse("watchdog has not looked", _WATCHDOG_HINT, 30 * self.look_s)
        self._pulse.beat()
        threading.Thread(target=self._watch, name="watchdog", daemon=True).start()

    def stop(self) -> None:
        """Watch no longer."""
        self._stop.set()
        if self._pulse is not None:
            self._pulse.rest()

    def _watch(self) -> None:
        before: set[str] = set()
        while not self._stop.wait(self.look_s):
            faults = self.health.faults()
            again = [fault for fault in faults if fault.what in before]
            if again:
                self._say(again[0])
                self.end(EXIT_STUCK)
                return
            before = {fault.what for fault in faults}
            if self._pulse is not None:
                self._pulse.beat()

    def _say(self, fault: Fault) -> None:
        """Log in a thread of its own: a main thread that is stuck in writing its log holds the lock of the log."""
        text = "stuck role=%s fault=%r at=%r hint=%r"
        values = (self.health.role, str(fault), where(self._main), fault.hint)
        saying = threading.Thread(target=log.error, args=(text, *values), daemon=True)
        saying.start()
        saying.join(self.log_limit_s)
