"""Trying: a file of records goes through the whole pipeline on embedded parts, or towards a real cluster.

Every row is accounted for: mapped, skipped by a named rule, or refused with a reason. Refused rows become
dead letters with their original bytes.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from kpistream.errors import EventRejected
from kpistream.log.records import Outgoing
from kpistream.log.topics import Topics
from kpistream.pipeline import Pipeline, PipelineSettings
from kpistream.sources.mapping import Account, Mapped, Mapping
from kpistream.sources.spool import Spool

Progress = Callable[[str, int, int], None]
"""(what is done, done, total or 0): called now and then."""


@dataclass(frozen=True, slots=True)
class Files:
    """What is to be read, and how."""

    paths: tuple[Path, ...]
    mapping: Mapping
    zone: str | None = None
    tenant: str = "default"
    resolve: Callable[[str, str, str, int], str] | None = None


@dataclass(slots=True)
class Result:
    """What became of the files' rows and of the events made from them."""

    account: Account = field(default_factory=Account)
    sent: int = 0
    outcomes: dict[str, int] = field(default_factory=dict)
    """Events by what the worker made of them."""
    refused: dict[str, int] = field(default_factory=dict)
    """Events that the worker refused, by reason."""
    facts: int = 0
    recomputed: int = 0
    """Closed panes computed again from facts."""


def mapped_rows(files: Files) -> Iterator[tuple[Path, Mapped]]:
    """Every row of every file with what became of it."""
    rows = [
        (path, files.mapping.rows(path, zone=files.zone, tenant=files.tenant, resolve=files.resolve))
        for path in files.paths
    ]  # a file without the mapping's columns is found before the first row of any file is read
    for path, found in rows:
        for row in found:
            yield path, row


def refused_row(path: Path, row: Mapped, rejected: EventRejected) -> Outgoing:
    """The row as a dead letter: its bytes, where it stands and why it was refused."""
    about = {
        "kpi-reason": str(rejected.reason),
        "kpi-detail": rejected.detail,
        "kpi-hint": rejected.hint,
        "kpi-file": path.name,
        "kpi-line": str(row.line),
    }
    return Outgoing(None, row.raw, [(name, text.encode("utf-8", "replace")) for name, text in about.items() if text])


async def try_files(files: Files, settings: PipelineSettings, progress: Progress) -> Result:
    """Run the files through the pipeline into `settings.store`; returns when everything is in.

    Records carry their events' own times and go in their order, so that the frontier moves with the data.
    """
    result = Result()
    with Spool() as spool:
        refused: list[Outgoing] = []
        async with Pipeline(settings) as pipeline:
            for path, row in mapped_rows(files):
                result.account.add(row)
                if row.rejected is not None:
                    refused.append(refused_row(path, row, row.rejected))
                    if len(refused) >= 1000:
                        await pipeline.publisher.publish(Topics().dead_letters, 0, refused)
                        refused.clear()
                for record in row.records:
                    spool.add(record)
                if result.account.rows % 5000 == 0:
                    progress("reading rows", result.account.rows, 0)
            await pipeline.publisher.publish(Topics().dead_letters, 0, refused)
            progress("reading rows", result.account.rows, result.account.rows)
            await pipeline.feed(_counted(spool, result, progress))
            await pipeline.drained()
            _outcomes(pipeline, result)
    return result


def _counted(spool: Spool, result: Result, progress: Progress) -> Iterator[Outgoing]:
    for record in spool.in_order():
        result.sent += 1
        if result.sent % 1000 == 0 or result.sent == spool.count:
            progress("sending events", result.sent, spool.count)
        yield Outgoing(record.key.encode("utf-8", "surrogatepass"), record.value, (), record.occurred_at_ms)


def _outcomes(pipeline: Pipeline, result: Result) -> None:
    for metric in pipeline.registry.collect():
        for sample in metric.samples:
            if sample.name == "kpistream_event_outcomes_total" and sample.value:
                result.outcomes[sample.labels["outcome"]] = int(sample.value)
            if sample.name == "kpistream_events_rejected_total" and sample.value:
                result.refused[sample.labels["reason"]] = int(sample.value)
    result.facts = pipeline.sink.progress.facts
    result.recomputed = pipeline.sink.progress.marks
