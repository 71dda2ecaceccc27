"""Errors, sorted by who must act.

`ConfigError` is for the operator, at start, with every problem at once. `EventRejected` is for the
producer: the record goes to dead letters with its reason. `SinkUnavailable` is for nobody yet: the
work is retried. `Stalled` is for the supervisor: the process ends and its successor reads again. A bug is an
`AssertionError` and stops the process.
"""

from enum import StrEnum


class Reason(StrEnum):
    """Why a record was not accepted: the closed list that dead letters, metrics and docs share."""

    NOT_JSON = "not-json"
    SCHEMA_REGISTRY_FRAMING = "schema-registry-framing"
    TOO_LARGE = "too-large"
    EMPTY = "empty"
    UNKNOWN_TYPE = "unknown-type"
    MISSING_FIELD = "missing-field"
    INVALID_FIELD = "invalid-field"
    NO_ZONE = "no-zone"
    SECONDS_NOT_MILLISECONDS = "seconds-not-milliseconds"
    TIME_OUT_OF_RANGE = "time-out-of-range"
    IN_THE_FUTURE = "in-the-future"
    ENDED_BEFORE_STARTED = "ended-before-started"
    CALL_TOO_LONG = "call-too-long"
    ANSWERED_OUTSIDE_CALL = "answered-outside-call"
    TALK_LONGER_THAN_CALL = "talk-longer-than-call"
    OUTCOME_CONTRADICTS = "outcome-contradicts"
    OCCURRED_AT_DIFFERS = "occurred-at-differs"
    SCORE_OUTSIDE_SCALE = "score-outside-scale"
    UNKNOWN_CURRENCY = "unknown-currency"
    NO_PLACE = "no-place"
    RESERVED = "reserved"
    CONFLICT = "conflict"
    MISROUTED = "misrouted"
    CLOSED = "closed"
    UNMAPPED = "unmapped"


class KpistreamError(Exception):
    """Base of the errors that kpistream raises on purpose."""


class ConfigError(KpistreamError):
    """The configuration, or what it points at, cannot be used. `faults` holds every problem found."""

    def __init__(self, faults: list[str] | str) -> None:
        self.faults: tuple[str, ...] = (faults,) if isinstance(faults, str) else tuple(faults)
        super().__init__("\n".join(self.faults))


class EventRejected(KpistreamError):
    """A record that the contract refuses. `reason` is from the closed list; `detail` says what was seen."""

    def __init__(self, reason: Reason, detail: str, hint: str = "") -> None:
        self.reason = reason
        self.detail = detail
        self.hint = hint
        super().__init__(f"{reason}: {detail}")


class SinkUnavailable(KpistreamError):
    """ClickHouse did not take or answer; the same work is tried again."""


class Stalled(KpistreamError):
    """Something did not come within its limit; the process must end without acknowledging."""

    def __init__(self, what: str, hint: str) -> None:
        self.what = what
        self.hint = hint
        super().__init__(f"{what}\nhint: {hint}")
