"""Sink settings: everything a sink is told."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kpistream.history.standing import StandingLimits
from kpistream.log.topics import Topics


@dataclass(frozen=True, slots=True)
class SinkSettings:
    """What a sink needs to know."""

    connection: Mapping[str, Any]
    """Arguments for aiokafka clients."""
    topics: Topics
    group: str
    partitions: int
    """Partitions of the events topic."""
    pane_ms: int
    batch_rows: int = 20_000
    """Rows that are written together at most, about."""
    batch_ms: int = 1000
    """Time between writes, in ms, when there are fewer rows."""
    backoff_ms: int = 200
    backoff_limit_ms: int = 30_000
    """Waiting before another try: anything between 0 and a bound that doubles up to this limit."""
    unavailable_after_s: float = 30.0
    """An outage of the store that lasts longer is an error in the log."""
    session_timeout_ms: int = 15_000
    marks_limit: int = 50_000
    """Marks of one partition that may wait for facts, about: 15 MB, and 5 s of recomputing."""
    watch_log: bool = False
    """Stop when topics are made again or grow; the embedded broker cannot tell."""
    limits: StandingLimits = StandingLimits()
