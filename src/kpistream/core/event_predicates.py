"""Event predicates: which events a measure counts, as a table of field to condition.

All conditions of one table must hold; of a list of tables, any. The language is that of mappings, on fields of the
contract instead of cells of a file. A field that is absent is the text "" and no number. Besides whether an event is
meant this module says what follows from the conditions alone: that one predicate holds only where another one does, or
never where it does. It may say "not known", never what is wrong.
"""

from collections.abc import Iterable
from typing import Final, NamedTuple

AT_LEAST: Final = "at_least"
BELOW: Final = "below"
IN: Final = "in"
NOT: Final = "not"
EMPTY: Final = "empty"


class Condition(NamedTuple):
    """What one field must be."""

    field: str
    operator: str
    texts: tuple[str, ...] = ()
    """Of `in` and `not`, sorted; `yes` or `no` of `empty`."""
    number: int = 0
    """Of `at_least` and `below`."""


Group = tuple[Condition, ...]
"""Conditions that must all hold."""


class Predicate(NamedTuple):
    """Events of one kind that meet any of the groups."""

    of: str
    """`call`, `deal` or `survey`."""
    groups: tuple[Group, ...] = ((),)


def _is(field: str, *texts: str) -> Condition:
    return Condition(field, IN, tuple(sorted(texts)))


def _given(field: str) -> Condition:
    return Condition(field, EMPTY, ("no",))


def _all(of: str, *conditions: Condition) -> Predicate:
    return Predicate(of, (conditions,))


_CONNECTED: Final = _is("outcome", "connected")
_OUTBOUND: Final = _is("direction", "outbound")
_INBOUND: Final = _is("direction", "inbound")
_WON: Final = _is("outcome", "won")
_NPS: Final = _is("kind", "nps")

COUNTED: Final[dict[str, Predicate]] = {
    "calls": _all("call"),
    "first_legs": _all("call", Condition("transfer_leg", BELOW, (), 1)),
    "outbound_calls": _all("call", _OUTBOUND),
    "inbound_calls": _all("call", _INBOUND),
    "connected": _all("call", _CONNECTED),
    "outbound_connected": _all("call", _OUTBOUND, _CONNECTED),
    "inbound_connected": _all("call", _INBOUND, _CONNECTED),
    "voicemails": _all("call", _is("outcome", "voicemail")),
    "answerer_unknown": _all("call", _OUTBOUND, _CONNECTED, _is("answered_by", "", "unknown")),
    "abandoned": _all("call", _INBOUND, _is("outcome", "abandoned")),
    "wrap_up_known": _all("call", _CONNECTED, _given("wrap_up_ms")),
    "answered_wait_known": _all("call", _INBOUND, _CONNECTED, _given("queue_wait_ms")),
    "abandoned_wait_known": _all("call", _INBOUND, _is("outcome", "abandoned"), _given("queue_wait_ms")),
    "follow_ups_done": _all("call", _given("follow_up_of")),
    "follow_ups_promised": _all("call", _given("next_follow_up_at")),
    "deals_won": _all("deal", _WON),
    "deals_lost": _all("deal", _is("outcome", "lost")),
    "deals_voided": _all("deal", _is("outcome", "voided")),
    "deals_repeat": _all("deal", _WON, _is("customer_type", "repeat")),
    "deals_customer_known": _all("deal", _WON, _given("customer_type")),
    "surveys": _all("survey"),
    "nps_rated": _all("survey", _NPS),
    "nps_promoters": _all("survey", _NPS, Condition("score_milli", AT_LEAST, (), 9000)),
    "nps_detractors": _all("survey", _NPS, Condition("score_milli", BELOW, (), 6001)),
}
"""Which events the measures of the catalogue count, of those that count what a predicate can say."""


def part_of(one: Predicate, other: Predicate) -> bool:
    """True when every event of `one` is known to be one of `other`."""
    return one.of == other.of and all(any(_within(mine, theirs) for theirs in other.groups) for mine in one.groups)


def apart(one: Predicate, other: Predicate) -> bool:
    """True when it is known that no event is of both."""
    if one.of != other.of:
        return True
    return all(_clash(mine, theirs) for mine in one.groups for theirs in other.groups)


def _within(mine: Group, theirs: Group) -> bool:
    return all(any(_implies(have, asked) for have in mine) for asked in theirs)


def _implies(have: Condition, asked: Condition) -> bool:
    if have == asked:
        return True
    if have.field != asked.field:
        return False
    held, wanted = frozenset(have.texts), frozenset(asked.texts)
    match have.operator, asked.operator:
        case ("in", "in"):
            return held <= wanted
        case ("in", "not"):
            return not held & wanted
        case ("not", "not"):
            return held >= wanted
        case ("in", "empty"):
            return held == {""} if "yes" in wanted else "" not in held
        case ("at_least", "at_least"):
            return have.number >= asked.number
        case ("below", "below"):
            return have.number <= asked.number
        case ("at_least" | "below", "empty"):
            return "no" in wanted
    return False


def _clash(mine: Group, theirs: Group) -> bool:
    return any(_excludes(one, other) or _excludes(other, one) for one in mine for other in theirs)


def _excludes(one: Condition, other: Condition) -> bool:
    if one.field != other.field:
        return False
    have, wanted = frozenset(one.texts), frozenset(other.texts)
    match one.operator, other.operator:
        case ("in", "in"):
            return not have & wanted
        case ("in", "not"):
            return have <= wanted
        case ("in", "empty"):
            return "" not in have if "yes" in wanted else have == {""}
        case ("at_least", "below"):
            return one.number >= other.number
        case ("at_least" | "below", "empty"):
            return "yes" in wanted
        case ("empty", "empty"):
            return have != wanted
    return False


def all_apart(predicates: Iterable[Predicate]) -> bool:
    """True when it is known that no event is of two of them."""
    listed = list(predicates)
    return all(apart(one, other) for number, one in enumerate(listed) for other in listed[:number])
