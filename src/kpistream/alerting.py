"""Alerts of a running system, as they are in the log now, and what people say of them.

An alert is named by `target/tenant/scope`, or by the id of one of its transitions, which has a sequence behind that.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from kpistream.config import Config
from kpistream.core.acks import Ack, decode_ack, encode_ack, still_said
from kpistream.core.alerts import State, Subject, Transition, decode_transition
from kpistream.core.errands import subject_key
from kpistream.core.explanation import utc
from kpistream.errors import ConfigError
from kpistream.history.queries import Span, facts_of
from kpistream.history.store import Store
from kpistream.history.tables import FACT_COLUMNS, FACT_FIELDS, INSTANT
from kpistream.log import admin as log_admin
from kpistream.log.publisher import Publisher
from kpistream.log.records import Outgoing
from kpistream.log.tail import bounds, read_between, values_of
from kpistream.log.topics import Topics

_RESTING = (State.NO_DATA, State.SUSPENDED)


@dataclass(slots=True)
class Known:
    """One alert: its last transition, how it came there, and what people said."""

    last: Transition
    ack: Ack | None = None
    history: list[Transition] = field(default_factory=list)
    """Transitions that the log still holds, in order."""

    @property
    def subject(self) -> Subject:
        """What it is about."""
        return Subject(self.last.target, self.last.tenant, self.last.scope)

    @property
    def open(self) -> bool:
        """True while it is not over."""
        return self.last.to_state is not State.OK

    @property
    def fired(self) -> int:
        """Sequence with which it began to fire, the last time that it did; 0 when the log does not say."""
        sequence = 0
        was = State.OK
        for each in self.history:
            if each.to_state is State.FIRING and (not sequence or was not in (State.FIRING, State.RECOVERING)):
                sequence = each.sequence
            was = each.before if each.to_state in _RESTING else each.to_state
        return sequence

    @property
    def graver(self) -> int:
        """Sequence with which it became graver, or was missed in the next period, too; 0 when neither has happened."""
        both = [each for each in self.history if each.from_state is each.to_state is State.FIRING]
        return both[-1].sequence if both else 0

    def words(self, now_ms: int) -> str:
        """What people said of it, as far as it still holds; empty when nothing does."""
        return ", ".join(still_said(self.ack, self.fired or self.last.sequence, now_ms, self.graver))


class Named(NamedTuple):
    """What an id of the command line means."""

    known: Known
    sequence: int
    """Of the transition that it names, else of the last."""


async def alerts_of(config: Config) -> dict[str, Known]:
    """All alerts that the log holds, by subject. Raises ConfigError."""
    topics, connection = Topics(config.topic_prefix), config.connection()
    partitions = await _partitions(config)
    starts, ends = await bounds(connection, topics.alerts, partitions)
    out: dict[str, Known] = {}
    async for records in read_between(connection, topics.alerts, starts, ends):
        for record in records:
            transition = decode_transition(record.value)
            known = out.setdefault(subject_key(transition), Known(transition))
            if known.history and transition.sequence <= known.last.sequence:
                continue  # the first of a sequence stands
            known.last = transition
            known.history.append(transition)
    starts, ends = await bounds(connection, topics.alert_acks, 1)
    async for records in read_between(connection, topics.alert_acks, starts, ends):
        for record in records:
            if record.value:
                ack = decode_ack(record.value)
                if ack.key in out:
                    out[ack.key].ack = ack
    return out


async def _partitions(config: Config) -> int:
    topics = Topics(config.topic_prefix)
    admin = await log_admin.connect(config.connection())
    try:
        there = await log_admin.partition_counts(admin)
    finally:
        await admin.close()
    missing = [name for name in (topics.alerts, topics.alert_acks) if name not in there]
    if missing:
        raise ConfigError([f"topic {name!r} is missing (make it with `kpistream topics apply`)" for name in missing])
    return there[topics.alerts]


def named(alerts: dict[str, Known], text: str) -> Named:
    """The alert that an id means. Raises ConfigError when there is none."""
    if text in alerts:
        return Named(alerts[text], alerts[text].last.sequence)
    found = re.fullmatch(r"(.+)/(\d{1,18})", text, re.S)
    if found is None or found[1] not in alerts:
        raise ConfigError(f'alert "{text}" is not in the log\nhint: kpistream alerts list --all shows their ids')
    known, sequence = alerts[found[1]], int(found[2])
    if not 0 < sequence <= known.last.sequence:
        raise ConfigError(f'alert "{text}": the last sequence is {known.last.sequence}')
    return Named(known, sequence)


def with_events(found: Named) -> Transition:
    """The transition that an id means, or the last before it that names events. Raises ConfigError when none does."""
    for each in reversed(found.known.history):
        if each.sequence <= found.sequence and any(part.from_ms is not None for part in each.contributors):
            return each
    raise ConfigError(
        f'alert "{subject_key(found.known.last)}": no transition up to {found.sequence} names events\n'
        "hint: alerts of agents do when they begin; kpistream alerts show says what this one is about"
    )


def events_behind(store: Store, transition: Transition) -> list[dict[str, Any]]:
    """The facts of a transition's events as they stand now, in its order; what they do not say is left out."""
    starts = [part.from_ms for part in transition.contributors if part.from_ms is not None]
    span = Span(min(starts), max(starts) + 1, transition.tenant)
    facts = {
        f"{fact['tenant']}/{fact['source']}/{fact['kind']}/{fact['event_id']}": fact
        for fact in facts_of(store, transition.scope, span)
    }
    return [{"identity": name} | _said(facts[name]) for name in transition.contributor_names if name in facts]


def _said(fact: dict[str, Any]) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for column in ("revision", "occurred_at", *(column for column, *_ in FACT_FIELDS)):
        if fact[column] is not None:
            out[column] = utc(fact[column]) if INSTANT in FACT_COLUMNS[column] else fact[column]
    return out | ({"attributes": dict(fact["attributes"])} if fact["attributes"] else {})


async def say(config: Config, known: Known, change: Callable[[Ack | None], Ack]) -> Ack:
    """Write what somebody says of an alert; returns once it is durable. The newest word of all holds."""
    topics, key = Topics(config.topic_prefix), subject_key(known.last).encode("utf-8", "surrogatepass")
    held = await values_of(config.connection(), topics.alert_acks, key)
    ack = change(decode_ack(held[-1]) if held else None)
    publisher = Publisher(config.connection(), timeout_s=config.publish_timeout_s)
    await publisher.start()
    try:
        await publisher.publish(topics.alert_acks, 0, [Outgoing(key, encode_ack(ack))])
    finally:
        await publisher.stop()
    return ack
