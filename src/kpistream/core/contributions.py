"""Contributions: what one event adds to the sums of its pane.

A function of the event alone: no clock, no roster, no setting that can be reloaded. A change of any
rule here is a new `EPOCH`, because panes made under two rules must never be taken for one.
"""

from bisect import bisect_right
from typing import Final

from kpistream.core.currencies import NUMERIC
from kpistream.core.decoding import CallFields, DealFields, Fields, RetractedFields, SurveyFields
from kpistream.core.measures import (
    ABANDONED,
    ABANDONED_WAIT_BIN,
    ABANDONED_WAIT_KNOWN,
    ANSWERED_WAIT_BIN,
    ANSWERED_WAIT_KNOWN,
    ANSWERER_UNKNOWN,
    CALLS,
    CONNECTED,
    CSAT_ANSWERS,
    CSAT_RATED,
    CSAT_SATISFIED,
    CSAT_SCORE_MILLI,
    CSAT_SCORE_SQ_MILLI2,
    DEALS_CUSTOMER_KNOWN,
    DEALS_LOST,
    DEALS_REPEAT,
    DEALS_VOIDED,
    DEALS_WON,
    FIRST_LEGS,
    FOLLOW_UPS_DONE,
    FOLLOW_UPS_LATE,
    FOLLOW_UPS_ON_TIME,
    FOLLOW_UPS_PROMISED,
    HANDLE_MS,
    HOLD_MS,
    INBOUND_CALLS,
    INBOUND_CONNECTED,
    NPS_DETRACTORS,
    NPS_PROMOTERS,
    NPS_RATED,
    OUTBOUND_CALLS,
    OUTBOUND_CONNECTED,
    QUEUE_WAIT_MS,
    RING_MS,
    SURVEYS,
    TALK_BIN,
    TALK_EDGES_MS,
    TALK_MS,
    TALK_SQ_MS2,
    VOICEMAILS,
    WAIT_EDGES_MS,
    WON_DEALS,
    WON_MINOR,
    WRAP_UP_KNOWN,
    WRAP_UP_MS,
    Contribution,
    scale_code,
    wait_bin,
)

EPOCH: Final = 1
"""Number of the rules in this file, 1..65535; part of every rank."""

_TOP_BOX: Final = {3: 1, 5: 2, 7: 2, 10: 3}
"""Answers that count as satisfied, from the top, by the points of the scale."""
_NPS_PROMOTER_MILLI: Final = 9_000
_NPS_DETRACTOR_MILLI: Final = 6_000


def contribute(fields: Fields) -> Contribution:
    """What the event adds: measure numbers and values, zero values left out. A retraction adds nothing."""
    if isinstance(fields, CallFields):
        return _call(fields)
    if isinstance(fields, DealFields):
        return _deal(fields)
    if isinstance(fields, SurveyFields):
        return _survey(fields)
    assert isinstance(fields, RetractedFields)
    return ()


def talk_ms_of(call: CallFields) -> int:
    """Talk time of an answered call in ms: as reported, else answered to ended without hold."""
    if call.talk_ms is not None:
        return call.talk_ms
    if call.answered_at is None:
        return 0
    return max(0, call.ended_at - call.answered_at - (call.hold_ms or 0))


def _call(call: CallFields) -> Contribution:
    outbound = call.direction == "outbound"
    wait_ms = call.queue_wait_ms
    out = [CALLS, 1, OUTBOUND_CALLS if outbound else INBOUND_CALLS, 1]
    if call.transfer_leg == 0:
        out += (FIRST_LEGS, 1)
    ring_ms = call.ring_ms
    if ring_ms:
        out += (RING_MS, ring_ms)
    if wait_ms:
        out += (QUEUE_WAIT_MS, wait_ms)
    outcome = call.outcome
    if outcome == "connected":
        _connected(call, outbound, wait_ms, out)
    elif outcome == "voicemail":
        out += (VOICEMAILS, 1)
    elif outcome == "abandoned" and not outbound:
        out += (ABANDONED, 1)
        if wait_ms is not None:
            out += (ABANDONED_WAIT_KNOWN, 1, wait_bin(ABANDONED_WAIT_BIN, wait_ms), 1)
    if call.follow_up_of is not None:
        _follow_up(call, out)
    if call.next_follow_up_at is not None:
        out += (FOLLOW_UPS_PROMISED, 1)
    return tuple(out)


def _connected(call: CallFields, outbound: bool, wait_ms: int | None, out: list[int]) -> None:
    if outbound:
        answered_by = call.answered_by
        if answered_by is None or answered_by == "unknown":
            out += (CONNECTED, 1, OUTBOUND_CONNECTED, 1, ANSWERER_UNKNOWN, 1)
        else:
            out += (CONNECTED, 1, OUTBOUND_CONNECTED, 1)
    elif wait_ms is None:
        out += (CONNECTED, 1, INBOUND_CONNECTED, 1)
    else:
        answered_bin = ANSWERED_WAIT_BIN + bisect_right(WAIT_EDGES_MS, wait_ms) - 1
        out += (CONNECTED, 1, INBOUND_CONNECTED, 1, ANSWERED_WAIT_KNOWN, 1, answered_bin, 1)
    talk_ms = call.talk_ms
    if talk_ms is None:
        talk_ms = talk_ms_of(call)
    talk_bin = TALK_BIN + bisect_right(TALK_EDGES_MS, talk_ms) - 1
    if talk_ms:
        out += (talk_bin, 1, TALK_MS, talk_ms, TALK_SQ_MS2, talk_ms * talk_ms)
    else:
        out += (talk_bin, 1)
    hold_ms, wrap_up_ms = call.hold_ms or 0, call.wrap_up_ms
    if hold_ms:
        out += (HOLD_MS, hold_ms)
    if wrap_up_ms:
        out += (WRAP_UP_KNOWN, 1, WRAP_UP_MS, wrap_up_ms, HANDLE_MS, talk_ms + hold_ms + wrap_up_ms)
    elif wrap_up_ms is not None:
        out += (WRAP_UP_KNOWN, 1)
        if talk_ms + hold_ms:
            out += (HANDLE_MS, talk_ms + hold_ms)


def _follow_up(call: CallFields, out: list[int]) -> None:
    out += (FOLLOW_UPS_DONE, 1)
    if call.follow_up_due_at is not None:
        out += (FOLLOW_UPS_ON_TIME if call.started_at <= call.follow_up_due_at else FOLLOW_UPS_LATE, 1)


def _deal(deal: DealFields) -> Contribution:
    if deal.outcome == "voided":
        return (DEALS_VOIDED, 1)
    if deal.outcome == "lost":
        return (DEALS_LOST, 1)
    out = [DEALS_WON, 1]
    if deal.customer_type is not None:
        out += (DEALS_CUSTOMER_KNOWN, 1)
        if deal.customer_type == "repeat":
            out += (DEALS_REPEAT, 1)
    if deal.currency is not None:
        number = NUMERIC[deal.currency]
        out += (WON_DEALS + number, 1)
        if deal.amount_minor:
            out += (WON_MINOR + number, deal.amount_minor)
    return tuple(out)


def _survey(survey: SurveyFields) -> Contribution:
    out = [SURVEYS, 1]
    score = survey.score_milli
    if survey.kind == "nps":
        out += (NPS_RATED, 1)
        if score >= _NPS_PROMOTER_MILLI:
            out += (NPS_PROMOTERS, 1)
        elif score <= _NPS_DETRACTOR_MILLI:
            out += (NPS_DETRACTORS, 1)
    elif survey.kind == "csat":
        code = scale_code(survey.scale_min, survey.scale_max)
        out += (CSAT_ANSWERS + code, 1)
        if score:
            out += (CSAT_SCORE_MILLI + code, score, CSAT_SCORE_SQ_MILLI2 + code, score * score)
        top = _TOP_BOX.get(survey.scale_max - survey.scale_min + 1)
        if top is not None:
            out += (CSAT_RATED, 1)
            if score >= 1000 * (survey.scale_max - top + 1):
                out += (CSAT_SATISFIED, 1)
    return tuple(out)
