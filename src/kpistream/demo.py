"""Demo: a simulated floor through the whole pipeline, and an honest account of it.

A copy of every record that is sent goes to the judge at once, so that the comparison at the end rests on
what was sent and not on what a broker kept. Time is the simulated clock's: it stands until the morning's
records are in, then runs `speed` times as fast as the wall's.
"""

import asyncio
import contextlib
import itertools
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

from kpistream.core.alerts import State, Transition
from kpistream.core.measures import named
from kpistream.core.settings import Settings
from kpistream.demo_story import story
from kpistream.errors import ConfigError
from kpistream.history import queries
from kpistream.history.store import open_store
from kpistream.judge.compare import Verdict, cells_of_named, compare
from kpistream.judge.recompute import Raw, Recomputation
from kpistream.log.records import Outgoing
from kpistream.pipeline import Pipeline, PipelineSettings
from kpistream.simulate.agenda import BAD, CONFLICT, CORRECTION, DUPLICATE, MOVE, Account, Sent
from kpistream.simulate.floor import DEMO_FATES, WARM_UP_MS, demo_settings, floor_of, floor_tenant, opening_ms
from kpistream.simulate.simulation import simulate

_STEP_S: Final = 0.1
_CHECK_S: Final = 5.0
_MORNING_RECORDS: Final = 200
_DAY_MS: Final = 24 * 3_600_000


@dataclass(frozen=True, slots=True)
class DemoSettings:
    """How a demo runs."""

    store: str
    """Directory of the embedded engine."""
    speed: float = 60.0
    """Simulated seconds in a second."""
    seed: int = 1
    settings: Settings | None = None
    """Who works there and what they should reach; None: the packaged floor."""


@dataclass(frozen=True, slots=True)
class Result:
    """What was sent, what the worker and the judge made of it, and whether they agree."""

    sent: Account
    outcomes: dict[str, int]
    """Accepted records by what the worker made of them."""
    rejected: dict[str, int]
    """Records that the worker refused, by reason."""
    retractions: int
    """Written by the worker, for moves."""
    transitions: int
    """Alert transitions."""
    fired: dict[str, int]
    """How often an alert began to fire, by target."""
    judged: Recomputation
    verdict: Verdict
    story: tuple[str, ...] = ()
    """What befell whom, and who was alarmed; empty before noon."""
    from_words: str = ""
    """From when on cells are compared, when the store held something before."""

    @property
    def faults(self) -> list[str]:
        """Counts in which the worker and the judge differ, or the floor and both; one fact each."""
        accepted = sum(self.outcomes.values()) - self.outcomes.get("retracted", 0)
        pairs = (
            ("accepted", accepted, self.judged.accepted),
            ("rejected", sum(self.rejected.values()), sum(self.judged.rejected.values())),
            ("rejected", sum(self.rejected.values()), self.sent.what[BAD]),
        )
        return [f"{name}: {found} by the worker, {wanted} expected" for name, found, wanted in pairs if found != wanted]

    @property
    def exact(self) -> bool:
        """True when nothing differs."""
        return self.verdict.exact and not self.faults


class Demo:
    """One run: `running` opens the pipeline, `warm_up`, `run` and `drain` follow in it, `result` comes after."""

    def __init__(self, settings: DemoSettings) -> None:
        self.settings = settings
        """Raises ConfigError when the clock would stand, or the settings are no floor of one tenant."""
        if settings.speed <= 0:
            raise ConfigError(f"speed {settings.speed:g} must be above 0 simulated seconds in a second")
        self._live = settings.settings or demo_settings()
        self._tenant = floor_tenant(self._live.roster)
        self.zone = self._live.roster.tenant(self._tenant).zone
        self._before_ms = _facts_end(settings.store)
        self.start_ms = _opening_after(self._before_ms, self.zone)
        self._shown_ms = self.start_ms + WARM_UP_MS
        self._started_s: float | None = None
        floor = floor_of(self._live.roster, self._tenant, self.start_ms, settings.seed, DEMO_FATES)
        self._records = simulate(floor, self.start_ms)
        self._next = next(self._records)
        self.sent = Account()
        self._judge: Recomputation | None = None
        self._pipeline: Pipeline | None = None
        self._failed: asyncio.Future[None] | None = None

    def now_ms(self) -> int:
        """The simulated clock, epoch ms."""
        if self._started_s is None:
            return self._shown_ms
        return self._shown_ms + round((time.monotonic() - self._started_s) * self.settings.speed * 1000)

    def opening_words(self) -> str:
        """What is about to happen."""
        day = datetime.fromtimestamp(self.start_ms / 1000, ZoneInfo(self.zone))
        after = "" if self._before_ms is None else ", after what the store holds"
        agents = len(self._names())
        return f"starting a broker, a worker, a sink and a floor of {agents} agents; it is {day:%A %d %B %Y}{after} ..."

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[Pipeline]:
        """The pipeline, while the context lasts; ends with the error of a role that fails."""
        settings = PipelineSettings(self.settings.store, self._live, self.now_ms)
        async with Pipeline(settings) as self._pipeline:
            self._judge = Recomputation(self._pipeline.config.pane_ms)
            self._failed = asyncio.ensure_future(self._watch_roles(self._pipeline))
            try:
                yield self._pipeline
            finally:
                self._failed.cancel()

    async def warm_up(self, asked: asyncio.Event) -> None:
        """Send what the morning brought and wait until it is in; then the clock starts."""
        morning = self._due(self._shown_ms)
        while not asked.is_set() and (some := list(itertools.islice(morning, _MORNING_RECORDS))):
            await self._feed(some)
        if not asked.is_set():
            await self.drain()
        self._started_s = time.monotonic()

    async def run(self, seconds: float | None, asked: asyncio.Event) -> None:
        """Send records as they fall due, for so many seconds of the wall or until asked to stop."""
        began_s = time.monotonic()
        while not asked.is_set() and (seconds is None or time.monotonic() - began_s < seconds):
            await self._feed(list(self._due(self.now_ms())))
            assert self._failed is not None
            if self._failed.done():
                self._failed.result()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(asked.wait(), _STEP_S)

    async def drain(self) -> None:
        """Wait until the store has everything that was sent and all that followed from it."""
        assert self._pipeline is not None
        await self._pipeline.drained()

    def result(self, told: Sequence[Transition]) -> Result:
        """Compare what the store holds; after the pipeline has been closed."""
        assert self._pipeline is not None and self._judge is not None
        with open_store(self.settings.store) as store:
            rows = queries.pane_rows(store, queries.Span(from_ms=self.start_ms))
            found = cells_of_named({(row.place.key, row.place.start_ms): named(row.tally) for row in rows})
        counts = _counts(self._pipeline)
        return Result(
            sent=self.sent,
            outcomes=dict(counts["kpistream_event_outcomes_total"]),
            rejected=dict(counts["kpistream_events_rejected_total"]),
            retractions=counts["kpistream_retractions_total"][""],
            transitions=len(told),
            fired=dict(Counter(each.target for each in told if each.to_state is State.FIRING)),
            story=tuple(story(told, self.zone, self._names(), self.now_ms())),
            judged=self._judge,
            verdict=compare(self._judge.cells(), found, self._judge.behind),
            from_words="" if self._before_ms is None else self._compared_from(),
        )

    def _names(self) -> dict[str, str]:
        roster, tenant = self._live.roster, self._tenant
        return {agent: roster.display_name(tenant, agent, self.start_ms) for agent in roster.tenant(tenant).people}

    def _compared_from(self) -> str:
        at = datetime.fromtimestamp(self.start_ms / 1000, ZoneInfo(self.zone))
        return f"the store held facts of an earlier run: cells from {at:%Y-%m-%d %H:%M} {self.zone} on are compared"

    def _due(self, until_ms: int) -> Iterator[Sent]:
        while self._next.due_ms <= until_ms:
            yield self._next
            self._next = next(self._records)

    async def _feed(self, records: list[Sent]) -> None:
        assert self._pipeline is not None and self._judge is not None
        for sent in records:
            self._judge.take(Raw(0, self.sent.sent, sent.due_ms, sent.key, sent.value))
            self.sent.add(sent)
        await self._pipeline.feed(Outgoing(sent.key, sent.value, (), sent.due_ms) for sent in records)

    async def _watch_roles(self, pipeline: Pipeline) -> None:
        """Raises what made a role fail."""
        while True:
            await asyncio.sleep(_CHECK_S)
            await pipeline.drained()


def _facts_end(store: str) -> int | None:
    if not Path(store).is_dir() or not any(Path(store).iterdir()):
        return None
    with open_store(store) as opened:
        return queries.facts_end(opened)


def _opening_after(before_ms: int | None, zone: str) -> int:
    """Opening on the latest working day, or on the first one after what a store holds already."""
    now_ms = time.time_ns() // 1_000_000
    opening = opening_ms(now_ms, zone)
    while before_ms is not None and opening <= before_ms:
        now_ms += _DAY_MS
        opening = opening_ms(now_ms, zone)
    return opening


def _counts(pipeline: Pipeline) -> dict[str, Counter[str]]:
    """The worker's counters by name and label."""
    out: dict[str, Counter[str]] = {}
    for metric in pipeline.registry.collect():
        for sample in metric.samples:
            if sample.name.endswith("_total") and sample.value:
                label = next(iter(sample.labels.values()), "")
                out.setdefault(sample.name, Counter())[label] = int(sample.value)
    empty: Counter[str] = Counter()
    return {name: out.get(name, empty) for name in (*out, *_COUNTERS)}


_COUNTERS: Final = (
    "kpistream_event_outcomes_total",
    "kpistream_events_rejected_total",
    "kpistream_retractions_total",
)


def summary(result: Result) -> Iterator[str]:
    """The account of a run, line by line."""
    sent, outcomes = result.sent, Counter(result.outcomes)
    what, kinds = sent.what, ", ".join(f"{kind}s {count:,}" for kind, count in sorted(sent.kind.items()))
    yield ""
    yield f"sent         {sent.sent:>8,}  {kinds}, bad {what[BAD]:,}"
    yield (
        f"  of these   {what[DUPLICATE]:>8,}  duplicates, {what[CORRECTION]:,} corrections, "
        f"{what[MOVE]:,} moves, {what[CONFLICT]:,} conflicts"
    )
    yield f"accepted     {result.judged.accepted:>8,}  late ones into closed panes {outcomes['closed']:,}"
    yield f"rejected     {sum(result.rejected.values()):>8,}  {_reasons(result.rejected)}"
    yield f"duplicates   {outcomes['duplicate']:>8,}"
    yield f"corrections  {outcomes['corrected']:>8,}  moves within a partition included"
    yield f"conflicts    {outcomes['conflict']:>8,}"
    yield f"outdated     {outcomes['stale']:>8,}  a lower revision than one that was there"
    yield f"retractions  {result.retractions:>8,}  written by the worker, for moves"
    yield f"alerts       {result.transitions:>8,}  transitions"
    if result.fired:
        by_target = ", ".join(f"{target} {count}" for target, count in sorted(result.fired.items()))
        yield f"  fired      {sum(result.fired.values()):>8,}  by target: {by_target}"
    yield ""
    if result.story:
        yield from (*result.story, "")
    if result.from_words:
        yield result.from_words
    yield from _verdict(result)


def _reasons(rejected: dict[str, int]) -> str:
    return ", ".join(f"{reason} {count}" for reason, count in sorted(rejected.items()))


def _verdict(result: Result) -> Iterator[str]:
    verdict = result.verdict
    if verdict.exact:
        yield f"every pane equals an independent recomputation: {verdict}"
    else:
        yield f"panes differ from an independent recomputation: {verdict}"
        yield from map(str, verdict.first)
    yield from result.faults
