"""Event fields: what a predicate may ask of an event, by kind, and how the answer is read.

Made from the models of the contract, so a field that they get is there, too. Texts are compared as they are; an absent
one is "". Numbers are integers, in the unit that the name says; `score` is kept in thousandths. Instants, whose values
depend on no rule of ours, can only be there or not.
"""

from collections.abc import Callable
from enum import Enum
from operator import attrgetter
from typing import Annotated, Any, Final, Literal, NamedTuple, get_args, get_origin

from kpistream.core.contributions import talk_ms_of
from kpistream.core.decoding import EventFields
from kpistream.core.events import CallEnded, DealClosed, Event, SurveyCompleted

ATTRIBUTE: Final = "attributes."
"""Before the name of an attribute; the rest is the name."""
_MODELS: Final[dict[str, type[Event]]] = {"call": CallEnded, "deal": DealClosed, "survey": SurveyCompleted}
KINDS: Final = tuple(_MODELS)
_LEFT_OUT: Final = frozenset({"type", "tenant", "event_id", "revision", "attributes", "moved_from", "occurred_at"})
"""No property of what happened, or asked for otherwise."""
_MINOR: Final = "amount_minor"
SCORE: Final = "score"


class Type(Enum):
    """How a field is compared."""

    TEXT = "text"
    CHOICE = "one of"
    NUMBER = "number"
    INSTANT = "instant"


class Field(NamedTuple):
    """One field of a kind of event."""

    name: str
    type: Type
    unit: str = ""
    """Of a number: `ms`, `minor units`, `points`, or empty for a plain one."""
    choices: tuple[str, ...] = ()
    optional: bool = False
    """True when it may be absent."""

    @property
    def attribute(self) -> str:
        """Its name in the decoded event."""
        return "score_milli" if self.name == SCORE else self.name


def _inner(annotation: Any) -> list[Any]:
    """The annotation without None and limits."""
    if get_origin(annotation) is Annotated:
        return _inner(get_args(annotation)[0])
    if get_origin(annotation) is Literal:
        return [annotation]
    parts = [part for part in get_args(annotation) if part is not type(None)]
    return [each for part in parts for each in _inner(part)] if parts else [annotation]


def _field(name: str, annotation: Any, optional: bool) -> Field:
    kind = _inner(annotation)[0]
    if get_origin(kind) is Literal:
        return Field(name, Type.CHOICE, "", get_args(kind), optional)
    if name.endswith("_at"):
        return Field(name, Type.INSTANT, optional=optional)
    if name == SCORE:
        return Field(name, Type.NUMBER, "points", (), optional)
    if kind is int:
        unit = "ms" if name.endswith("_ms") else "minor units" if name == _MINOR else ""
        return Field(name, Type.NUMBER, unit, (), optional and name != "talk_ms")
    return Field(name, Type.TEXT, "", (), optional)


FIELDS: Final[dict[str, dict[str, Field]]] = {
    kind: {
        name: _field(name, info.annotation, info.default is None)
        for name, info in model.model_fields.items()
        if name not in _LEFT_OUT
    }
    for kind, model in _MODELS.items()
}
"""By kind, then by name."""


def _talk_ms(call: Any) -> int:
    return talk_ms_of(call)


def getter(of: str, name: str) -> Callable[[EventFields], Any]:
    """How a condition's field is read from a decoded event; None when it is absent. `name`: of the decoded event."""
    if name.startswith(ATTRIBUTE):
        key = name.removeprefix(ATTRIBUTE)
        return lambda fields: None if fields.attributes is None else fields.attributes.get(key)
    return _talk_ms if (of, name) == ("call", "talk_ms") else attrgetter(name)
