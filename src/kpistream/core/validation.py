"""Validation: lines of JSON, each judged as if it were a record of `kpi.events`.

A function of the lines: nothing is sent, no clock is read. A line has no timestamp of a broker, so only
events after the caller's `timestamp_ms` are called future. What only the system writes is refused.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from kpistream.core.events import Retracted
from kpistream.core.explaining import check, read, unknown_names
from kpistream.errors import EventRejected, Reason


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the contract says about one line."""

    line: int
    """Number of the line, from 1."""
    accepted: bool
    reason: Reason | None = None
    detail: str = ""
    hint: str = ""
    unknown_fields: tuple[str, ...] = ()
    """Fields outside the contract; the event is accepted without them."""


def validate_lines(lines: Iterable[bytes], timestamp_ms: int | None = None) -> Iterator[Verdict]:
    """A verdict for each line that is not blank, in order.

    `timestamp_ms`: what counts as the records' timestamp; None leaves the future unchecked.
    """
    for number, line in enumerate(lines, 1):
        value = line.strip(b" \t\r\n")
        if value:
            yield _verdict(number, value, timestamp_ms)


def _verdict(number: int, value: bytes, timestamp_ms: int | None) -> Verdict:
    try:
        content = read(value)
        unknown = unknown_names(content)
        event = check(content, timestamp_ms)
        if isinstance(event, Retracted):
            raise reserved()
    except EventRejected as rejected:
        return Verdict(number, False, rejected.reason, rejected.detail, rejected.hint)
    return Verdict(number, True, unknown_fields=unknown)


def reserved() -> EventRejected:
    """Refusal of an event that only the system may write."""
    return EventRejected(
        Reason.RESERVED,
        'type "retracted" is written by the system only',
        "to take back a deal send it again with a higher revision and outcome voided",
    )
