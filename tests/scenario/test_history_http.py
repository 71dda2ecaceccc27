"""The same code on a ClickHouse server over HTTP: outages, lost answers and refusals included."""

import asyncio
import itertools
import time
from collections.abc import Iterator

import pytest

from kpistream.core.placing import Place
from kpistream.core.rows import PaneRow
from kpistream.embedded import EmbeddedBroker
from kpistream.errors import ConfigError, SinkUnavailable
from kpistream.history import ddl, queries, writer
from kpistream.history.queries import Span
from kpistream.history.reports import Question, report_agents
from kpistream.history.sink import Sink
from kpistream.history.store import Store, StoreRefused, open_store
from tests.front.process import Front
from tests.scenario.history_events import NOON, PANE_MS, abandoned, call, deal, facts, panes, survey
from tests.scenario.history_log import Log, until

_NUMBERS = itertools.count(1)
EVENTS = [call("1"), call("2", agent="bob"), deal("d"), survey("s"), abandoned("q")]


@pytest.fixture
def url(http_clickhouse: Front) -> str:
    return http_clickhouse.url(f"kpi_{next(_NUMBERS)}")


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    with open_store(url, create=True) as opened:
        ddl.apply(opened)
        yield opened


def rows_of(*events: dict[str, object]) -> list[PaneRow]:
    return [PaneRow(pane.place, PANE_MS, pane.version, dict(pane.tally)) for pane in panes(*events).values()]


def stored(store: Store) -> dict[Place, PaneRow]:
    return {row.place: row for row in queries.pane_rows(store)}


def test_facts_rows_recomputation_and_reports_work_over_http(store: Store) -> None:
    store.insert(writer.fact_insert(facts(*EVENTS), PANE_MS))
    writer.recompute(store, [row.place for row in rows_of(*EVENTS)])

    assert ddl.apply(store) == []
    assert stored(store) == {row.place: row for row in rows_of(*EVENTS)}
    report = report_agents(store, Question(zone="Asia/Jerusalem", by="hour"))
    assert [(row.agent_id, row.group) for row in report.rows] == [("ann", 14), ("bob", 14)]


def test_recomputation_of_thousands_of_places_with_long_odd_names(store: Store) -> None:
    odd = "it's \\ {n:String} & %41 %(x)s " + 90 * "北"
    events = [call(str(n), agent=f"{odd}{n}") for n in range(2500)]
    store.insert(writer.fact_insert(facts(*events), PANE_MS))

    writer.recompute(store, [row.place for row in rows_of(*events)])

    assert stored(store) == {row.place: row for row in rows_of(*events)}


def test_insert_whose_answer_was_lost_is_written_once(store: Store, http_clickhouse: Front) -> None:
    http_clickhouse.drop_answers(2)  # the driver itself tries once more
    insert = writer.fact_insert(facts(*EVENTS), PANE_MS)

    with pytest.raises(SinkUnavailable):
        store.insert(insert)
    store.insert(insert)

    assert len(queries.facts_of(store, "agent:ann", Span())) == 3


@pytest.mark.parametrize(("code", "kind"), [(252, SinkUnavailable), (60, ConfigError), (53, StoreRefused)])
def test_refusal_is_sorted_by_who_must_act(
    store: Store, http_clickhouse: Front, code: int, kind: type[Exception]
) -> None:
    http_clickhouse.fail_inserts(1, code)

    with pytest.raises(kind):
        store.insert(writer.pane_insert(rows_of(call("1"))))


def test_database_that_is_not_there_names_the_command_that_makes_it(url: str) -> None:
    with pytest.raises(ConfigError, match="hint: kpistream ddl apply"):
        open_store(url)


def test_sink_goes_through_every_kind_of_outage(url: str, store: Store, http_clickhouse: Front) -> None:
    async def run(address: str) -> None:
        log = Log(address, lambda: open_store(url))
        await log.start()
        for event in EVENTS:
            await log.event(event)
        for pane in panes(*EVENTS).values():
            await log.pane(pane)
        await log.mark(Place("acme/agent:ann", NOON), 0)
        http_clickhouse.refuse_inserts(2)
        http_clickhouse.drop_answers(3)
        http_clickhouse.fail_inserts(1, 241)
        async with log.sink() as sink:
            await until(lambda: sink.progress.marks == 1 and sink.progress.retries == 4)
            await killed_and_started(log, sink, http_clickhouse)
        await log.publisher.stop()

    async def killed_and_started(log: Log, sink: Sink, front: Front) -> None:
        front.kill()
        await log.event(call("3"))
        await until(lambda: sink.progress.unavailable_since_s is not None)
        front.start()
        await until(lambda: sink.progress.facts == 6)

    with EmbeddedBroker() as broker:
        began_s = time.monotonic()
        asyncio.run(run(broker.address))
        assert time.monotonic() - began_s < 60

    with open_store(url) as again:
        assert stored(again) == {row.place: row for row in rows_of(*EVENTS)}
        assert [seen.events for seen in queries.agents_seen(again)] == [4, 1]
