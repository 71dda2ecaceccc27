"""Figures: the KPIs of a reading from its own sums, written again from their words.

A figure is a numerator over a denominator, or a plain sum. Those that cut a histogram at a limit depend on
the tenant's settings; of them only the division is checked. A figure that this table does not know is left
alone, so that a new KPI is no fault.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from kpistream.judge.compare import Cell

COUNTS: Final = {
    "calls": "calls",
    "distinct_calls": "first_legs",
    "connected": "connected",
    "follow_ups_done": "follow_ups_done",
    "follow_ups_on_time": "follow_ups_on_time",
    "follow_ups_late": "follow_ups_late",
    "deals_won": "deals_won",
    "deals_lost": "deals_lost",
    "surveys": "surveys",
    "revenue": "won_minor",
}
SHARES: Final = {
    "connect_share": ("outbound_connected", "outbound_calls"),
    "answerer_unknown_share": ("answerer_unknown", "outbound_connected"),
    "average_talk_time": ("talk_ms", "connected"),
    "average_handle_time": ("handle_ms", "wrap_up_known"),
    "follow_up_on_time_share": ("follow_ups_on_time", "follow_ups_on_time+follow_ups_late"),
    "conversion_per_connected": ("deals_won", "connected"),
    "conversion_per_call": ("deals_won", "calls"),
    "settled_conversion": ("settled_calls_won", "settled_calls"),
    "average_deal": ("won_minor", "won_deals"),
    "repeat_deal_share": ("deals_repeat", "deals_customer_known"),
    "survey_share": ("surveys", "connected"),
    "csat_mean": ("csat_score_milli", "csat_answers"),
    "satisfied_share": ("csat_satisfied", "csat_rated"),
    "nps": ("nps_promoters-nps_detractors", "nps_rated"),
}
SCALES: Final = {"nps": (100, 1), "csat_mean": (1, 1000)}
"""What a ratio is multiplied with, and divided by."""


def wrong(told: Mapping[str, Any], sums: Cell) -> Iterator[str]:
    """Yield what is wrong with the KPIs of a reading that shows these sums."""
    for name, figure in told["kpis"].items():
        yield from _wrong(name, "", figure, sums)
    for name, members in told["kpis_by_member"].items():
        for member, figure in members.items():
            yield from _wrong(name, f".{member}", figure, sums)


def _wrong(name: str, member: str, figure: Mapping[str, Any], sums: Cell) -> Iterator[str]:
    made_of = (figure["numerator"], figure["denominator"])
    if name in COUNTS:
        wanted: tuple[int, int | None] = (sums.get(COUNTS[name] + member, 0), None)
    elif name in SHARES:
        over, under = SHARES[name]
        wanted = (_sum(over, member, sums), _sum(under, member, sums))
    else:
        wanted = made_of
    if made_of != wanted:
        yield f"{name}{member} is made of {made_of[0]} and {made_of[1]}, its sums give {wanted[0]} and {wanted[1]}"
    elif not _follows(name, figure["value"], *made_of):
        yield f"{name}{member} is {figure['value']}, which is not {made_of[0]} over {made_of[1]}"


def _sum(words: str, member: str, sums: Cell) -> int:
    """Add what the words name: `a`, `a+b` or `a-b`."""
    total, sign = 0, 1
    for part in words.replace("+", " + ").replace("-", " - ").split():
        if part in "+-":
            sign = 1 if part == "+" else -1
        else:
            total += sign * sums.get(part + member, 0)
    return total


def _follows(name: str, value: float | None, numerator: int, denominator: int | None) -> bool:
    """Say whether the value is the quotient, up to the last bits of a floating-point number."""
    if denominator is None:
        return value == numerator
    if denominator == 0 or value is None:
        return denominator == 0 and value is None
    times, by = SCALES.get(name, (1, 1))
    exact = numerator * times / (denominator * by)
    return abs(value - exact) <= 1e-12 * max(1.0, abs(exact))
