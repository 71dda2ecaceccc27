"""Outcomes: what conversations lead to: deals that lag their calls, surveys that come late, promises.

A deal closes minutes to hours after its call; some are corrected and some taken back. Customers come back.
"""

from random import Random
from typing import Final

from kpistream.core.events import CallEnded, DealClosed, SurveyCompleted
from kpistream.simulate.delivery import MINUTE_MS, SECOND_MS, Delivery
from kpistream.simulate.floor import Seat

_HOUR_MS: Final = 60 * MINUTE_MS
_PRODUCTS: Final = (("fibre-250", 34_900), ("fibre-1000", 54_900), ("mobile-plus", 17_900), ("tv-pack", 11_900))
"""Products and their usual first-year amount in minor units."""
_SURVEY_SHARE: Final = 0.16
_NPS_SHARE: Final = 0.2
_FAR_CURRENCY: Final = "CHF"
_FAR_SHARE: Final = 0.07


class Outcomes:
    """Follows conversations to what comes of them."""

    def __init__(self, delivery: Delivery, rng: Random, ids: str) -> None:
        self._delivery = delivery
        self._rng = rng
        self._ids = ids
        self._deals = 0
        self._surveys = 0
        self._customers = 0
        self._buyers: list[str] = []

    def customer(self) -> str:
        """A customer to talk to: mostly somebody new, sometimes one who has bought before."""
        if self._buyers and self._rng.random() < 0.2:
            return self._rng.choice(self._buyers)
        self._customers += 1
        return f"k-{self._ids}-{self._customers:05d}"

    def disposition(self, seat: Seat) -> str:
        """What the agent enters at the end of a conversation."""
        draw = self._rng.random()
        if draw < seat.skill.conversion:
            return "sale"
        if draw < 1.6 * seat.skill.conversion:
            return "declined"
        return self._rng.choices(("no-interest", "callback", "information"), (6, 2, 3))[0]

    def follow(self, call: CallEnded, seat: Seat) -> None:
        """Plan the deal and the survey of a conversation."""
        if call.disposition in ("sale", "declined"):
            self._deal(call, won=call.disposition == "sale")
        if self._rng.random() < _SURVEY_SHARE:
            self._survey(call, seat)

    def _deal(self, call: CallEnded, *, won: bool) -> None:
        rng = self._rng
        self._deals += 1
        lag_ms = min(round(rng.lognormvariate(2.9, 1.2) * MINUTE_MS), 6 * _HOUR_MS)
        product, usual_minor = rng.choice(_PRODUCTS)
        amount_minor = round(usual_minor * rng.lognormvariate(0, 0.25) / 100) * 100 - 10
        currency = _FAR_CURRENCY if rng.random() < _FAR_SHARE else "EUR"
        assert call.customer_id is not None
        known = call.customer_id in self._buyers
        deal = DealClosed(
            tenant=call.tenant,
            source="crm",
            event_id=f"d-{self._ids}-{self._deals:05d}",
            agent_id=call.agent_id,
            campaign=call.campaign,
            customer_id=call.customer_id,
            call_id=call.call_id,
            outcome="won" if won else "lost",
            amount_minor=amount_minor if won else None,
            currency=currency if won else None,
            customer_type=None if rng.random() < 0.08 else "repeat" if known else "new",
            product=product,
            closed_at=call.ended_at + 30 * SECOND_MS + lag_ms,
        )
        chain = self._delivery.first(deal)
        if won and not known:
            self._buyers.append(call.customer_id)
        if won and rng.random() < 0.05:
            chain.correct(chain.due_ms + round(rng.uniform(3, 50) * MINUTE_MS), amount_minor=amount_minor // 2)
        if won and rng.random() < 0.03:
            chain.correct(chain.due_ms + round(rng.uniform(10, 180) * MINUTE_MS), outcome="voided")

    def _survey(self, call: CallEnded, seat: Seat) -> None:
        rng = self._rng
        self._surveys += 1
        nps = rng.random() < _NPS_SHARE
        happy = rng.gauss(seat.skill.satisfaction, 0.95)
        score = min(10, max(0, round(2.5 * (happy - 1)))) if nps else min(5, max(1, round(happy)))
        lag_ms = min(round(rng.lognormvariate(3.2, 1.1) * MINUTE_MS), 8 * _HOUR_MS)
        survey = SurveyCompleted(
            tenant=call.tenant,
            source="surveys",
            event_id=f"s-{self._ids}-{self._surveys:05d}",
            agent_id=call.agent_id,
            queue=call.queue,
            customer_id=call.customer_id,
            call_id=call.call_id,
            kind="nps" if nps else "csat",
            score=float(score),
            scale_min=0 if nps else 1,
            scale_max=10 if nps else 5,
            completed_at=call.ended_at + MINUTE_MS + lag_ms,
        )
        self._delivery.first(survey)
