"""Evidence: false alarms and detections of agents whose truth is known, with a look after every event.

    python -m bench.evidence                         # all tables of docs/explanation/evidence.md
    python -m bench.evidence --days 400 --only shares

No broker. An agent-day is drawn event by event; a rule looks after each and the first look that fires is the alarm.
Every figure is a share of agent-days; with 4,000 of them one of 5 % is within 0.7 points of the truth, 19 times of 20.
"""

import math
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from itertools import accumulate
from statistics import median
from typing import Final

import click

from kpistream.core import evidence as ev
from kpistream.core.bounds import mean_interval, share_interval
from kpistream.core.conversion import LagCurve, Settled, deals_at_least, deals_expected, settled_conversion_at_least
from kpistream.core.evidence import Bets, Scores, evidence, threshold
from kpistream.core.slips import slip

CALLS: Final = 100
"""Connected calls of a day; the day is 480 minutes, noon is after 180 of them."""
MINUTES: Final = 480
NOON_MINUTE: Final = 180
PANE_MIN: Final = 5
PANES: Final = MINUTES // PANE_MIN
NAIVE_SAMPLE: Final = 10
Rows = list[tuple[str, ...]]


@dataclass(frozen=True)
class Found:
    """First alarms of some agent-days: numbers of the look, from 1 on; None for a day without one."""

    looks: tuple[int | None, ...]

    @property
    def share(self) -> float:
        """Share of agent-days with an alarm."""
        return sum(look is not None for look in self.looks) / len(self.looks)

    def between(self, after: int, upto: int) -> "Found":
        """Alarms of looks in (after, upto] only, counted from `after`."""
        return Found(tuple(look - after if look and after < look <= upto else None for look in self.looks))

    def __str__(self) -> str:
        hits = [look for look in self.looks if look is not None]
        return f"{self.share:.1%}" + (f" (at {median(hits):.0f})" if self.share >= 0.005 else "")


def first(looks: Iterator[bool]) -> int | None:
    """Number of the first look that fires."""
    return next((number for number, fires in enumerate(looks, 1) if fires), None)


# Shares ---------------------------------------------------------------------------------------------------------------

ShareRule = Callable[[int, int, Fraction], bool]
"""Whether so many successes of so many trials fire against a share of at least the bound."""


def naive(successes: int, trials: int, bound: Fraction) -> bool:
    """Below target, from ten calls on."""
    return trials >= NAIVE_SAMPLE and successes < bound * trials


def naive_half(successes: int, trials: int, bound: Fraction) -> bool:
    """Below half of the target, from ten calls on."""
    return naive(successes, trials, bound / 2)


def wilson(successes: int, trials: int, bound: Fraction) -> bool:
    """One-sided 95 % bound of Wilson below the target, from ten calls on."""
    found = share_interval(successes, trials, 0.9)
    return trials >= NAIVE_SAMPLE and found is not None and found.high < bound


def wilson_once(successes: int, trials: int, bound: Fraction) -> bool:
    """The same, looked at once, at the end."""
    return trials == CALLS and wilson(successes, trials, bound)


def by_odds(alpha: float) -> ShareRule:
    """What kpistream does."""
    return lambda s, n, bound: evidence(ev.share_at_least(bound, s, n)) >= threshold(alpha)


def by_ratios(alpha: float) -> ShareRule:
    """The same bets by ratios of shares: what the odds are compared with."""

    def fires(s: int, n: int, bound: Fraction) -> bool:
        p = float(bound)
        bets = tuple(s * math.log(r) + (n - s) * math.log((1 - r * p) / (1 - p)) for r in ev.ODDS_RATIOS)
        return evidence(bets) >= threshold(alpha)

    return fires


SHARE_RULES: Final[dict[str, ShareRule]] = {
    "below target, from 10 calls on": naive,
    "below half of the target, from 10 calls on": naive_half,
    "Wilson 95 %, every look": wilson,
    "Wilson 95 %, one look at call 100": wilson_once,
    "evidence, alpha 0.05": by_odds(0.05),
    "evidence, alpha 0.01": by_odds(0.01),
}


@cache
def greatest_firing(rule: ShareRule, bound: Fraction) -> tuple[int, ...]:
    """For each number of trials up to CALLS the most successes that fire, -1 for none."""
    return tuple(max((s for s in range(n + 1) if rule(s, n, bound)), default=-1) for n in range(CALLS + 1))


def outcomes(chance: random.Random, share: float, then: float, since: int = CALLS) -> list[bool]:
    """Calls of a day that win: with chance `share`, and from call `since` on with chance `then`."""
    return [chance.random() < (share if number < since else then) for number in range(CALLS)]


def shares(rule: ShareRule, bound: Fraction, share: float, chance: random.Random, days: int) -> Found:
    """Alarms of an agent with a constant share."""
    least = greatest_firing(rule, bound)
    return Found(
        tuple(
            first(s <= least[n] for n, s in enumerate(accumulate(outcomes(chance, share, share)), 1))
            for _ in range(days)
        )
    )


def shares_table(days: int, seed: int) -> Rows:
    """A conversion of at least 20 %, 100 calls a day."""
    rows: Rows = [("rule", "true 20 % (on target)", "true 15 %", "true 10 %", "true 5 %")]
    for name, rule in SHARE_RULES.items():
        found = (shares(rule, Fraction(1, 5), p, random.Random(seed), days) for p in (0.2, 0.15, 0.1, 0.05))
        rows.append((name, *map(str, found)))
    return rows


def odds_table(days: int, seed: int) -> Rows:
    """A share of at least 95 %: bets by odds, as here, and by ratios of shares."""
    rows: Rows = [("rule", "true 95 % (on target)", "true 90 %", "true 85 %")]
    for name, rule in (("by odds, alpha 0.05", by_odds(0.05)), ("by ratios, alpha 0.05", by_ratios(0.05))):
        found = (shares(rule, Fraction(19, 20), p, random.Random(seed), days) for p in (0.95, 0.9, 0.85))
        rows.append((name, *map(str, found)))
    return rows


def team_table(days: int, seed: int) -> Rows:
    """Alarms in a week of a team of 20 who are all exactly on a conversion target of 20 %: 100 agent-days a week."""
    level = ev.Level(alarms=1, days=5, agents=20, targets=1)
    rows: Rows = [("rule", "alarms a week, mean", "weeks without one")]
    rules = {**SHARE_RULES, f"evidence, one alarm a week: alpha {level.alpha}": by_odds(level.alpha)}
    for name, rule in rules.items():
        looks = shares(rule, Fraction(1, 5), 0.2, random.Random(seed + 1), days // 100 * 100).looks
        weeks = [sum(look is not None for look in looks[at : at + 100]) for at in range(0, len(looks), 100)]
        quiet = sum(not week for week in weeks)
        rows.append((name, f"{sum(weeks) / len(weeks):.1f}", f"{quiet} of {len(weeks)}"))
    return rows


# Slips in the middle of a day -----------------------------------------------------------------------------------------


class Detector:
    """`slips.slip` of a growing day, one look at a time; `slip_agrees` holds both to each other."""

    def __init__(self, planned: int) -> None:
        self._planned, self._starts = planned, 0
        self._wealth: list[float] = []

    def pane(self, bets: int) -> None:
        """A pane with cases begins: a stake is placed on it."""
        self._wealth = self._wealth or [0.0] * bets
        self._starts += 1
        stake = 0.5 if self._starts == 1 else 0.5 / (self._planned - 1) if self._starts <= self._planned else 0.0
        self._wealth = [wealth + stake for wealth in self._wealth]

    def add(self, bets: Bets) -> float:
        """A case of the pane that fills: evidence of the day so far."""
        self._wealth = [wealth * math.exp(bet) for wealth, bet in zip(self._wealth, bets, strict=True)]
        unplaced = max(0, self._planned - self._starts) * 0.5 / (self._planned - 1)
        return math.log(sum(self._wealth) / len(self._wealth) + unplaced)


def pane_of(call: int) -> int:
    """Pane of a call, 0 on: calls are spread evenly over the day."""
    return call * PANES // CALLS


def detector_look(wins: Sequence[bool], bound: Fraction, alpha: float) -> int | None:
    """Call after which the e-detector fires."""
    detector, pane = Detector(PANES), -1
    for number, won in enumerate(wins):
        if pane_of(number) != pane:
            pane = pane_of(number)
            detector.pane(len(ev.ODDS_RATIOS))
        if detector.add(ev.share_at_least(bound, int(won), 1)) >= threshold(alpha):
            return number + 1
    return None


def panes_of(wins: Sequence[bool], bound: Fraction) -> list[tuple[int, Bets]]:
    """The day's panes with cases, as `slip` takes them."""
    cells: dict[int, list[bool]] = {}
    for number, won in enumerate(wins):
        cells.setdefault(pane_of(number), []).append(won)
    return [(pane, ev.share_at_least(bound, sum(cell), len(cell))) for pane, cell in cells.items()]


def slip_agrees(chance: random.Random) -> bool:
    """Whether detector and `slip` fire at the same call of a day that slips at noon."""
    wins, bound = outcomes(chance, 0.2, 0.03, 37), Fraction(1, 5)
    look = first(slip(panes_of(wins[:n], bound), PANES).against >= threshold(0.05) for n in range(1, CALLS + 1))
    return look == detector_look(wins, bound, 0.05)


def slips(rule: str, then: float, since: int, chance: random.Random, days: int) -> Found:
    """Alarms of an agent at 20 % who slips to `then` at call `since`."""
    bound, found = Fraction(1, 5), []
    for _ in range(days):
        wins = outcomes(chance, 0.2, then, since)
        if rule == "detector":
            found.append(detector_look(wins, bound, 0.05))
        else:
            least = greatest_firing(SHARE_RULES["evidence, alpha 0.05"], bound)
            found.append(first(s <= least[n] for n, s in enumerate(accumulate(wins), 1)))
    return Found(tuple(found))


def slips_table(days: int, seed: int) -> Rows:
    """A slip of a 20 % converter from the start of the day (call 0) or from noon (call 37); calls since the slip."""
    rows: Rows = [("rule, alpha 0.05", "slips to", "from the start", "from noon", "false, before noon")]
    noon = CALLS * NOON_MINUTE // MINUTES
    for rule, name in (("whole day", "evidence of the whole day"), ("detector", "e-detector over panes")):
        for then in (0.2, 0.15, 0.1, 0.05, 0.02):
            start = slips(rule, then, 0, random.Random(seed), days)
            late = slips(rule, then, noon, random.Random(seed), days)
            rows.append(
                (name, f"{then:.0%}", str(start), str(late.between(noon, CALLS)), f"{late.between(0, noon).share:.1%}")
            )
    return rows


def since_table(days: int, seed: int) -> Rows:
    """Where the e-detector says a slip to 5 % at noon (pane 36 of 96) began, when it fires."""
    chance, bound, named = random.Random(seed), Fraction(1, 5), []
    for _ in range(min(days, 1000)):
        wins = outcomes(chance, 0.2, 0.05, CALLS * NOON_MINUTE // MINUTES)
        look = detector_look(wins, bound, 0.05)
        if look and look > CALLS * NOON_MINUTE // MINUTES:
            since = slip(panes_of(wins[:look], bound), PANES).since_ms
            named.append((since or 0) * PANE_MIN - NOON_MINUTE)
    named.sort()
    tenth, middle, last = (named[len(named) * part // 10] for part in (1, 5, 9))
    return [
        ("minutes after noon", "a tenth of days before", "half before", "nine tenths before"),
        ("named as the start", str(tenth), str(middle), str(last)),
    ]


# Counts against pace --------------------------------------------------------------------------------------------------

CountRule = Callable[[int, float], bool]
"""Whether so many events where so many were due fire."""


@cache
def poisson_low(expected: float) -> int:
    """The most events that a Poisson count shows with less than 5 %, -1 for none."""
    total, term, seen = 0.0, math.exp(-expected), 0
    while total + term < 0.05:
        total, seen = total + term, seen + 1
        term *= expected / seen
    return seen - 1


COUNT_RULES: Final[dict[str, CountRule]] = {
    "behind pace after 30 min": lambda x, due: due > 6.25 and x < due,
    "below 80 % of pace after 60 min": lambda x, due: due > 12.5 and x < 0.8 * due,
    "Poisson 95 %, every look": lambda x, due: due > 6.25 and x <= poisson_low(due),
    "evidence, alpha 0.05": lambda x, due: evidence(ev.count_at_least(due, x)) >= threshold(0.05),
    "evidence, alpha 0.01": lambda x, due: evidence(ev.count_at_least(due, x)) >= threshold(0.01),
    "evidence, alpha 0.05, dispersion 2": lambda x, due: evidence(ev.count_at_least(due, x, 2)) >= threshold(0.05),
}


@cache
def counts_firing(rule: CountRule) -> tuple[int, ...]:
    """For each minute the most calls that fire, -1 for none."""
    return tuple(
        max((x for x in range(2 * CALLS) if rule(x, CALLS * minute / MINUTES)), default=-1)
        for minute in range(1, MINUTES + 1)
    )


def by_minute(chance: random.Random, rate: float, shape: int = 1, burst: int = 1) -> list[int]:
    """Calls up to the end of each minute; gaps of `shape` > 1 are steadier than Poisson, bursts less steady."""
    counts, at_min = [0] * MINUTES, 0.0
    gap = MINUTES / CALLS / rate * burst
    # An agent is found somewhere between two calls, not at one: for steady gaps the first is a part of one.
    at_min = -chance.random() * gap * 4 if shape > 1 else 0.0
    while (at_min := at_min + chance.gammavariate(shape, gap / shape)) < MINUTES:
        if at_min >= 0:
            counts[int(at_min)] += burst
    return list(accumulate(counts))


def counts(rule: CountRule, rate: float, chance: random.Random, days: int, **kind: int) -> Found:
    """Alarms of an agent who makes a part of 100 calls a day, with a look each minute."""
    least = counts_firing(rule)
    return Found(
        tuple(
            first(x <= most for x, most in zip(by_minute(chance, rate, **kind), least, strict=True))
            for _ in range(days)
        )
    )


def counts_table(days: int, seed: int) -> Rows:
    """100 calls a day against pace, a look each minute; minutes at which half of the alarms were given."""
    rows: Rows = [("rule", "on pace", "80 % of pace", "60 % of pace", "on pace, steadier", "on pace, in pairs")]
    for name, rule in COUNT_RULES.items():
        found = [counts(rule, rate, random.Random(seed), days) for rate in (1, 0.8, 0.6)]
        found.append(counts(rule, 1, random.Random(seed), days, shape=3))
        found.append(counts(rule, 1, random.Random(seed), days, burst=2))
        rows.append((name, *map(str, found)))
    return rows


# Means ----------------------------------------------------------------------------------------------------------------

SURVEYS: Final = 30
ON_TARGET: Final = (0.02, 0.03, 0.07, 0.19, 0.69)
BELOW: Final = (0.08, 0.1, 0.17, 0.25, 0.4)
"""Chances of scores 1 to 5: their means are 4.5 and 3.79."""
MeanRule = Callable[[Scores, Fraction], bool]


def student(scores: Scores, bound: Fraction) -> bool:
    """One-sided 95 % bound of Student's t below the target, from five on."""
    found = mean_interval(*scores, 0.9)
    return scores.number >= 5 and found is not None and found.high < bound


def confidence_sequence(scores: Scores, bound: Fraction) -> bool:
    """The bound of Waudby-Smith et al. (arXiv 2103.06476), from five on; least variance 0.05 points squared."""
    n, rho2 = scores.number, 0.15
    mean = scores.total / n
    variance = max((scores.squares / n - mean * mean) * n / max(1, n - 1), 50_000)
    wide = 2 * (n * rho2 + 1) / (n * n * rho2) * math.log(1 + math.sqrt(n * rho2 + 1) / 0.1)
    return n >= 5 and mean + math.sqrt(variance * wide) < bound


MEAN_RULES: Final[dict[str, MeanRule]] = {
    "mean below target, from 5 on": lambda scores, bound: scores.number >= 5 and scores.total < bound * scores.number,
    "Student 95 %, every look": student,
    "asymptotic confidence sequence, 0.05": confidence_sequence,
    "evidence, alpha 0.05": lambda scores, bound: (
        evidence(ev.mean_at_least(bound, scores, 5000, 1000)) >= threshold(0.05)
    ),
    "evidence, alpha 0.01": lambda scores, bound: (
        evidence(ev.mean_at_least(bound, scores, 5000, 1000)) >= threshold(0.01)
    ),
}
"""Of scores in milli-points."""


def means(rule: MeanRule, bound: Fraction, draws: Iterator[list[int]]) -> Found:
    """Alarms of rows of values, with a look after each value."""
    looks = []
    for values in draws:
        sums = zip(accumulate(values), accumulate(value * value for value in values), strict=True)
        looks.append(first(rule(Scores(n, total, squares), bound) for n, (total, squares) in enumerate(sums, 1)))
    return Found(tuple(looks))


def surveys(chance: random.Random, chances: Sequence[float], days: int) -> Iterator[list[int]]:
    """Days of 30 scores in milli-points."""
    return (chance.choices((1000, 2000, 3000, 4000, 5000), chances, k=SURVEYS) for _ in range(days))


def means_table(days: int, seed: int) -> Rows:
    """A CSAT mean of at least 4.5 of 5, 30 surveys."""
    rows: Rows = [("rule", "true 4.5 (on target)", "true 3.79")]
    for name, rule in MEAN_RULES.items():
        found = (means(rule, Fraction(4500), surveys(random.Random(seed), c, days)) for c in (ON_TARGET, BELOW))
        rows.append((name, *map(str, found)))
    return rows


def talks(chance: random.Random, mean_s: int, days: int) -> Iterator[list[int]]:
    """Days of 80 talk times in ms: log-normal, as skewed as those of people are."""
    spread = 0.7
    middle = math.log(mean_s * 1000) - spread * spread / 2
    return ([round(chance.lognormvariate(middle, spread)) for _ in range(80)] for _ in range(days))


def talks_table(days: int, seed: int) -> Rows:
    """An average talk time of 240 to 360 s, 80 calls, log-normal; alpha 0.05 for each side."""
    rules: dict[str, tuple[MeanRule, int, tuple[int, ...]]] = {
        "at most 360 s, exact": (
            lambda scores, bound: evidence(ev.mean_at_most(bound, scores)) >= threshold(0.05),
            360,
            (360, 420, 480),
        ),
        "at least 240 s, asymptotic": (
            lambda scores, bound: ev.unlimited_mean_at_least(bound, scores) >= threshold(0.05),
            240,
            (240, 200, 160),
        ),
    }
    rows: Rows = [("rule", "mean at the bound", "further off", "still further off")]
    for name, (rule, bound_s, truths) in rules.items():
        found = (means(rule, Fraction(bound_s * 1000), talks(random.Random(seed), mean_s, days)) for mean_s in truths)
        rows.append((name, *(f"{mean_s} s: {each}" for mean_s, each in zip(truths, found, strict=True))))
    return rows


# Deals that come later than their calls -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Lagged:
    """A day of 100 calls of a 20 % converter; deals close later, ages are counted in calls."""

    lag: int
    carried: bool
    """Whether there was a day before, whose deals also come today."""
    scattered: bool = False
    """Lags are geometric with this mean, else all the same."""
    bound: Fraction = Fraction(1, 5)

    def lag_of_one(self, chance: random.Random) -> int:
        """How many calls later a deal closes."""
        if not self.scattered or not self.lag:
            return self.lag
        return math.floor(math.log(1 - chance.random()) / math.log(self.lag / (self.lag + 1)))

    def curve(self) -> LagCurve:
        """The true curve."""
        if not self.scattered or not self.lag:
            return LagCurve(1, (0.0,) * self.lag + (1.0,))
        stay = self.lag / (self.lag + 1)
        return LagCurve(1, tuple(1 - stay ** (age + 1) for age in range(2 * CALLS)))


def lagged(kind: Lagged, rule: str, share: float, chance: random.Random, days: int) -> Found:
    """Alarms at alpha 0.05 of one way to judge deals that lag."""
    begin = -CALLS if kind.carried else 0
    due = [deals_expected(kind.bound, (1,) * (now - begin + 1), kind.curve()) for now in range(CALLS)]
    settle = kind.lag * (5 if kind.scattered else 1)
    looks = []
    for _ in range(days):
        closes = {n: n + kind.lag_of_one(chance) for n in range(begin, CALLS) if chance.random() < share}
        looks.append(first(_fires(kind, rule, closes, now, (settle, due[now])) for now in range(CALLS)))
    return Found(tuple(looks))


def _fires(kind: Lagged, rule: str, closes: dict[int, int], now: int, settled: tuple[int, float]) -> bool:
    settle, due = settled
    if rule == "period":
        deals = sum(0 <= at <= now for at in closes.values())
        return by_odds(0.05)(min(deals, now + 1), now + 1, kind.bound)
    if rule == "period count":
        deals = sum(0 <= at <= now for at in closes.values())
        return evidence(ev.count_at_least(float(kind.bound) * (now + 1), deals)) >= threshold(0.05)
    if rule == "settled":
        ripe = range(now - settle + 1)
        won = sum(1 for n in ripe if n in closes and closes[n] - n <= settle)
        found = settled_conversion_at_least(kind.bound, Settled(len(ripe), won))
        return evidence(found) >= threshold(0.05)
    deals = sum(at <= now for at in closes.values())
    return evidence(deals_at_least(due, deals)) >= threshold(0.05)


LAGGED: Final = {
    "period": "deals so far of calls so far, as a share",
    "period count": "deals so far against a fifth of the calls so far, as a count",
    "settled": "settled calls, deals that name them",
    "curve": "deals against the calls' lag curve, as a count",
}


def lag_table(days: int, seed: int) -> Rows:
    """Conversion of at least 20 %, agent exactly on target; deals close so many calls after theirs."""
    fewer = max(1, days // 4)
    kinds = [Lagged(lag, carried) for carried in (False, True) for lag in (0, 10, 25)]
    kinds.append(Lagged(10, False, scattered=True))
    heads = [f"{'after a day' if k.carried else 'first day'}, lag {k.lag}{' scattered' * k.scattered}" for k in kinds]
    rows: Rows = [("judged", *heads, "true 10 %, first day, lag 10")]
    for rule, name in LAGGED.items():
        found = [lagged(kind, rule, 0.2, random.Random(seed), fewer) for kind in kinds]
        found.append(lagged(kinds[1], rule, 0.1, random.Random(seed), fewer))
        rows.append((name, *map(str, found)))
    return rows


TABLES: Final[dict[str, Callable[[int, int], Rows]]] = {
    "shares": shares_table,
    "team": team_table,
    "odds": odds_table,
    "slips": slips_table,
    "since": since_table,
    "counts": counts_table,
    "means": means_table,
    "talks": talks_table,
    "lag": lag_table,
}


@click.command(help=__doc__)
@click.option("--days", default=4000, show_default=True, help="Agent-days of each figure; a quarter for lag.")
@click.option("--seed", default=7, show_default=True, help="Seed of every figure.")
@click.option("--only", type=click.Choice(list(TABLES)), multiple=True, help="Only this table; may be repeated.")
def main(days: int, seed: int, only: tuple[str, ...]) -> None:
    """Print the tables."""
    for name in only or TABLES:
        head, *rows = TABLES[name](days, seed)
        print(f"{name}: {TABLES[name].__doc__}\n")
        print(
            "\n".join(f"| {' | '.join(row)} |" for row in (head, ("---",) * len(head), *rows)), end="\n\n", flush=True
        )


if __name__ == "__main__":
    main()
