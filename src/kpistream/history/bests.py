"""Bests: whose day was the best of twelve weeks, out of the results of days that are over.

A day is compared with all others that closed, by the count itself, and told soon after its end or not at all. Somebody
of whom there are fewer days than ten has no best day yet. Days on which the target was about another KPI do not count.
A result does not say what a KPI of the settings meant, nor which currency it is in: of those there are no best days.
The record is the review's own, beside the alert of the target, which the workers write.
"""

from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

from kpistream.core.alerts import Look, Reached, Subject
from kpistream.core.kpis import Value
from kpistream.core.targets import Judgement, Target, Verdict, Why
from kpistream.core.windows import BUSINESS_DAY, Window
from kpistream.history import tables
from kpistream.history.store import Store

_DAY_MS: Final = 24 * 3_600_000
_LOOKED_BACK_MS: Final = 84 * _DAY_MS
_NEWS_MS: Final = 36 * 3_600_000
_ENOUGH_DAYS: Final = 10
_DAYS: Final = (
    "arraySort(day -> day.1, groupArray((toUnixTimestamp64Milli(window_from), toUnixTimestamp64Milli(window_to), "
    "assumeNotNull(numerator))))"
)
_SQL: Final = f"""
SELECT target, scope, days[-1].1, days[-1].2, days[-1].3, arrayMax(day -> day.3, arrayPopBack(days)), team_then, shown
FROM (
  SELECT target, scope, {_DAYS} AS days,
    argMax(team, window_from) AS team_then, argMax(display_name, window_from) AS shown
  FROM {tables.RESULTS} FINAL
  WHERE tenant = {{tenant:String}} AND target IN {{targets:Array(String)}} AND window = '{BUSINESS_DAY}'
    AND kpi = {{kpis:Array(String)}}[indexOf({{targets:Array(String)}}, target)]
    AND startsWith(scope, 'agent:') AND numerator IS NOT NULL
    AND window_from >= fromUnixTimestamp64Milli({{from_ms:Int64}}, 'UTC')
  GROUP BY target, scope
)
WHERE length(days) > {_ENOUGH_DAYS} AND days[-1].2 >= {{news_ms:Int64}}
  AND days[-1].3 > arrayMax(day -> day.3, arrayPopBack(days))
ORDER BY target, scope
"""


def best_days(store: Store, tenant: str, targets: Sequence[Target], now_ms: int) -> Iterator[tuple[Subject, Look]]:
    """Looks at best days of a tenant's agents that have ended lately, each with the best before as what was asked."""
    known = {target.name: target for target in sorted(targets, key=lambda each: each.name) if _may_be_best(target)}
    if not known:
        return
    given = {
        "tenant": tenant,
        "targets": list(known),
        "kpis": [target.kpi for target in known.values()],
        "from_ms": now_ms - _LOOKED_BACK_MS,
        "news_ms": now_ms - _NEWS_MS,
    }
    for name, scope, from_ms, to_ms, count, before, team, shown in store.query(_SQL, given):
        target = msgspec.structs.replace(known[name], name=known[name].best)
        reached = Reached(Value(count, count, None), before, None, Why.PERSONAL_BEST)
        judgement = Judgement(Verdict.MET, Why.WITHIN_BOUND)
        look = Look(target, judgement, Window(from_ms, to_ms), team, shown, None, reached)
        yield Subject(target.name, tenant, scope), look


def _may_be_best(target: Target) -> bool:
    """True when all results of the target's KPI are of one kind."""
    return target.good_news and target.window == BUSINESS_DAY and target.own is None and target.member is None
