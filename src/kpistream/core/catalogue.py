"""Catalogue: every KPI as data, with its formula, unit, direction, definition in words and source.

A formula adds and subtracts measures; `talk_bin[< too_short_ms]` is the part of a histogram below a
limit. Nothing is computed here: `kpis.py` evaluates. One concept has one name, everywhere.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Better(StrEnum):
    """The direction in which a KPI is good."""

    HIGHER = "higher"
    LOWER = "lower"
    BAND = "band"
    """Neither too low nor too high, or a size that is neither good nor bad."""


class Cases(StrEnum):
    """What one case of the denominator adds to the numerator: how evidence against a target is weighed."""

    NONE = "none"
    """There is no denominator, or it counts something else than cases of the numerator: no evidence by cases."""
    YES_OR_NO = "yes or no"
    """0 or 1: the numerator counts some of the denominator's cases."""
    VALUES = "values"
    """A value, whose sum of squares is known."""


@dataclass(frozen=True, slots=True)
class Kpi:
    """A number that people look at."""

    name: str
    numerator: str
    """Formula: measures added and subtracted; `talk_bin[< too_short_ms]` is a part of a histogram."""
    denominator: str | None
    unit: str
    better: Better
    words: str
    source: str
    per: str = ""
    """`currency` or `scale` for a KPI with one value for each, else empty."""
    times: int = 1
    """The quotient is multiplied by this: 100 for the NPS."""
    over: int = 1
    """and divided by this: 1000 where the sum is kept in thousandths."""
    cases: Cases = Cases.NONE
    squares: str = ""
    """Measure or family with the sum of squares, for a mean of values."""
    settles: bool = False
    """A case counts in the window in which the settle time after it ends. Live, of agents only."""
    doubt: str = ""
    """Measure of cases of which nobody knows whether they belong to the numerator: no target is missed for them."""
    form: str = ""
    """How the settings define it, one of `own_kpis.FORMS`; empty for a KPI of the catalogue."""
    numbers: tuple[tuple[str, int], ...] = ()
    """Measures of the formula that the catalogue does not have, with their numbers."""
    no_evidence: str = ""
    """Why no evidence is weighed for it, when that does not follow from the rest."""


_AMAZON: Final = "Amazon Connect Administrator Guide, Metrics definitions"
_GENESYS: Final = "Genesys Cloud Resource Center, Metric definitions"
_VICIDIAL: Final = "VICIdial, AST_team_performance_detail.php"
_FLEX: Final = "Twilio Flex, Service level preferences"
_FORMBRICKS: Final = "Formbricks, pull request 7128 (CSAT by scale)"
_OURS: Final = "kpistream"
SETTLED_CONVERSION: Final = "settled_conversion"
_INBOUND: Final = "inbound_calls - abandoned_wait_bin[< short_abandon_ms]"
_UP, _DOWN, _BAND = Better.HIGHER, Better.LOWER, Better.BAND

KPIS: Final[tuple[Kpi, ...]] = (
    Kpi(
        "calls",
        "calls",
        None,
        "calls",
        _UP,
        "Call legs of the agent, in and out, attempts included: a transferred call is one leg for each agent that "
        "had it.",
        _AMAZON,
    ),
    Kpi(
        "distinct_calls",
        "first_legs",
        None,
        "calls",
        _UP,
        "Calls, counted at their first leg: a transferred call is one call. For teams and tenants; a later leg "
        "belongs to the agent, the call does not.",
        _GENESYS,
    ),
    Kpi(
        "connected",
        "connected",
        None,
        "calls",
        _UP,
        "Calls answered by a person. Voicemail is not. A call of which nobody said whether a machine answered "
        "counts, and answerer_unknown_share says how many those are.",
        _VICIDIAL,
    ),
    Kpi(
        "connect_share",
        "outbound_connected",
        "outbound_calls",
        "share",
        _UP,
        "Outbound calls answered by a person, of all outbound call legs, busy and unanswered ones included.",
        "Sarv, Connect rate (answered of outbound calls), without voicemail",
        cases=Cases.YES_OR_NO,
    ),
    Kpi(
        "answerer_unknown_share",
        "answerer_unknown",
        "outbound_connected",
        "share",
        _DOWN,
        "Connected outbound calls of which nobody said whether a person or a machine answered. The higher, the "
        "less connect_share is worth.",
        _OURS,
        cases=Cases.YES_OR_NO,
    ),
    Kpi(
        "answer_share",
        "inbound_connected",
        _INBOUND,
        "share",
        _UP,
        "Inbound calls answered by an agent, of all inbound calls but those given up before the short-abandon limit.",
        _GENESYS,
        cases=Cases.YES_OR_NO,
    ),
    Kpi(
        "abandoned_share",
        "abandoned - abandoned_wait_bin[< short_abandon_ms]",
        _INBOUND,
        "share",
        _DOWN,
        "Inbound calls given up by the caller before an agent answered; those given up before the short-abandon "
        "limit are left out above and below the line.",
        _FLEX,
        cases=Cases.YES_OR_NO,
    ),
    Kpi(
        "service_level",
        "answered_wait_bin[< service_level_ms]",
        "answered_wait_known + abandoned_wait_bin[>= short_abandon_ms]",
        "share",
        _UP,
        "Inbound calls answered in less than the threshold, of all answered and abandoned ones whose wait is "
        "known; those given up before the short-abandon limit are left out.",
        _FLEX,
        cases=Cases.YES_OR_NO,
    ),
    Kpi(
        "average_talk_time",
        "talk_ms",
        "connected",
        "ms",
        _BAND,
        "Talk time of connected calls, without hold, ring and wrap-up.",
        _AMAZON + " (interaction time)",
        cases=Cases.VALUES,
        squares="talk_sq_ms2",
    ),
    Kpi(
        "too_short_share",
        "talk_bin[< too_short_ms]",
        "connected",
        "share",
        _DOWN,
        "Connected calls with less talk than the limit. A mean in its band can hide them.",
        "Mitel CCS, short calls",
        cases=Cases.YES_OR_NO,
    ),
    Kpi(
        "too_long_share",
        "talk_bin[>= too_long_ms]",
        "connected",
        "share",
        _DOWN,
        "Connected calls with as much talk as the limit, or more. A mean in its band can hide them.",
        "Bland, Alerts (percent of violating calls)",
        cases=Cases.YES_OR_NO,
    ),
    Kpi(
        "average_handle_time",
        "handle_ms",
        "wrap_up_known",
        "ms",
        _BAND,
        "Talk, hold and wrap-up of connected calls whose wrap-up is known. Dialling and ringing are not handling "
        "here; Genesys counts them.",
        _AMAZON + " (AHT)",
    ),
    Kpi(
        "follow_ups_done",
        "follow_ups_done",
        None,
        "calls",
        _UP,
        "Calls that follow up an earlier call, whether a time was promised or not.",
        "VICIdial, scheduled callbacks",
    ),
    Kpi(
        "follow_ups_on_time",
        "follow_ups_on_time",
        None,
        "calls",
        _UP,
        "Follow-up calls started no later than they were due.",
        _OURS,
    ),
    Kpi(
        "follow_ups_late",
        "follow_ups_late",
        None,
        "calls",
        _DOWN,
        "Overdue follow-ups: calls started after they were due. A promise that nobody has kept yet is not among "
        "them: no event says so.",
        _OURS,
    ),
    Kpi(
        "follow_up_on_time_share",
        "follow_ups_on_time",
        "follow_ups_on_time + follow_ups_late",
        "share",
        _UP,
        "Follow-up calls started no later than they were due, of all that had a due time.",
        _OURS,
        cases=Cases.YES_OR_NO,
    ),
    Kpi(
        "deals_won",
        "deals_won",
        None,
        "deals",
        _UP,
        "Deals won, by the time they closed. A deal that is taken back no longer counts.",
        _VICIDIAL,
    ),
    Kpi("deals_lost", "deals_lost", None, "deals", _DOWN, "Deals lost, by the time they closed.", _VICIDIAL),
    Kpi(
        "conversion_per_connected",
        "deals_won",
        "connected",
        "share",
        _UP,
        "Deals won in the period over connected calls in the period. A deal may close long after its call, so "
        "this is no share of those calls and may exceed 100 %.",
        _VICIDIAL + " (sales to contacts)",
    ),
    Kpi(
        "conversion_per_call",
        "deals_won",
        "calls",
        "share",
        _UP,
        "Deals won in the period over call legs in the period. A deal may close long after its call, so this is "
        "no share of those calls and may exceed 100 %.",
        _VICIDIAL + " (sales to leads)",
    ),
    Kpi(
        SETTLED_CONVERSION,
        "settled_calls_won",
        "settled_calls",
        "share",
        _UP,
        "Connected calls that have settled and that a won deal of the same agent names, of all connected calls that "
        "have settled. A call settles in the window in which the tenant's settle_time after it ends, and counts there; "
        "a deal that comes later still counts for its call.",
        _OURS,
        cases=Cases.YES_OR_NO,
        settles=True,
        doubt="settled_calls_in_doubt",
    ),
    Kpi(
        "revenue",
        "won_minor",
        None,
        "minor units",
        _UP,
        "Amount of deals won, by currency; currencies are never added.",
        _VICIDIAL + " (net of cancelled sales)",
        per="currency",
    ),
    Kpi(
        "average_deal",
        "won_minor",
        "won_deals",
        "minor units",
        _UP,
        "Amount of deals won in a currency over the deals won in it.",
        _OURS,
        per="currency",
    ),
    Kpi(
        "repeat_deal_share",
        "deals_repeat",
        "deals_customer_known",
        "share",
        _UP,
        "Deals won from repeat customers, of those whose customer is known to be new or repeat. This is not "
        "retention: it does not say how many customers came back.",
        "Wall Street Prep, Repeat purchase rate",
        cases=Cases.YES_OR_NO,
    ),
    Kpi(
        "surveys",
        "surveys",
        None,
        "surveys",
        _UP,
        "Surveys answered, of every kind, by the time they were answered.",
        _OURS,
    ),
    Kpi(
        "survey_share",
        "surveys",
        "connected",
        "share",
        _UP,
        "Surveys answered in the period over connected calls in the period. An answer may come days after its "
        "call, so this may exceed 100 %.",
        _FORMBRICKS + ", response rate",
    ),
    Kpi(
        "csat_mean",
        "csat_score_milli",
        "csat_answers",
        "points",
        _UP,
        "Mean CSAT score, for each scale on its own; scales are never mixed.",
        "ServiceRocket, Surveys (scale)",
        per="scale",
        over=1000,
        cases=Cases.VALUES,
        squares="csat_score_sq_milli2",
    ),
    Kpi(
        "satisfied_share",
        "csat_satisfied",
        "csat_rated",
        "share",
        _UP,
        "CSAT answers in the top box: the top 2 of 5 points, 1 of 3, 2 of 7 and 3 of 10. Other scales are left out.",
        _FORMBRICKS,
        cases=Cases.YES_OR_NO,
    ),
    Kpi(
        "nps",
        "nps_promoters - nps_detractors",
        "nps_rated",
        "points",
        _UP,
        "Share of 9 and 10 less share of 0 to 6 among NPS answers, -100 to 100. Never mixed with CSAT.",
        "Metricsflare, Net promoter score",
        times=100,
    ),
)
"""Every KPI, in the order in which pages and tables show them."""
BY_NAME: Final[dict[str, Kpi]] = {kpi.name: kpi for kpi in KPIS}
