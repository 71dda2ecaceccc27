"""Dates in settings: from when to when something holds, read in the zone of its tenant.

A date is the start of its business day, and `to` is the first moment that no longer counts.
"""

from dataclasses import dataclass
from datetime import date

from kpistream.core.roster import ALWAYS_FROM_MS, ALWAYS_TO_MS
from kpistream.core.settings_values import moment_ms
from kpistream.core.windows import day_start_ms
from kpistream.core.yaml_nodes import Section


@dataclass(frozen=True, slots=True)
class Calendar:
    """How dates of a tenant are read."""

    zone: str
    day_starts_at_min: int

    def moment(self, text: str) -> int:
        """Epoch ms of a date or of a time with zone; raises ValueError."""
        return moment_ms(text, self.zone, self.day_starts_at_min)

    def start_ms(self, day: date) -> int:
        """Start of the business day of a date, epoch ms."""
        return day_start_ms(day, self.zone, self.day_starts_at_min)


def span(section: Section, calendar: Calendar) -> tuple[int, int] | None:
    """The `from` and `to` of a section, all of time when it has none; None, with a fault, when they contradict."""
    begin, end = section.read("from", calendar.moment), section.read("to", calendar.moment)
    if begin is not None and end is not None and end <= begin:
        section.fault("must be after from", "to")
        return None
    return (ALWAYS_FROM_MS if begin is None else begin, ALWAYS_TO_MS if end is None else end)
