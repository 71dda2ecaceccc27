"""Contributions: what one event adds to the sums of its pane.

A function of the event alone: no clock, no roster, no setting that can be reloaded. A change of any
rule here is a new `EPOCH`, because panes made under two rules must never be taken for one.
"""

from typing import Final

from kpistream.core import measures as m
from kpistream.core.currencies import NUMERIC
from kpistream.core.decoding import CallFields, DealFields, Fields, RetractedFields, SurveyFields
from kpistream.core.measures import Contribution

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
    out = [m.CALLS, 1, m.OUTBOUND_CALLS if outbound else m.INBOUND_CALLS, 1]
    if call.transfer_leg == 0:
        out += (m.FIRST_LEGS, 1)
    if call.ring_ms:
        out += (m.RING_MS, call.ring_ms)
    if call.queue_wait_ms:
        out += (m.QUEUE_WAIT_MS, call.queue_wait_ms)
    outcome = call.outcome
    if outcome == "connected":
        _connected(call, outbound, out)
    elif outcome == "voicemail":
        out += (m.VOICEMAILS, 1)
    elif outcome == "abandoned" and not outbound:
        out += (m.ABANDONED, 1)
        if call.queue_wait_ms is not None:
            out += (m.ABANDONED_WAIT_KNOWN, 1, m.wait_bin(m.ABANDONED_WAIT_BIN, call.queue_wait_ms), 1)
    if call.follow_up_of is not None:
        _follow_up(call, out)
    if call.next_follow_up_at is not None:
        out += (m.FOLLOW_UPS_PROMISED, 1)
    return tuple(out)


def _connected(call: CallFields, outbound: bool, out: list[int]) -> None:
    out += (m.CONNECTED, 1)
    if outbound:
        out += (m.OUTBOUND_CONNECTED, 1)
        if call.answered_by is None or call.answered_by == "unknown":
            out += (m.ANSWERER_UNKNOWN, 1)
    else:
        out += (m.INBOUND_CONNECTED, 1)
        if call.queue_wait_ms is not None:
            out += (m.ANSWERED_WAIT_KNOWN, 1, m.wait_bin(m.ANSWERED_WAIT_BIN, call.queue_wait_ms), 1)
    talk = talk_ms_of(call)
    out += (m.talk_bin(talk), 1)
    if talk:
        out += (m.TALK_MS, talk, m.TALK_SQ_MS2, talk * talk)
    hold = call.hold_ms or 0
    if hold:
        out += (m.HOLD_MS, hold)
    wrap_up = call.wrap_up_ms
    if wrap_up is not None:
        out += (m.WRAP_UP_KNOWN, 1)
        if wrap_up:
            out += (m.WRAP_UP_MS, wrap_up)
        if talk + hold + wrap_up:
            out += (m.HANDLE_MS, talk + hold + wrap_up)


def _follow_up(call: CallFields, out: list[int]) -> None:
    out += (m.FOLLOW_UPS_DONE, 1)
    if call.follow_up_due_at is not None:
        out += (m.FOLLOW_UPS_ON_TIME if call.started_at <= call.follow_up_due_at else m.FOLLOW_UPS_LATE, 1)


def _deal(deal: DealFields) -> Contribution:
    if deal.outcome == "voided":
        return (m.DEALS_VOIDED, 1)
    if deal.outcome == "lost":
        return (m.DEALS_LOST, 1)
    out = [m.DEALS_WON, 1]
    if deal.customer_type is not None:
        out += (m.DEALS_CUSTOMER_KNOWN, 1)
        if deal.customer_type == "repeat":
            out += (m.DEALS_REPEAT, 1)
    if deal.currency is not None:
        number = NUMERIC[deal.currency]
        out += (m.WON_DEALS + number, 1)
        if deal.amount_minor:
            out += (m.WON_MINOR + number, deal.amount_minor)
    return tuple(out)


def _survey(survey: SurveyFields) -> Contribution:
    out = [m.SURVEYS, 1]
    score = survey.score_milli
    if survey.kind == "nps":
        out += (m.NPS_RATED, 1)
        if score >= _NPS_PROMOTER_MILLI:
            out += (m.NPS_PROMOTERS, 1)
        elif score <= _NPS_DETRACTOR_MILLI:
            out += (m.NPS_DETRACTORS, 1)
    elif survey.kind == "csat":
        code = m.scale_code(survey.scale_min, survey.scale_max)
        out += (m.CSAT_ANSWERS + code, 1)
        if score:
            out += (m.CSAT_SCORE_MILLI + code, score, m.CSAT_SCORE_SQ_MILLI2 + code, score * score)
        top = _TOP_BOX.get(survey.scale_max - survey.scale_min + 1)
        if top is not None:
            out += (m.CSAT_RATED, 1)
            if score >= 1000 * (survey.scale_max - top + 1):
                out += (m.CSAT_SATISFIED, 1)
    return tuple(out)
