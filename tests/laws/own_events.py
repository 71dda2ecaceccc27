"""Hypothesis strategies of the laws of own measures: events that the contract accepts, and predicates about them."""

import json
from typing import Any, Final

from hypothesis import strategies as st

from kpistream.core.decoding import Fields, decode
from kpistream.core.event_fields import FIELDS, Field, Type
from kpistream.core.event_predicates import AT_LEAST, BELOW, EMPTY, IN, NOT, Condition, Predicate
from kpistream.core.own_measures import OwnMeasure

NOON_MS: Final = 1_772_625_600_000
"""2026-03-04T12:00:00Z, also the timestamp of all records."""
PANE_MS: Final = 300_000
WORDS: Final = ("", "demo", "no interest", "Zoë")
_said = st.sampled_from([None, *WORDS[1:]])
_lengths = st.sampled_from([None, 0, 1, 999, 1000, 60_000, 90_000])
AGENTS: Final = ("ann", "bob")


@st.composite
def calls(draw: st.DrawFn) -> dict[str, Any]:
    """A call leg of up to ten minutes, with or without everything that may be absent."""
    ended_ms = NOON_MS - draw(st.sampled_from([0, 1, PANE_MS, 2 * PANE_MS]))
    length_ms = draw(st.sampled_from([0, 1000, 200_000, 600_000]))
    outcome = draw(st.sampled_from(FIELDS["call"]["outcome"].choices))
    answered = outcome == "connected" or (outcome == "voicemail" and draw(st.booleans()))
    due_ms = draw(st.sampled_from([None, ended_ms - length_ms - 1, ended_ms]))
    held_ms, talk_ms = draw(st.sampled_from([None, 0, 400])), draw(st.sampled_from([None, 0, 500]))
    follows = draw(st.booleans())
    return {
        "type": "call.ended",
        "direction": draw(st.sampled_from(["inbound", "outbound"])),
        "outcome": outcome,
        "started_at": ended_ms - length_ms,
        "ended_at": ended_ms,
        "answered_at": ended_ms - length_ms // 2 if answered else None,
        "answered_by": draw(st.sampled_from([None, "unknown"])) if outcome != "voicemail" else None,
        "talk_ms": talk_ms if answered else None,
        "hold_ms": held_ms if answered else None,
        "wrap_up_ms": draw(_lengths) if answered else None,
        "ring_ms": draw(_lengths),
        "queue_wait_ms": draw(_lengths),
        "disposition": draw(_said),
        "follow_up_of": "c-0" if follows else None,
        "follow_up_due_at": due_ms if follows else None,
        "next_follow_up_at": draw(st.sampled_from([None, ended_ms + 86_400_000])),
        "transfer_leg": draw(st.sampled_from([0, 1, 2])),
    }


@st.composite
def deals(draw: st.DrawFn) -> dict[str, Any]:
    """A deal, won, lost or taken back."""
    won = draw(st.booleans())
    return {
        "type": "deal.closed",
        "outcome": "won" if won else draw(st.sampled_from(["lost", "voided"])),
        "amount_minor": draw(st.sampled_from([0, 1, 125_000, 10**13])) if won else None,
        "currency": draw(st.sampled_from(["EUR", "JPY"])) if won else None,
        "customer_type": draw(st.sampled_from([None, "new", "repeat"])),
        "product": draw(_said),
        "closed_at": NOON_MS - draw(st.sampled_from([0, PANE_MS])),
    }


@st.composite
def surveys(draw: st.DrawFn) -> dict[str, Any]:
    """An answer on a scale of its kind."""
    kind = draw(st.sampled_from(["csat", "nps", "ces", "other"]))
    low, high = (0, 10) if kind == "nps" else draw(st.sampled_from([(1, 5), (0, 10), (1, 7)]))
    score = draw(st.integers(low, high)) + (draw(st.sampled_from([0, 0.5])) if kind != "nps" else 0)
    return {
        "type": "survey.completed",
        "kind": kind,
        "score": min(score, high),
        "scale_min": low,
        "scale_max": high,
        "completed_at": NOON_MS - draw(st.sampled_from([0, PANE_MS])),
    }


@st.composite
def contents(draw: st.DrawFn) -> dict[str, Any]:
    """An event with an envelope; identities are few, so that some are corrections, moves and conflicts of others."""
    content = draw(st.one_of(calls(), deals(), surveys()))
    return content | {
        "tenant": "acme",
        "source": draw(st.sampled_from(["pbx", "crm"])),
        "event_id": draw(st.sampled_from("12345")),
        "revision": draw(st.sampled_from([0, 0, 1, 2])),
        "agent_id": draw(st.sampled_from(AGENTS)),
        "queue": draw(_said),
        "campaign": draw(_said),
        "customer_id": draw(_said),
        "call_id": draw(_said),
        "attributes": draw(st.sampled_from([None, {}, {"region": "west"}, {"region": ""}, {"other": "west"}])),
    }


def value_of(content: dict[str, Any]) -> bytes:
    """The record's value: what is absent is left out."""
    return json.dumps({name: each for name, each in content.items() if each is not None}).encode()


def decoded(content: dict[str, Any]) -> Fields:
    """The event as the hot path knows it."""
    return decode(value_of(content), NOON_MS)


@st.composite
def conditions(draw: st.DrawFn, field: Field) -> Condition:
    """Something that may be asked of a field."""
    if field.type is Type.INSTANT or draw(st.integers(0, 5)) == 0:
        return Condition(field.attribute, EMPTY, (draw(st.sampled_from(["yes", "no"])),))
    if field.type is Type.NUMBER:
        edge = draw(st.sampled_from([0, 1, 2, 400, 500, 999, 1000, 1001, 60_000, 90_000, 125_000]))
        return Condition(field.attribute, draw(st.sampled_from([AT_LEAST, BELOW])), (), edge)
    allowed = (*field.choices, "") if field.choices else (*WORDS, "west", "pbx", "ann", "1", "EUR")
    texts = draw(st.sets(st.sampled_from(allowed), min_size=1, max_size=3))
    return Condition(field.attribute, draw(st.sampled_from([IN, NOT])), tuple(sorted(texts)))


@st.composite
def predicates(draw: st.DrawFn, of: str | None = None) -> Predicate:
    """Any predicate that settings can say."""
    kind = of or draw(st.sampled_from(list(FIELDS)))
    fields = [*FIELDS[kind].values(), Field("attributes.region", Type.TEXT, optional=True)]
    condition = st.sampled_from(fields).flatmap(conditions)
    groups = draw(st.lists(st.lists(condition, max_size=3).map(tuple), min_size=1, max_size=2))
    return Predicate(kind, tuple(groups))


@st.composite
def own_measures(draw: st.DrawFn, name: str = "mine") -> OwnMeasure:
    """Any measure, counting or adding."""
    predicate = draw(predicates())
    sizes = [each.attribute for each in FIELDS[predicate.of].values() if each.type is Type.NUMBER and each.unit]
    return OwnMeasure(name, predicate, draw(st.sampled_from(["", *sizes])), "", "")
