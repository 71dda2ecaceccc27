"""Events: the contract that producers write against, as pydantic models.

These models are the one definition: JSON Schemas and reference pages are generated from them, rejections
are explained by them, and the fast decoder is derived from them. Every time is epoch milliseconds once a
model exists; producers may give an aware datetime, RFC 3339 text or whole milliseconds. A function of
the record alone: no clock is read here.
"""

import json
from typing import Annotated, Any, ClassVar, Final, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, model_validator
from pydantic.json_schema import WithJsonSchema
from pydantic_core import PydanticCustomError

from kpistream.core import rules
from kpistream.core.currencies import NUMERIC
from kpistream.core.instants import END_MS, MIN_MS, instant, to_text
from kpistream.core.quoting import quoted
from kpistream.errors import EventRejected, Reason

MAX_REVISION: Final = (1 << 48) - 1
DAY_MS: Final = 86_400_000
NO_CONTROL: Final = r"^[^\x00-\x1f\x7f-\x9f]*$"
NAME_PATTERN: Final = r"^[A-Za-z0-9._-]{1,64}$"
SCOPE_PATTERN: Final = r"^(agent|queue|campaign):[^\x00-\x1f\x7f-\x9f]+$"


class InstantMark:
    """Marks a field as an instant for the code that derives the fast decoder."""


class ScoreMark:
    """Marks a field as a number with three decimals, kept as an integer of thousandths."""


def _instant(value: object) -> int:
    try:
        return instant(value)
    except EventRejected as rejected:
        raise custom(rejected.reason, rejected.detail, rejected.hint) from None


def _currency(value: str) -> str:
    if value not in NUMERIC:
        raise custom(
            Reason.UNKNOWN_CURRENCY,
            f"{quoted(value)} is not an ISO 4217 currency",
            "use a code such as EUR, in capitals",
        )
    return value


def _score(value: float) -> float:
    if abs(value) <= rules.SCALE_END and rules.score_milli(value) is None:
        raise custom(Reason.INVALID_FIELD, f"{value!r} has more than 3 decimals")
    return value


def custom(reason: Reason, detail: str, hint: str = "") -> PydanticCustomError:
    """A pydantic error that carries a reason of the closed list."""
    return PydanticCustomError(reason.value, "{detail}", {"detail": detail, "hint": hint})


_INSTANT_SCHEMA: Final = {
    "anyOf": [
        {"type": "string", "format": "date-time"},
        {"type": "integer", "minimum": MIN_MS, "exclusiveMaximum": END_MS},
    ]
}
Instant = Annotated[int, BeforeValidator(_instant), WithJsonSchema(_INSTANT_SCHEMA), InstantMark()]
Name = Annotated[str, StringConstraints(pattern=NAME_PATTERN)]
Text256 = Annotated[str, StringConstraints(min_length=1, max_length=256, pattern=NO_CONTROL)]
Text128 = Annotated[str, StringConstraints(min_length=1, max_length=128, pattern=NO_CONTROL)]
AttributeText = Annotated[str, StringConstraints(max_length=1024)]
Attributes = Annotated[dict[Text128, AttributeText], Field(max_length=64)]
DurationMs = Annotated[int, Field(ge=0, le=DAY_MS)]
Revision = Annotated[int, Field(ge=0, le=MAX_REVISION)]
ScalePoint = Annotated[int, Field(ge=0, le=rules.SCALE_END)]
Currency = Annotated[str, AfterValidator(_currency), WithJsonSchema({"type": "string", "enum": sorted(NUMERIC)})]
Score = Annotated[float, AfterValidator(_score), ScoreMark()]


class Contract(BaseModel):
    """What all models share: frozen, no silent conversion, unknown fields ignored."""

    model_config = ConfigDict(
        frozen=True, strict=True, extra="ignore", allow_inf_nan=False, use_attribute_docstrings=True
    )


class MovedFrom(Contract):
    """Where an earlier revision of the event counted, when a correction changes its agent, queue or pane."""

    agent_id: Text128 | None = None
    """The agent of the earlier revision."""
    queue: Text256 | None = None
    """The queue of the earlier revision; places it when that had no agent."""
    campaign: Text256 | None = None
    """The campaign of the earlier revision; places it when that had neither agent nor queue."""
    occurred_at: Instant
    """When the earlier revision said that it happened."""

    @model_validator(mode="after")
    def _rules(self) -> Self:
        _raise(rules.no_place(self))
        return self


class Event(Contract):
    """The envelope of every event."""

    own_time: ClassVar[str]
    """Name of the field that says when the event happened."""
    event_kind: ClassVar[str]
    """Part of the identity: ids are unique within tenant, source and kind."""

    tenant: Name
    """Whose data this is; never mixed with another tenant's."""
    source: Name
    """The system that the event comes from; ids are unique only within it."""
    event_id: Text256
    """The source's own id of what happened; the same for every delivery and every correction."""
    revision: Revision = 0
    """Grows with every correction of the event; the highest stands."""
    agent_id: Text128 | None = None
    """Who did it; null for a call that reached no agent."""
    queue: Text256 | None = None
    """The queue that the call came through; places an event without an agent."""
    campaign: Text256 | None = None
    """The campaign that the event belongs to; places an event with neither agent nor queue."""
    customer_id: Text256 | None = None
    """The customer, as the source names them."""
    call_id: Text256 | None = None
    """The call: shared by its legs, and by the deals and surveys that it led to."""

    @model_validator(mode="after")
    def _rules(self) -> Self:
        own = getattr(self, self.own_time)
        _raise(rules.broken(self))
        given = getattr(self, "occurred_at", None)
        if given is not None and given != own:
            raise custom(
                Reason.OCCURRED_AT_DIFFERS,
                f"occurred_at: {to_text(given)} differs from {self.own_time} {to_text(own)}",
                f"leave occurred_at out, or send the same instant as {self.own_time}",
            )
        self.__dict__["occurred_at"] = own
        return self

    @property
    def scope(self) -> str:
        """What the event counts for: `agent:ID`, else `queue:NAME`, else `campaign:NAME`."""
        if self.agent_id is not None:
            return "agent:" + self.agent_id
        return f"queue:{self.queue}" if self.queue is not None else f"campaign:{self.campaign}"

    def key(self) -> bytes:
        """Kafka key of the record: `tenant/scope`."""
        return f"{self.tenant}/{self.scope}".encode()

    def to_json(self) -> bytes:
        """The record's value: compact JSON with RFC 3339 times; nulls and defaults are left out."""
        return to_json(self)


class CallEnded(Event):
    """A call leg ended: attempts, abandoned calls and voicemail included."""

    own_time = "ended_at"
    event_kind = "call"

    type: Literal["call.ended"] = "call.ended"
    """Always `call.ended`."""
    direction: Literal["inbound", "outbound"]
    """Who called: `inbound` the customer, `outbound` the agent or a dialer."""
    started_at: Instant
    """When the call was set up: dialed, or arrived."""
    answered_at: Instant | None = None
    """When the other side, or the agent, answered; null when nobody did."""
    ended_at: Instant
    """When the call ended; after-call work never moves it. The time of the event."""
    queue_wait_ms: DurationMs | None = None
    """Time in queue in ms; null when unknown."""
    ring_ms: DurationMs | None = None
    """Ringing time in ms; null when unknown."""
    talk_ms: DurationMs | None = None
    """Talk time in ms without hold, ring and wrap-up; null: answered to ended without hold."""
    hold_ms: DurationMs | None = None
    """Time on hold in ms; null when unknown."""
    wrap_up_ms: DurationMs | None = None
    """After-call work in ms; null when not known yet (a later revision may bring it)."""
    outcome: Literal["connected", "no-answer", "busy", "failed", "abandoned", "voicemail", "cancelled", "rejected"]
    """How it ended; `connected` means that a person answered."""
    answered_by: Literal["human", "machine", "unknown"] | None = None
    """What answering-machine detection said; null when there was none."""
    disposition: Text256 | None = None
    """The result that the agent entered."""
    follow_up_of: Text256 | None = None
    """The `call_id` of the earlier call that this call follows up."""
    follow_up_due_at: Instant | None = None
    """When that follow-up was due; needs `follow_up_of`."""
    next_follow_up_at: Instant | None = None
    """When this call promised the next one; null for no promise."""
    transfer_leg: Annotated[int, Field(ge=0, le=100)] = 0
    """0 for the first leg of a call, 1 after the first transfer, and so on."""
    attributes: Attributes | None = None
    """Further text by name, kept and never interpreted: at most 64 entries, values up to 1024 characters."""
    moved_from: MovedFrom | None = None
    """Where an earlier revision counted, when this one changes agent or time."""
    occurred_at: Instant | None = None
    """May be left out; if given, equal to `ended_at`. Always set on a model."""


class DealClosed(Event):
    """A deal was closed: won, lost, or taken back."""

    own_time = "closed_at"
    event_kind = "deal"

    type: Literal["deal.closed"] = "deal.closed"
    """Always `deal.closed`."""
    outcome: Literal["won", "lost", "voided"]
    """`voided` takes back a deal that was won before: a higher revision of the same event."""
    amount_minor: Annotated[int, Field(ge=0, le=10**13)] | None = None
    """Amount in minor units of the currency (cents); needed when won."""
    currency: Currency | None = None
    """ISO 4217 code; needed with an amount."""
    customer_type: Literal["new", "repeat"] | None = None
    """Whether the customer had bought before; null when unknown."""
    product: Text256 | None = None
    """What was sold."""
    closed_at: Instant
    """When the deal was closed. The time of the event."""
    attributes: Attributes | None = None
    """Further text by name, kept and never interpreted: at most 64 entries, values up to 1024 characters."""
    moved_from: MovedFrom | None = None
    """Where an earlier revision counted, when this one changes agent or time."""
    occurred_at: Instant | None = None
    """May be left out; if given, equal to `closed_at`. Always set on a model."""


class SurveyCompleted(Event):
    """A customer answered a survey question with a number."""

    own_time = "completed_at"
    event_kind = "survey"

    type: Literal["survey.completed"] = "survey.completed"
    """Always `survey.completed`."""
    kind: Literal["csat", "nps", "ces", "other"]
    """What was asked: satisfaction, recommendation (0 to 10, whole), effort, or something else."""
    score: Score
    """The answer, on its scale, with at most 3 decimals."""
    scale_min: ScalePoint
    """Lowest possible answer."""
    scale_max: ScalePoint
    """Highest possible answer."""
    completed_at: Instant
    """When the customer answered. The time of the event."""
    attributes: Attributes | None = None
    """Further text by name, kept and never interpreted: at most 64 entries, values up to 1024 characters."""
    moved_from: MovedFrom | None = None
    """Where an earlier revision counted, when this one changes agent or time."""
    occurred_at: Instant | None = None
    """May be left out; if given, equal to `completed_at`. Always set on a model."""

    @property
    def score_milli(self) -> int:
        """The score in thousandths."""
        milli = rules.score_milli(self.score)
        assert milli is not None
        return milli


class Retracted(Contract):
    """An event no longer counts where it did. Written by the system itself, never by a producer."""

    type: Literal["retracted"] = "retracted"
    """Always `retracted`."""
    tenant: Name
    """Tenant of the retracted event."""
    source: Name
    """Source of the retracted event."""
    kind: Literal["call", "deal", "survey"]
    """Kind of the retracted event."""
    event_id: Text256
    """Id of the retracted event."""
    epoch: Annotated[int, Field(ge=1, le=65_535)]
    """Epoch of what superseded it: the number of the rules for contributions."""
    revision: Revision
    """Revision of what superseded it."""
    digest: Annotated[int, Field(ge=0, le=(1 << 32) - 1)]
    """Digest of what superseded it."""
    scope: Annotated[str, StringConstraints(max_length=265, pattern=SCOPE_PATTERN)]
    """The scope that it leaves: `agent:ID`, `queue:NAME` or `campaign:NAME`."""
    start_ms: Annotated[int, Field(ge=0, le=END_MS)]
    """Start of the pane that it leaves, epoch ms."""

    def key(self) -> bytes:
        """Kafka key of the record: `tenant/scope` of the place that it leaves."""
        return f"{self.tenant}/{self.scope}".encode()

    def to_json(self) -> bytes:
        """The record's value: compact JSON."""
        return to_json(self)


AnyEvent = CallEnded | DealClosed | SurveyCompleted | Retracted
MODELS: Final[dict[str, type[CallEnded] | type[DealClosed] | type[SurveyCompleted] | type[Retracted]]] = {
    "call.ended": CallEnded,
    "deal.closed": DealClosed,
    "survey.completed": SurveyCompleted,
    "retracted": Retracted,
}
"""The models by `type`."""


def to_json(event: Event | Retracted) -> bytes:
    """Compact JSON: `type` first, RFC 3339 times, nulls and defaults left out, `occurred_at` implied."""
    content: dict[str, Any] = {"type": getattr(event, "type")}  # noqa: B009
    content.update(event.model_dump(exclude_defaults=True, exclude={"type", "occurred_at"}))
    for part in (content, content.get("moved_from") or {}):
        for name in part:
            if name.endswith("_at"):
                part[name] = to_text(part[name])
    return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()


def _raise(fault: rules.Fault | None) -> None:
    if fault is not None:
        raise custom(*fault)
