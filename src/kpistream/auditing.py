"""Auditing: lets the judge look at a running system, soundly while traffic flows.

The order makes it sound. The end of the log is fixed; worker and sink are waited for until all that follows
from it is in the store; then readings, changelog and store are read; the log itself last, up to an end
fixed after that. A place that later records touch is still moving and is counted, not judged. Nothing is
held back, locked or written, and no consumer group is joined.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from aiokafka.admin import AIOKafkaAdminClient

from kpistream import service
from kpistream.config import Config
from kpistream.embedded import PARTITIONS
from kpistream.errors import ConfigError, KpistreamError
from kpistream.history import ddl
from kpistream.history.store import Store, open_store
from kpistream.judge import stored
from kpistream.judge.audit import MEBIBYTE, Audit
from kpistream.judge.findings import Findings, What
from kpistream.judge.ground import Account, Ground
from kpistream.judge.recompute import Raw
from kpistream.judge.stored import Span
from kpistream.log import admin as log_admin
from kpistream.log.admin import committed_offsets
from kpistream.log.tail import bounds, read_between
from kpistream.log.topics import Topics

_LOOK_S: Final = 0.2
READING_GRACE_S: Final = 30.0
"""A reading is published about a second after its pane changed, later under load; a wrong one is waited for so long."""


class NotSettled(KpistreamError):
    """Worker or sink did not reach the fixed end in time: nothing can be said yet."""


@dataclass(frozen=True, slots=True)
class Question:
    """What to audit and with which means."""

    span: Span = Span()
    live: bool = False
    memory_mib: int = 512
    wait_s: float = 120.0


@dataclass(slots=True)
class Answer:
    """What an audit found, and what it stood on."""

    ground: Ground
    account: Account
    findings: Findings
    ends: dict[int, int]
    """Where the log was read to."""
    first_record_ms: dict[int, int] = field(default_factory=dict)


async def audit(config: Config, question: Question) -> Answer:
    """Compare everything with the log. Raises NotSettled, and ConfigError for what cannot be looked at."""
    if not config.store:
        raise ConfigError("no store is named\nhint: --store, or KPISTREAM_STORE")
    partitions = await _partitions(config)
    with open_store(config.store) as store:
        ddl.check(store)
        settled = await _settled(config, partitions, question.wait_s)
        topics, connection = Topics(config.topic_prefix), config.connection()
        earliest, _ = await bounds(connection, topics.events, partitions)
        ground = Ground(
            topics.events, partitions, config.pane_ms, earliest, settled, question.span, question.live, _now_ms()
        )
        with Audit(ground, question.memory_mib * MEBIBYTE) as judge:
            shown_to = await _take_live(config, judge) if question.live else {}
            await asyncio.to_thread(_take_store, judge, store)
            _, ends = await bounds(connection, topics.events, partitions)
            async for records in read_between(connection, topics.events, earliest, ends):
                for record in records:
                    judge.take_record(raw(record))
            await asyncio.to_thread(judge.conclude)
            answer = Answer(ground, judge.account, judge.findings, ends, judge.first_record_ms)
        await _look_again(config, answer, shown_to, min(READING_GRACE_S, question.wait_s))
    return answer


def raw(record: Any) -> Raw:
    """A consumed record as the judge takes it."""
    return Raw(record.partition, record.offset, record.timestamp, record.key, record.value, record.headers)


def _now_ms() -> int:
    return service.clocks().now_ms()


async def _partitions(config: Config) -> int:
    return PARTITIONS if config.embedded else await service.checked_partitions(config, write=False)


def _take_store(judge: Audit, store: Store) -> None:
    span = judge.ground.span
    for row in stored.rows(store.stream, span):
        judge.take_row(row)
    for fact in stored.facts(store.stream, span):
        judge.take_fact(fact)


async def _take_live(config: Config, judge: Audit) -> dict[int, int]:
    """Hand over changelog and readings; where the readings ended."""
    topics, connection = Topics(config.topic_prefix), config.connection()
    firsts, ends = await bounds(connection, topics.panes, judge.ground.partitions)
    async for records in read_between(connection, topics.panes, firsts, ends):
        for record in records:
            judge.take_changelog(record.partition, record.offset, record.key or b"", record.value)
    firsts, ends = await bounds(connection, topics.readings, judge.ground.partitions)
    async for records in read_between(connection, topics.readings, firsts, ends):
        for record in records:
            judge.take_reading(record.partition, record.offset, record.key or b"", record.value)
    return ends


async def _look_again(config: Config, answer: Answer, read_to: dict[int, int], limit_s: float) -> None:
    """Withdraw readings that were published again meanwhile: they were on their way."""
    found = answer.findings.first
    wrong = {finding.identity: finding for finding in found if finding.what is What.READING_DIFFERENT}
    topic, deadline_s = Topics(config.topic_prefix).readings, time.monotonic() + limit_s
    while wrong and time.monotonic() < deadline_s:
        await asyncio.sleep(_LOOK_S)
        _, ends = await bounds(config.connection(), topic, answer.ground.partitions)
        async for records in read_between(config.connection(), topic, read_to, ends):
            for record in records:
                finding = wrong.pop((record.key or b"").decode("utf-8", "replace"), None)
                if finding is not None:
                    answer.findings.withdraw(finding)
        read_to = ends


# ---- waiting


@asynccontextmanager
async def _admin(config: Config) -> AsyncIterator[AIOKafkaAdminClient]:
    admin = await log_admin.connect(config.connection())
    try:
        yield admin
    finally:
        await admin.close()


async def _settled(config: Config, partitions: int, wait_s: float) -> dict[int, int]:
    """Offsets of the events before which everything has arrived, all that followed from it included.

    The worker commits a record after what follows from it is durable; its own retractions are records too,
    so the end is taken again once it has committed past the first one. Then the sink must have both topics.
    """
    topics, connection = Topics(config.topic_prefix), config.connection()
    deadline_s = time.monotonic() + wait_s
    async with _admin(config) as admin:

        async def reached(group: str, topic: str) -> dict[int, int]:
            firsts, ends = await bounds(connection, topic, partitions)
            kept = {number: end for number, end in ends.items() if firsts[number] < end}
            while behind := _behind(group, topic, await committed_offsets(admin, group, topic, partitions), kept):
                if time.monotonic() >= deadline_s:
                    raise NotSettled("\n".join([*behind, f"hint: not judged after {wait_s:.0f} s; see --wait"]))
                await asyncio.sleep(_LOOK_S)
            return ends

        settled = await reached(config.worker_group, topics.events)
        await reached(config.worker_group, topics.events)
        await reached(config.sink_group, topics.events)
        await reached(config.sink_group, topics.panes)
    return settled


def _behind(group: str, topic: str, committed: dict[int, int], ends: dict[int, int]) -> Sequence[str]:
    return [
        f"group {group}: {topic}[{number}] committed {max(0, committed.get(number, 0))} of {end}"
        for number, end in sorted(ends.items())
        if committed.get(number, -1) < end
    ]
