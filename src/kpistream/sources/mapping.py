"""Mappings: a file's rows to canonical events, by a YAML description and without code for a system.

Every row comes out exactly once: with its events, skipped under a name, or rejected with a reason and its
bytes. A row is rejected as a whole: when one of its events breaks the contract, none of them is handed out.
Events leave as the JSON that goes to `kpi.events`, checked by the contract itself.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Final, NamedTuple

from kpistream.core.decoding import (
    CallFields,
    DealFields,
    Fields,
    RetractedFields,
    SurveyFields,
    decode,
)
from kpistream.core.placing import scope_of
from kpistream.core.settings_values import identifier
from kpistream.core.windows import zone_of_name
from kpistream.core.yaml_nodes import Faults
from kpistream.errors import ConfigError, EventRejected, Reason
from kpistream.sources.fields import Binding, Make, bind
from kpistream.sources.mapping_schema import Description, EventSpec, read_description
from kpistream.sources.predicates import Test
from kpistream.sources.rows import Columns, Reader, Row, payload_row

Resolve = Callable[[str, str, str, int], str | None]
"""(tenant, source, that system's id for a person, epoch ms) to the agent's id, such as `Roster.alias`; None keeps
the id as it came."""

_NO_CLOCK: Final = 1 << 53
_ENCODER: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))
_OCCURRED: Final = {
    "call.ended": "ended_at",
    "deal.closed": "closed_at",
    "survey.completed": "completed_at",
}


class Record(NamedTuple):
    """One event, ready for `kpi.events`."""

    value: bytes
    key: str
    """`tenant/scope`."""
    occurred_at_ms: int
    type: str


@dataclass(frozen=True, slots=True)
class Mapped:
    """What became of one row; exactly one of `records`, `skipped` and `rejected` says it."""

    line: int
    """First line of the row in its file, from 1."""
    raw: bytes
    records: tuple[Record, ...] = ()
    skipped: str | None = None
    rejected: EventRejected | None = None


Convert = Callable[[bytes, int], Mapped]


@dataclass(slots=True)
class Account:
    """The account of a file: rows = mapped + skipped + rejected, always."""

    rows: int = 0
    mapped: int = 0
    events: Counter[str] = field(default_factory=Counter)
    """Events by type; a row may make several."""
    skipped: Counter[str] = field(default_factory=Counter)
    """Rows by the name of their skip rule."""
    rejected: Counter[str] = field(default_factory=Counter)
    """Rows by reason."""

    def add(self, row: Mapped) -> None:
        """Count one row."""
        self.rows += 1
        if row.rejected is not None:
            self.rejected[row.rejected.reason.value] += 1
        elif row.skipped is not None:
            self.skipped[row.skipped] += 1
        else:
            self.mapped += 1
            self.events.update(record.type for record in row.records)

    def as_dict(self) -> dict[str, object]:
        """The account as plain numbers and tables, for JSON."""
        tables = {"events": self.events, "skipped": self.skipped, "rejected": self.rejected}
        return {"rows": self.rows, "mapped": self.mapped} | {name: dict(table) for name, table in tables.items()}


@dataclass(frozen=True, slots=True)
class Mapping:
    """A checked mapping; `rows` reads a file with it."""

    name: str
    description: Description

    def rows(
        self,
        path: Path,
        *,
        zone: str | None = None,
        tenant: str = "default",
        resolve: Resolve | None = None,
        now_ms: int | None = None,
    ) -> Iterator[Mapped]:
        """Every row of the file, in its order.

        `zone` (IANA name) stands above the mapping's own for local times. `tenant` is for rows that name none.
        `now_ms` is what "in the future" is measured against; None leaves that to the broker's timestamp.
        Raises: ConfigError at once when the file has not the columns that the mapping names.
        """
        clock = _NO_CLOCK if now_ms is None else now_ms
        description = self.description
        chosen = description.zone if zone is None else zone_of_name(zone)
        try:
            identifier(tenant)
        except ValueError as error:
            raise ConfigError(f"tenant {error}") from error
        reader = Reader(path, description.form)
        if description.as_events:
            return _read(reader, _AsEvents(tenant, resolve, clock))
        faults = Faults(description.file)
        binding = Binding(Columns(reader.columns, reader.name, faults), chosen, description.nulls)
        convert = _Rows(description, binding, tenant, resolve, clock)
        try:
            faults.raise_if_any()
        except ConfigError:
            reader.close()
            raise
        return _read(reader, convert)

    def payloads(self, *, zone: str | None = None, tenant: str = "default", resolve: Resolve | None = None) -> Convert:
        """What turns one record that stands for itself, such as a dead letter's, into events.

        Raises: ConfigError for a mapping of files with a header, which a single row has not.
        """
        description, form = self.description, self.description.form
        if form.kind != "jsonl" and form.header:
            raise ConfigError(f"{description.file}: columns are named by the header of a file, and one row has none")
        if description.as_events:
            events = _AsEvents(tenant, resolve, _NO_CLOCK)
            return lambda raw, number: events(payload_row(raw, number, form))
        faults = Faults(description.file)
        columns = Columns(None if form.kind == "jsonl" else form.columns, "record", faults)
        chosen = description.zone if zone is None else zone_of_name(zone)
        rows = _Rows(description, Binding(columns, chosen, description.nulls), tenant, resolve, _NO_CLOCK)
        faults.raise_if_any()
        return lambda raw, number: rows(payload_row(raw, number, form))


def packaged() -> tuple[str, ...]:
    """Names of the mappings that come with kpistream."""
    folder = files("kpistream.sources") / "mappings"
    return tuple(sorted(entry.name[: -len(".yaml")] for entry in folder.iterdir() if entry.name.endswith(".yaml")))


def load_mapping(name_or_path: str | Path) -> Mapping:
    """A packaged mapping by name, or one from a file. Raises: ConfigError with every fault as `file:line key: fact`."""
    path = Path(name_or_path)
    if isinstance(name_or_path, str) and name_or_path in packaged():
        text = (files("kpistream.sources") / "mappings" / f"{name_or_path}.yaml").read_text(encoding="utf-8")
        return Mapping(name_or_path, read_description(text, f"{name_or_path}.yaml"))
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        known = ", ".join(packaged())
        raise ConfigError(f'mapping "{name_or_path}": no such file, and none of the packaged ones ({known})') from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}:1 yaml: byte {error.start} is not utf-8") from error
    return Mapping(path.stem, read_description(text, str(path)))


def _read(reader: Reader, convert: Callable[[Row], Mapped]) -> Iterator[Mapped]:
    try:
        for row in reader:
            yield convert(row)
    finally:
        reader.close()


class _Rows:
    """A description bound to the columns of one file: row to events."""

    def __init__(
        self,
        description: Description,
        to: Binding,
        tenant: str,
        resolve: Resolve | None,
        clock: int,
    ) -> None:
        self._skips = [(skip.name, skip.when.bind(to.columns)) for skip in description.skips]
        self._events = [_Maker(event, to, tenant, description.source) for event in description.events]
        self._resolve = resolve
        self._clock = clock

    def __call__(self, row: Row) -> Mapped:
        if row.fault is not None:
            return Mapped(row.line, row.raw, rejected=EventRejected(Reason.UNMAPPED, row.fault))
        for name, test in self._skips:
            if test(row):
                return Mapped(row.line, row.raw, skipped=name)
        try:
            records = tuple(self._record(maker, row) for maker in self._events if maker.when(row))
        except EventRejected as rejected:
            return Mapped(row.line, row.raw, rejected=rejected)
        if not records:
            fact = "no event of the mapping takes this row, and no skip rule names it"
            return Mapped(row.line, row.raw, rejected=EventRejected(Reason.UNMAPPED, fact))
        return Mapped(row.line, row.raw, records)

    def _record(self, maker: "_Maker", row: Row) -> Record:
        event = maker.make(row)
        if self._resolve is not None:
            left = event.get("moved_from")
            left_at = left.get("occurred_at") if isinstance(left, dict) else None
            _resolve_agents(event, self._resolve, event.get(_OCCURRED[maker.type]), left_at)
        value = _encode(event)
        return _accepted(value, decode(value, self._clock))


class _Maker:
    """One event of the mapping, bound: makes its fields in order."""

    def __init__(self, spec: EventSpec, to: Binding, tenant: str, source: str) -> None:
        self.type = spec.type
        self.when: Test = spec.when.bind(to.columns)
        self._start = {"type": spec.type, "tenant": tenant, "source": source}
        self._fields: list[tuple[str, str, str, Make]] = []
        for path, value in spec.fields:
            group, _, inner = path.partition(".")
            self._fields.append((path, group, inner, bind(value, to)))

    def make(self, row: Row) -> dict[str, object]:
        """The event as a JSON object; fields without a value are left out."""
        event: dict[str, object] = dict(self._start)
        made = row.made = {}
        for path, group, inner, make in self._fields:
            value = make(row)
            made[path] = value
            if value is None:
                continue
            if inner:
                members = event.setdefault(group, {})
                assert isinstance(members, dict)
                members[inner] = value
            else:
                event[path] = value
        return event


class _AsEvents:
    """Rows that are canonical events already: checked, given a tenant and the agent's own id where needed."""

    def __init__(self, tenant: str, resolve: Resolve | None, clock: int) -> None:
        self._tenant = tenant
        self._resolve = resolve
        self._clock = clock

    def __call__(self, row: Row) -> Mapped:
        try:
            return Mapped(row.line, row.raw, (self._record(row),))
        except EventRejected as rejected:
            return Mapped(row.line, row.raw, rejected=rejected)

    def _record(self, row: Row) -> Record:
        value = row.raw
        assert isinstance(row.cells, dict)
        if row.cells and "tenant" not in row.cells and "specversion" not in row.cells:
            value = _encode({**json.loads(value), "tenant": self._tenant})
        fields = decode(value, self._clock)
        if isinstance(fields, RetractedFields):
            raise EventRejected(Reason.RESERVED, 'type "retracted" is written by the system only')
        if self._resolve is None:
            return _accepted(value, fields)
        event = json.loads(value)
        inner = event["data"] if "specversion" in event else event
        left_at = None if fields.moved_from is None else fields.moved_from.occurred_at
        resolved = {"tenant": fields.tenant, "source": fields.source, **inner}
        _resolve_agents(resolved, self._resolve, _occurred_at(fields), left_at)
        if all(resolved.get(name) == inner.get(name) for name in ("agent_id", "moved_from")):
            return _accepted(value, fields)
        inner.update((name, resolved[name]) for name in ("agent_id", "moved_from") if name in resolved)
        value = _encode(event)
        return _accepted(value, decode(value, self._clock))


def _resolve_agents(event: dict[str, object], resolve: Resolve, at_ms: object, left_at_ms: object) -> None:
    """Put the agent's own id in place of another system's, in the event and in the place that it left."""
    tenant, source = str(event["tenant"]), str(event["source"])
    agent_id, left = event.get("agent_id"), event.get("moved_from")
    if isinstance(agent_id, str) and isinstance(at_ms, int):
        event["agent_id"] = resolve(tenant, source, agent_id, at_ms) or agent_id
    if isinstance(left, dict) and isinstance(left.get("agent_id"), str) and isinstance(left_at_ms, int):
        known = resolve(tenant, source, left["agent_id"], left_at_ms)
        event["moved_from"] = {**left, "agent_id": known or left["agent_id"]}


def _encode(event: dict[str, object]) -> bytes:
    # Lone surrogates pass here so that the contract, not the encoder, refuses them.
    return _ENCODER.encode(event).encode("utf-8", "surrogatepass")


def _accepted(value: bytes, fields: Fields) -> Record:
    assert not isinstance(fields, RetractedFields)
    key = f"{fields.tenant}/{scope_of(fields.agent_id, fields.queue, fields.campaign)}"
    return Record(value, key, _occurred_at(fields), _type_of(fields))


def _occurred_at(fields: CallFields | DealFields | SurveyFields) -> int:
    if isinstance(fields, CallFields):
        return fields.ended_at
    return fields.closed_at if isinstance(fields, DealFields) else fields.completed_at


def _type_of(fields: CallFields | DealFields | SurveyFields) -> str:
    if isinstance(fields, CallFields):
        return "call.ended"
    return "deal.closed" if isinstance(fields, DealFields) else "survey.completed"
