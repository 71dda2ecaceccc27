"""Transitions for the tests of telling people."""

from typing import Any

from kpistream.core.alerts import State, Transition, alert_id
from kpistream.core.alerts import Subject as Of
from kpistream.core.targets import Direction, Why

NOON_MS = 1_785_322_800_000
"""2026-07-29 11:00 UTC, 13:00 in Berlin."""
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS

_REASONS = {
    State.FIRING: Why.BELOW_BOUND,
    State.PENDING: Why.BELOW_BOUND,
    State.OK: Why.WITHIN_BOUND,
    State.RECOVERING: Why.WITHIN_BOUND,
    State.NO_DATA: Why.SOURCE_SILENT,
    State.SUSPENDED: Why.OFF_SHIFT,
}


def transition(sequence: int = 1, to: State = State.FIRING, **changed: Any) -> Transition:
    """A transition of Anna's connect share: 24 of 160 against 25 %."""
    subject = Of(changed.get("target", "connects"), changed.get("tenant", "acme"), changed.get("scope", "agent:anna"))
    values: dict[str, Any] = {
        "alert_id": alert_id(subject, sequence),
        "target": subject.target,
        "tenant": subject.tenant,
        "scope": subject.scope,
        "sequence": sequence,
        "from_state": State.OK if sequence == 1 else State.FIRING,
        "to_state": to,
        "at_ms": NOON_MS,
        "reason": _REASONS[to],
        "kpi": "connect_share",
        "window": "business-day",
        "window_from_ms": NOON_MS - 13 * HOUR_MS,
        "window_to_ms": NOON_MS + 11 * HOUR_MS,
        "direction": Direction.AT_LEAST,
        "low": 0.25,
        "high": None,
        "value": 0.15,
        "numerator": 24,
        "denominator": 160,
        "before": State.FIRING if to in (State.NO_DATA, State.SUSPENDED) else to,
        "team": "north",
        "display_name": "Anna Berg",
        "owner": "floor lead",
        "against": 6.6,
        "alpha": 0.01,
    }
    return Transition(**{**values, **changed})
