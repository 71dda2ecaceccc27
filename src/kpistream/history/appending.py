"""Appending: topics of which each record becomes a row of its own, and nothing is joined: transitions and results."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from kpistream.core.alerts import decode_transition
from kpistream.core.results import decode_result
from kpistream.history.store import Insert
from kpistream.history.writer import Appended, alert_insert, result_insert
from kpistream.log.topics import Topics


class Append(NamedTuple):
    """How a record is read, and how rows are made of many."""

    decode: Callable[[bytes], Any]
    """Raises `msgspec.MsgspecError` for what does not belong on the topic."""
    insert: Callable[[Sequence[Appended]], Insert]


def appends(topics: Topics) -> dict[str, Append]:
    """By topic."""
    return {
        topics.alerts: Append(decode_transition, alert_insert),
        topics.results: Append(decode_result, result_insert),
    }
