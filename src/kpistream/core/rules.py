"""Rules: contradictions between the fields of one event, as integers.

`broken` explains the first rule that an event breaks, in a fixed order; it takes models and decoded
structs alike. The decoder has a fast form of the same rules that only ever says yes; what it does not
wave through is explained here.
"""

from typing import Any, Final

from kpistream.errors import Reason

Fault = tuple[Reason, str, str]
"""Reason, detail and hint."""

SCALE_END: Final = 100
"""Survey scales lie within 0..100."""
MAX_CALL_MS: Final = 7 * 86_400_000
ROUNDING_MS: Final = 1000
"""Sources that count whole seconds may report talk + hold up to this much above answered to ended."""
NPS_SCALE: Final = (0, 10)


def score_milli(score: float) -> int | None:
    """Thousandths of a score, None when it has more than 3 decimals. Needs a finite score of sane size."""
    milli = round(score * 1000)
    return milli if milli / 1000 == score else None


def no_place(event: Any) -> Fault | None:
    """An event counts for an agent, else for a queue, else for a campaign."""
    if event.agent_id is None and event.queue is None and event.campaign is None:
        return Reason.NO_PLACE, "agent_id, queue and campaign are all missing", "send one of them"
    return None


def broken(event: Any) -> Fault | None:
    """The first rule that the event breaks, None when all hold. `event` is a model or has its fields."""
    return no_place(event) or _BY_TYPE[event.type](event)


def _call(call: Any) -> Fault | None:
    return _call_times(call) or _call_talk(call) or _call_outcome(call) or _call_follow_up(call)


def _call_times(call: Any) -> Fault | None:
    length_ms = call.ended_at - call.started_at
    if length_ms < 0:
        return Reason.ENDED_BEFORE_STARTED, f"ended_at is {-length_ms} ms before started_at", ""
    if length_ms > MAX_CALL_MS:
        return Reason.CALL_TOO_LONG, f"the call lasts {length_ms} ms, the limit is {MAX_CALL_MS} ms", ""
    answered = call.answered_at
    if answered is not None and not call.started_at <= answered <= call.ended_at:
        where = "before started_at" if answered < call.started_at else "after ended_at"
        away_ms = max(call.started_at - answered, answered - call.ended_at)
        return Reason.ANSWERED_OUTSIDE_CALL, f"answered_at is {away_ms} ms {where}", ""
    return None


def _call_talk(call: Any) -> Fault | None:
    if call.answered_at is None:
        return None
    used_ms = (call.talk_ms or 0) + (call.hold_ms or 0)
    room_ms = call.ended_at - call.answered_at
    if used_ms > room_ms + ROUNDING_MS:
        detail = f"talk_ms + hold_ms is {used_ms} ms, answered to ended is {room_ms} ms"
        return Reason.TALK_LONGER_THAN_CALL, detail, "talk_ms excludes hold, ring and wrap-up"
    return None


def _call_outcome(call: Any) -> Fault | None:
    outcome, why = call.outcome, ""
    if outcome == "connected" and call.answered_at is None:
        why = 'outcome "connected" needs answered_at'
    elif outcome == "connected" and call.answered_by == "machine":
        why = 'outcome "connected" with answered_by "machine"'
    elif outcome == "abandoned" and call.answered_at is not None:
        why = 'outcome "abandoned" with answered_at'
    elif call.answered_at is None and call.talk_ms:
        why = f"talk_ms {call.talk_ms} without answered_at"
    hint = 'a machine that answered is outcome "voicemail"' if call.answered_by == "machine" else ""
    return (Reason.OUTCOME_CONTRADICTS, why, hint) if why else None


def _call_follow_up(call: Any) -> Fault | None:
    if call.follow_up_due_at is not None and call.follow_up_of is None:
        return Reason.MISSING_FIELD, "follow_up_of: missing, follow_up_due_at is given", ""
    return None


def _deal(deal: Any) -> Fault | None:
    if deal.amount_minor is None and deal.currency is not None:
        return Reason.MISSING_FIELD, "amount_minor: missing, currency is given", ""
    if deal.currency is None and deal.amount_minor is not None:
        return Reason.MISSING_FIELD, "currency: missing, amount_minor is given", ""
    if deal.outcome == "won" and deal.amount_minor is None:
        return Reason.MISSING_FIELD, 'amount_minor: missing, outcome "won" needs amount_minor and currency', ""
    return None


def _survey(survey: Any) -> Fault | None:
    low, high, score = survey.scale_min, survey.scale_max, survey.score
    if low >= high:
        return Reason.INVALID_FIELD, f"scale_min {low} is not below scale_max {high}", ""
    if not low <= score <= high:
        return Reason.SCORE_OUTSIDE_SCALE, f"score {score!r} is outside {low} to {high}", ""
    if survey.kind == "nps" and (low, high) != NPS_SCALE:
        return Reason.SCORE_OUTSIDE_SCALE, f'kind "nps" with scale {low} to {high}, it must be 0 to 10', ""
    if survey.kind == "nps" and score != int(score):
        return Reason.SCORE_OUTSIDE_SCALE, f'kind "nps" with score {score!r}, it must be whole', ""
    return None


_BY_TYPE: Final = {"call.ended": _call, "deal.closed": _deal, "survey.completed": _survey}

_PLACED: Final = (Reason.NO_PLACE, "agent_id, queue or campaign is given")
_FUTURE: Final = "at most 5 minutes after the timestamp of the record"
WORDS: Final[dict[str, tuple[tuple[Reason, str], ...]]] = {
    "call.ended": (
        _PLACED,
        (Reason.ENDED_BEFORE_STARTED, "started_at <= ended_at"),
        (Reason.CALL_TOO_LONG, "ended_at - started_at is at most 7 days"),
        (Reason.ANSWERED_OUTSIDE_CALL, "started_at <= answered_at <= ended_at"),
        (Reason.TALK_LONGER_THAN_CALL, "talk_ms + hold_ms <= ended_at - answered_at + 1000 ms (whole seconds round)"),
        (Reason.OUTCOME_CONTRADICTS, "outcome connected needs answered_at, and answered_by is not machine"),
        (Reason.OUTCOME_CONTRADICTS, "outcome abandoned has no answered_at"),
        (Reason.OUTCOME_CONTRADICTS, "talk_ms above 0 needs answered_at"),
        (Reason.MISSING_FIELD, "follow_up_due_at needs follow_up_of"),
        (Reason.OCCURRED_AT_DIFFERS, "occurred_at, if given, equals ended_at"),
        (Reason.IN_THE_FUTURE, f"ended_at is {_FUTURE}"),
    ),
    "deal.closed": (
        _PLACED,
        (Reason.MISSING_FIELD, "amount_minor and currency come together"),
        (Reason.MISSING_FIELD, "outcome won needs amount_minor and currency"),
        (Reason.OCCURRED_AT_DIFFERS, "occurred_at, if given, equals closed_at"),
        (Reason.IN_THE_FUTURE, f"closed_at is {_FUTURE}"),
    ),
    "survey.completed": (
        _PLACED,
        (Reason.INVALID_FIELD, "scale_min < scale_max"),
        (Reason.SCORE_OUTSIDE_SCALE, "scale_min <= score <= scale_max"),
        (Reason.SCORE_OUTSIDE_SCALE, "kind nps has the scale 0 to 10 and a whole score"),
        (Reason.OCCURRED_AT_DIFFERS, "occurred_at, if given, equals completed_at"),
        (Reason.IN_THE_FUTURE, f"completed_at is {_FUTURE}"),
    ),
    "retracted": (),
}
"""The rules between fields in words, by type, for schemas and pages."""
