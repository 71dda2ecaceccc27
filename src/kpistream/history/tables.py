"""Tables: the columns of the tables in ClickHouse, as the writer fills them.

Measure columns follow core/measures.py: one for each scalar, one map for each family (member -> sum).
The DDL files say the same for ClickHouse; a test holds the two together. Times are DateTime64(3, 'UTC')
and handed over as epoch ms.
"""

from typing import Final

from kpistream.core import measures as m
from kpistream.core.currencies import NUMERIC
from kpistream.core.fields import CallFields, DealFields, SurveyFields

PANES: Final = "kpi_panes"
FACTS: Final = "kpi_facts"
ALERTS: Final = "kpi_alerts"
RESULTS: Final = "kpi_results"
ROSTER: Final = "kpi_roster"
SETTINGS: Final = "kpi_settings"
TARGETS: Final = "kpi_targets"
SCHEMA_VERSIONS: Final = "kpi_schema_versions"

INSTANT: Final = "DateTime64(3, 'UTC')"
NAME: Final = "LowCardinality(String)"
_WIDE: Final = frozenset({"talk_sq_ms2", "csat_score_sq_milli2"})
"""Sums of squares: a year of them may leave 64 bits."""

SCALAR_COLUMNS: Final[dict[str, str]] = {each.name: "Int128" if each.name in _WIDE else "Int64" for each in m.SCALARS}
FAMILY_COLUMNS: Final[dict[str, str]] = {
    each.name: f"Map(LowCardinality(String), {'Int128' if each.name in _WIDE else 'Int64'})" for each in m.FAMILIES
}
MEASURE_COLUMNS: Final[dict[str, str]] = {**SCALAR_COLUMNS, **FAMILY_COLUMNS}
_FIRST: Final = {each.name: each.first for each in m.FAMILIES}
_EDGES: Final = {
    m.TALK_BIN: m.TALK_EDGES_MS,
    m.ANSWERED_WAIT_BIN: m.WAIT_EDGES_MS,
    m.ABANDONED_WAIT_BIN: m.WAIT_EDGES_MS,
}

PANE_COLUMNS: Final[dict[str, str]] = {
    "tenant": NAME,
    "scope": "String",
    "start": INSTANT,
    "pane_ms": "UInt32",
    **MEASURE_COLUMNS,
    "version": "UInt128",
}

_CALL: Final = (CallFields,)
_DEAL: Final = (DealFields,)
_SURVEY: Final = (SurveyFields,)
_EVENT: Final = (CallFields, DealFields, SurveyFields)

FactField = tuple[str, str, str, tuple[type, ...]]
FACT_FIELDS: Final[tuple[FactField, ...]] = (
    ("agent_id", "Nullable(String)", "agent_id", _EVENT),
    ("queue", "LowCardinality(Nullable(String))", "queue", _EVENT),
    ("campaign", "LowCardinality(Nullable(String))", "campaign", _EVENT),
    ("customer_id", "Nullable(String)", "customer_id", _EVENT),
    ("call_id", "Nullable(String)", "call_id", _EVENT),
    ("direction", "LowCardinality(Nullable(String))", "direction", _CALL),
    ("started_at", f"Nullable({INSTANT})", "started_at", _CALL),
    ("answered_at", f"Nullable({INSTANT})", "answered_at", _CALL),
    ("ended_at", f"Nullable({INSTANT})", "ended_at", _CALL),
    ("reported_queue_wait_ms", "Nullable(Int64)", "queue_wait_ms", _CALL),
    ("reported_ring_ms", "Nullable(Int64)", "ring_ms", _CALL),
    ("reported_talk_ms", "Nullable(Int64)", "talk_ms", _CALL),
    ("reported_hold_ms", "Nullable(Int64)", "hold_ms", _CALL),
    ("reported_wrap_up_ms", "Nullable(Int64)", "wrap_up_ms", _CALL),
    ("outcome", "LowCardinality(Nullable(String))", "outcome", (CallFields, DealFields)),
    ("answered_by", "LowCardinality(Nullable(String))", "answered_by", _CALL),
    ("disposition", "LowCardinality(Nullable(String))", "disposition", _CALL),
    ("follow_up_of", "Nullable(String)", "follow_up_of", _CALL),
    ("follow_up_due_at", f"Nullable({INSTANT})", "follow_up_due_at", _CALL),
    ("next_follow_up_at", f"Nullable({INSTANT})", "next_follow_up_at", _CALL),
    ("transfer_leg", "Nullable(UInt8)", "transfer_leg", _CALL),
    ("amount_minor", "Nullable(Int64)", "amount_minor", _DEAL),
    ("currency", "LowCardinality(Nullable(String))", "currency", _DEAL),
    ("customer_type", "LowCardinality(Nullable(String))", "customer_type", _DEAL),
    ("product", "LowCardinality(Nullable(String))", "product", _DEAL),
    ("closed_at", f"Nullable({INSTANT})", "closed_at", _DEAL),
    ("survey_kind", "LowCardinality(Nullable(String))", "kind", _SURVEY),
    ("score_milli", "Nullable(Int64)", "score_milli", _SURVEY),
    ("scale_min", "Nullable(UInt8)", "scale_min", _SURVEY),
    ("scale_max", "Nullable(UInt8)", "scale_max", _SURVEY),
    ("completed_at", f"Nullable({INSTANT})", "completed_at", _SURVEY),
)
"""Fields of the event: column, type, attribute, the kinds of event that have it. NULL where absent. What a
call reports about its durations is `reported_*`; the measure of the same name is what was counted."""

FACT_HEAD: Final[dict[str, str]] = {
    "tenant": NAME,
    "scope": "String",
    "start": INSTANT,
    "source": NAME,
    "kind": NAME,
    "event_id": "String",
    "rank": "UInt128",
    "revision": "UInt64",
    "retracted": "UInt8",
    "occurred_at": INSTANT,
    "pane_ms": "UInt32",
}
FACT_MOVED_FROM: Final[dict[str, str]] = {
    "moved_from_agent_id": "Nullable(String)",
    "moved_from_queue": "Nullable(String)",
    "moved_from_campaign": "Nullable(String)",
    "moved_from_occurred_at": f"Nullable({INSTANT})",
}
FACT_TAIL: Final[dict[str, str]] = {
    "topic": NAME,
    "partition": "UInt32",
    "offset": "UInt64",
    "record_at": INSTANT,
}
FACT_COLUMNS: Final[dict[str, str]] = {
    **FACT_HEAD,
    **{column: type_ for column, type_, _, _ in FACT_FIELDS},
    "attributes": "Map(String, String)",
    **FACT_MOVED_FROM,
    **MEASURE_COLUMNS,
    **FACT_TAIL,
}


def measure_number(family: str, name: str) -> int:
    """Number of a family's member, as `measures.member` names it; raises KeyError when there is none."""
    first = _FIRST[family]
    if name in NUMERIC:
        return first + NUMERIC[name]
    low, is_scale, high = name.partition("-")
    if is_scale:
        return first + m.scale_code(int(low), int(high))
    return first + _EDGES[first].index(int(name))


def sums() -> str:
    """SQL that adds up all measures of many rows, in the order of `MEASURE_COLUMNS`."""
    scalars = [f"sum({name})" for name in SCALAR_COLUMNS]
    return ", ".join([*scalars, *(f"sumMap({name})" for name in FAMILY_COLUMNS)])


COORDINATES: Final = ("topic", "partition", "offset")
"""Columns that say where in the log a row was read."""
_INSTANTS: Final = ("at", "since", "slip_from", "told_at", "reached_from", "as_of", "window_from", "window_to")
_FIELDS: Final = {"contributors": "contributor_names", **{name: f"{name}_ms" for name in _INSTANTS}}


def field_of(column: str) -> str:
    """What a column of a transition or a result is called in the record."""
    return _FIELDS.get(column, column)


ALERT_COLUMNS: Final[dict[str, str]] = {
    "target": NAME,
    "tenant": NAME,
    "scope": "String",
    "sequence": "UInt64",
    "alert_id": "String",
    "from_state": NAME,
    "to_state": NAME,
    "at": INSTANT,
    "reason": NAME,
    "kpi": NAME,
    "window": NAME,
    "window_from": INSTANT,
    "window_to": INSTANT,
    "direction": NAME,
    "low": "Nullable(Float64)",
    "high": "Nullable(Float64)",
    "value": "Nullable(Float64)",
    "numerator": "Nullable(Int64)",
    "denominator": "Nullable(Int64)",
    "before": NAME,
    "team": "LowCardinality(Nullable(String))",
    "display_name": "Nullable(String)",
    "owner": "LowCardinality(Nullable(String))",
    "against": "Nullable(Float64)",
    "alpha": "Nullable(Float64)",
    "expected": "Nullable(Float64)",
    "basis": "LowCardinality(Nullable(String))",
    "severity": NAME,
    "since": f"Nullable({INSTANT})",
    "slip_from": f"Nullable({INSTANT})",
    "bound_from": "Nullable(String)",
    "hidden": "Nullable(UInt32)",
    "sources": "Array(LowCardinality(String))",
    "corrects": "Nullable(UInt64)",
    "told_at": f"Nullable({INSTANT})",
    "told_value": "Nullable(Float64)",
    "told_numerator": "Nullable(Int64)",
    "told_denominator": "Nullable(Int64)",
    "reached_from": f"Nullable({INSTANT})",
    "contributors": "Array(String)",
    "topic": NAME,
    "partition": "UInt32",
    "offset": "UInt64",
    "precedence": "UInt64",
}
"""Columns of a transition. `precedence` falls with the offset: the first record of a sequence stands."""

RESULT_COLUMNS: Final[dict[str, str]] = {
    "result_id": "String",
    "target": NAME,
    "tenant": NAME,
    "scope": "String",
    "window": NAME,
    "window_from": INSTANT,
    "window_to": INSTANT,
    "as_of": INSTANT,
    "outcome": NAME,
    "severity": NAME,
    "reason": NAME,
    "kpi": NAME,
    "direction": NAME,
    "low": "Nullable(Float64)",
    "high": "Nullable(Float64)",
    "value": "Nullable(Float64)",
    "numerator": "Nullable(Int64)",
    "denominator": "Nullable(Int64)",
    "basis": "LowCardinality(Nullable(String))",
    "bound_from": "Nullable(String)",
    "team": "LowCardinality(Nullable(String))",
    "display_name": "Nullable(String)",
    "owner": "LowCardinality(Nullable(String))",
    "topic": NAME,
    "partition": "UInt32",
    "offset": "UInt64",
}
"""Columns of a result; the one with the greatest `as_of` stands."""

ROSTER_COLUMNS: Final[dict[str, str]] = {
    "version": "UInt64",
    "tenant": NAME,
    "agent_id": "String",
    "attribute": NAME,
    "source": NAME,
    "value": "String",
    "valid_from": f"Nullable({INSTANT})",
    "valid_to": f"Nullable({INSTANT})",
}
"""What a roster says about a person: `attribute` is active, name, team, tier, zone or alias (of `source`)."""

SETTINGS_COLUMNS: Final[dict[str, str]] = {
    "kept_in": NAME,
    "version": "UInt64",
    "sha256": "String",
    "applied_at": INSTANT,
    "applied_by": "String",
    "message": "String",
    "files": "Map(String, String)",
    "roster_version": "UInt64",
    "targets_version": "UInt64",
}
"""A version of the settings: of the `log`, or of a `directory` (then `version` is the ms at which a sink began)."""

TARGET_COLUMNS: Final[dict[str, str]] = {
    "version": "UInt64",
    "target": NAME,
    "kpi": NAME,
    "window": NAME,
    "direction": NAME,
    "low": "Nullable(Float64)",
    "high": "Nullable(Float64)",
    "scope": NAME,
    "tenant": "LowCardinality(Nullable(String))",
    "team": "LowCardinality(Nullable(String))",
    "owner": "Nullable(String)",
    "alpha": "Nullable(Float64)",
    "definition": "String",
}
"""What a version says of a target; `definition` is all of it, as JSON."""
