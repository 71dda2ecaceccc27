"""Fields: what the hot path knows about an event, as structs derived by code from the models.

A struct has the fields of its model under the same names, except that `score` becomes `score_milli`.
Once `decode` has returned one, its times are epoch milliseconds and `occurred_at` is set; nothing
changes it after that. The classes under TYPE_CHECKING are for the type checker only; a test holds that
they and the models have the same fields.
"""

from types import NoneType, UnionType
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, Union, get_args, get_origin

import msgspec
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from kpistream.core.events import CallEnded, DealClosed, InstantMark, MovedFrom, Retracted, ScoreMark, SurveyCompleted

RENAMED: Final = {"score": "score_milli"}
"""Struct fields that are named otherwise than in the model, because their unit differs."""

if TYPE_CHECKING:

    class MovedFromFields(msgspec.Struct):
        agent_id: str | None
        queue: str | None
        campaign: str | None
        occurred_at: int

    class _Envelope(msgspec.Struct):
        tenant: str
        source: str
        event_id: str
        revision: int
        agent_id: str | None
        queue: str | None
        campaign: str | None
        customer_id: str | None
        call_id: str | None
        attributes: dict[str, str] | None
        moved_from: MovedFromFields | None
        occurred_at: int

    class CallFields(_Envelope):
        direction: str
        started_at: int
        answered_at: int | None
        ended_at: int
        queue_wait_ms: int | None
        ring_ms: int | None
        talk_ms: int | None
        hold_ms: int | None
        wrap_up_ms: int | None
        outcome: str
        answered_by: str | None
        disposition: str | None
        follow_up_of: str | None
        follow_up_due_at: int | None
        next_follow_up_at: int | None
        transfer_leg: int

    class DealFields(_Envelope):
        outcome: str
        amount_minor: int | None
        currency: str | None
        customer_type: str | None
        product: str | None
        closed_at: int

    class SurveyFields(_Envelope):
        kind: str
        score_milli: int
        scale_min: int
        scale_max: int
        completed_at: int

    class RetractedFields(msgspec.Struct):
        tenant: str
        source: str
        kind: str
        event_id: str
        epoch: int
        revision: int
        digest: int
        scope: str
        start_ms: int

else:
    _derived: dict[type[BaseModel], type[msgspec.Struct]] = {}

    def derive(model: type[BaseModel], name: str) -> type[msgspec.Struct]:
        """A struct with the model's fields and constraints; patterns and rules are left to the decoder."""
        fields = [_field(key, info) for key, info in model.model_fields.items() if key != "type"]
        tag = model.model_fields["type"].default if "type" in model.model_fields else None
        _derived[model] = msgspec.defstruct(
            name,
            fields,
            module=__name__,
            rename={struct: json for json, struct in RENAMED.items()},
            tag_field=None if tag is None else "type",
            tag=tag,
            kw_only=True,
            forbid_unknown_fields=True,
            omit_defaults=True,
            gc=False,
        )
        return _derived[model]

    def _field(key: str, info: FieldInfo) -> tuple[Any, ...]:
        kind = _kind(info.annotation, tuple(info.metadata))
        name = RENAMED.get(key, key)
        return (name, kind) if info.is_required() else (name, kind, info.default)

    def _kind(annotation: Any, metadata: tuple[Any, ...]) -> Any:
        """The struct's type for a model's annotation."""
        if get_origin(annotation) is Annotated:
            inner, *more = get_args(annotation)
            return _kind(inner, (*more, *metadata))
        if any(isinstance(part, InstantMark) for part in metadata):
            return int | str
        if any(isinstance(part, ScoreMark) for part in metadata):
            return float
        return _constrained(_plain(annotation), metadata)

    def _plain(annotation: Any) -> Any:
        origin = get_origin(annotation)
        if origin in (Union, UnionType):
            members = [_kind(member, ()) for member in get_args(annotation)]
            return Union[tuple(members)]  # noqa: UP007
        if origin is dict:
            key, value = get_args(annotation)
            return dict[_kind(key, ()), _kind(value, ())]
        if origin is Literal or annotation in (str, int, NoneType):
            return annotation
        return _derived[annotation]

    def _constrained(kind: Any, metadata: tuple[Any, ...]) -> Any:
        bounds: dict[str, int] = {}
        for part in metadata:
            for inner in part.metadata if isinstance(part, FieldInfo) else (part,):
                for name in ("ge", "le", "min_length", "max_length"):
                    bound = getattr(inner, name, None)
                    if bound is not None:
                        bounds[name] = bound
        return Annotated[kind, msgspec.Meta(**bounds)] if bounds else kind

    MovedFromFields = derive(MovedFrom, "MovedFromFields")
    CallFields = derive(CallEnded, "CallFields")
    DealFields = derive(DealClosed, "DealFields")
    SurveyFields = derive(SurveyCompleted, "SurveyFields")
    RetractedFields = derive(Retracted, "RetractedFields")

EventFields = CallFields | DealFields | SurveyFields
Fields = EventFields | RetractedFields

_encode: Final = msgspec.msgpack.Encoder(order="deterministic").encode


def canonical(fields: Fields) -> bytes:
    """The content as bytes: equal content gives equal bytes, whatever JSON it came from.

    Absent fields and defaults are left out, so that a field added by a later version leaves the bytes of
    older events as they are.
    """
    return _encode(fields)
