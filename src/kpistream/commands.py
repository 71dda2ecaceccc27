"""Commands: what the verbs of the command line do, once their options are read.

Tables go to stdout, talk to stderr. A command returns its exit code where that can be other than 0.
"""

import json
import sys
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import IO, Any, Final
from zoneinfo import ZoneInfo

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from kpistream import service
from kpistream.accepting import accept_topics
from kpistream.config import Config
from kpistream.core.kpis import KPIS, Kpi, definition
from kpistream.core.own_kpis import OwnKpis
from kpistream.core.own_measures import measure_words
from kpistream.core.roster import Roster
from kpistream.core.settings import Settings
from kpistream.core.validation import validate_lines
from kpistream.core.windows import zone_of_name
from kpistream.errors import ConfigError
from kpistream.following import settings_asked_with, settings_of_entry
from kpistream.history import ddl, queries, render
from kpistream.history.reports import Own, Question, report_agents, report_json
from kpistream.history.store import open_store
from kpistream.loading import load_files, publish_events
from kpistream.log import admin as log_admin
from kpistream.log.topics import Topics
from kpistream.merging import moved_events
from kpistream.pipeline import PipelineSettings
from kpistream.sources.mapping import Mapping, load_mapping
from kpistream.trying import Files, Result, try_files

DEFAULT_PARTITIONS: Final = 12
"""Partitions of topics that nobody has said a number for."""
_talk = Console(stderr=True)


def _settings(directory: str | None) -> Settings:
    return service.live_settings(service.load_config(settings=directory))


def _mapping(name: str | None, map_file: Path | None) -> Mapping:
    if (name is None) == (map_file is None):
        given = "neither is given" if name is None else "both are given"
        raise click.UsageError(f"say how to read the files, by --as NAME or by --map MAP.yaml: {given}")
    return load_mapping(name if name is not None else map_file or "")


def _files(options: dict[str, Any], roster: Roster) -> Files:
    if options["zone"] is not None:
        zone_of_name(options["zone"])
    mapping = _mapping(options["name"], options["map_file"])
    return Files(tuple(options["files"]), mapping, options["zone"], options["tenant"], roster.resolve)


class Bar:
    """A progress bar on stderr: one line for each thing that is done."""

    def __init__(self) -> None:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        self._bar = Progress(*columns, console=_talk, transient=not _talk.is_terminal)
        self._tasks: dict[str, Any] = {}

    def __enter__(self) -> "Bar":
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def __call__(self, what: str, done: int, total: int) -> None:
        if what not in self._tasks:
            self._tasks[what] = self._bar.add_task(what, total=total or None)
        self._bar.update(self._tasks[what], completed=done, total=total or None)


def try_command(*, store: str, settings: str | None, as_json: bool, **options: Any) -> None:
    """`kpistream try`."""
    import asyncio

    live = _settings(settings)
    files = _files(options, live.roster)
    open_store(store, create=True).close()  # a store that cannot be used is found before anything is started
    with Bar() as bar:
        result = asyncio.run(try_files(files, PipelineSettings(store, live), bar))
    zone = options["zone"] or "UTC"
    with open_store(store) as history:
        found = report_agents(history, Question(zone=zone), _names(live.roster))
    if as_json:
        click.echo(json.dumps({"account": account_json(result), "report": report_json(found)}, indent=2))
        return
    click.echo(render.as_table(found))
    for line in account_lines(result):
        click.echo(line)
    click.echo(f"history is in {store}: kpistream report agents --store {store} --zone {zone}", err=True)


def account_json(result: Result) -> dict[str, Any]:
    """Every row and every event accounted for."""
    account = result.account
    return {
        "rows": account.rows,
        "mapped": account.mapped,
        "skipped": dict(account.skipped),
        "rejected": dict(account.rejected),
        "events": dict(account.events),
        "sent": result.sent,
        "outcomes": result.outcomes,
        "refused": result.refused,
    }


def account_lines(result: Result) -> Iterable[str]:
    """The account in words."""
    account = result.account
    yield ""
    yield f"rows read      {account.rows:>10,}"
    yield f"  made events  {account.mapped:>10,}"
    for name, count in sorted(account.skipped.items()):
        yield f"  skipped      {count:>10,}  {name}"
    for name, count in sorted(account.rejected.items()):
        yield f"  refused      {count:>10,}  {name} (dead letter)"
    yield f"events sent    {result.sent:>10,}  " + ", ".join(f"{n} {c:,}" for n, c in sorted(account.events.items()))
    for name, count in sorted(result.outcomes.items()):
        yield f"  {name:<12} {count:>10,}" + (
            "  in panes closed before; counted through history" if name == "closed" else ""
        )
    for name, count in sorted(result.refused.items()):
        yield f"  refused      {count:>10,}  {name} (dead letter)"


def validate_command(file: IO[bytes], as_json: bool) -> int:
    """`kpistream validate`: 1 when any line is refused."""
    accepted = refused = 0
    for verdict in validate_lines(file):
        if verdict.accepted:
            accepted += 1
        else:
            refused += 1
        if as_json:
            click.echo(json.dumps({name: getattr(verdict, name) for name in _VERDICT}))
        elif not verdict.accepted:
            hint = f"\n  hint: {verdict.hint}" if verdict.hint else ""
            click.echo(f"line {verdict.line}: {verdict.reason}: {verdict.detail}{hint}")
        elif verdict.unknown_fields:
            click.echo(f"line {verdict.line}: accepted, fields ignored: {', '.join(verdict.unknown_fields)}", err=True)
    click.echo(f"{accepted} accepted, {refused} refused", err=True)
    return 1 if refused else 0


_VERDICT = ("line", "accepted", "reason", "detail", "hint", "unknown_fields")


def report_command(*, store: str | None, settings: str | None, form: str | None, **options: Any) -> None:
    """`kpistream report agents`."""
    config = service.load_config(store=store, settings=settings)
    if not config.store:
        raise click.UsageError("say where history is: --store URL|DIR")
    zone = options["zone"]
    zone_of_name(zone)
    from_ms, to_ms = instant_ms(options["from_"], zone), instant_ms(options["to"], zone)
    with open_store(config.store) as history:
        live = settings_asked_with(history, settings, config)
        roster = live.roster
        known = roster.tenant(options["tenant"] or "default")
        settle_ms = None if form is None else (lambda name: roster.tenant(name).settle_ms)  # a table does not show it
        own = Own(live.own, live.schedules)
        question = Question(from_ms, to_ms, zone, options["tenant"], options["by"], known.limits, settle_ms, own)
        found = report_agents(history, question, _names(roster))
    if form is None and options["tenant"] is not None and not found.rows:
        click.echo(f'history holds nothing of tenant "{options["tenant"]}" in this span', err=True)
        return
    show: dict[str | None, Any] = {"json": render.as_json, "csv": render.as_csv, None: render.as_table}
    click.echo(show[form](found).rstrip("\n"))


def _names(roster: Roster) -> Any:
    def name(tenant: str, agent_id: str) -> str | None:
        person = roster.person(tenant, agent_id)
        return person.names[-1].value if person is not None and person.names else None

    return name


def instant_ms(text: str | None, zone: str) -> int | None:
    """A date, a local time in `zone`, or an RFC 3339 time, as epoch ms. Raises ConfigError."""
    if text is None:
        return None
    zone_of_name(zone)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise ConfigError(f'"{text}" is neither a date nor a time (2026-11-24 or 2026-11-24T09:00)') from error
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=ZoneInfo(zone))
    return int(moment.timestamp() * 1000)


def kpis_command(settings: str | None, as_json: bool) -> None:
    """`kpistream kpis`: the catalogue, then what the settings add to it."""
    own = service.live_settings(service.load_config(settings=settings)).own
    kpis = (*KPIS, *own.kpis)
    if as_json:
        rows = [
            {
                "name": kpi.name,
                "unit": kpi.unit,
                "better": kpi.better,
                "words": kpi.words,
                "definition": definition(kpi),
                "source": kpi.source,
            }
            | ({"form": kpi.form, "measures": _own_words(kpi, own)} if kpi.form else {})
            for kpi in kpis
        ]
        click.echo(json.dumps(rows, indent=2))
        return
    table = Table("KPI", "unit", "better", "definition", box=None, pad_edge=False, leading=1)
    for kpi in kpis:
        lines = [kpi.words, f"= {definition(kpi)}", *(f"{name}: {said}" for name, said in _own_words(kpi, own).items())]
        table.add_row(kpi.name, kpi.unit, kpi.better, "\n".join(lines))
    _print(table, 100)


def _own_words(kpi: Kpi, own: OwnKpis) -> dict[str, str]:
    """What the own measures of a KPI count, by name."""
    names = dict(kpi.numbers)
    return {each.name: measure_words(each) for each in own.measures if each.name in names}


def _print(table: Table, width: int) -> None:
    """The table on stdout, as wide as the terminal, or `width` where there is none; texts stand as they are."""
    wide = None if sys.stdout.isatty() else width
    console = Console(width=wide, markup=False, emoji=False, highlight=False)
    with console.capture() as capture:
        console.print(table)
    for line in capture.get().splitlines():
        click.echo(line.rstrip())


async def topics_apply_command(config: Config, partitions: int | None, replication: int) -> int:
    """`kpistream topics apply`; without a number of partitions it takes what is there, else the default."""
    admin = await log_admin.connect(config.connection())
    topics = Topics(config.topic_prefix)
    try:
        specs = topics.specs(config.events_retention_ms)
        there = (await log_admin.partition_counts(admin)).get(topics.events)
        if there is not None and partitions not in (None, there):
            return _faults([f"topic {topics.events!r} has {there} partitions, not {partitions}: that may never change"])
        made = await log_admin.apply_topics(admin, specs, there or partitions or DEFAULT_PARTITIONS, replication)
        for name in made:
            click.echo(f"made {name}")
        faults = await log_admin.settled_faults(admin, topics.specs(config.events_retention_ms))
    finally:
        await admin.close()
    if not made and not faults:
        click.echo(f"nothing to make: all topics are there and fit, {there} partitions")
    return _faults(faults)


async def topics_verify_command(config: Config) -> int:
    """`kpistream topics verify`."""
    try:
        partitions = await service.checked_partitions(config, write=False)
    except ConfigError as error:
        return _faults(list(error.faults))
    click.echo(f"fit: {partitions} partitions")
    return 0


async def topics_accept_command(config: Config) -> None:
    """`kpistream topics accept`."""
    for line in await accept_topics(config):
        click.echo(line)


def _faults(faults: list[str]) -> int:
    for fault in faults:
        click.echo(f"error: {fault}", err=True)
    return 1 if faults else 0


def ddl_apply_command(config: Config) -> None:
    """`kpistream ddl apply`."""
    if not config.store:
        raise click.UsageError("say where history is: --store URL|DIR")
    with open_store(config.store, create=True) as store:
        applied = ddl.apply(store)
    for name in applied:
        click.echo(f"applied {name}")
    if not applied:
        click.echo("nothing to apply")


async def load_command(config: Config, *, settings: str | None, as_json: bool, **options: Any) -> None:
    """`kpistream load`."""
    files = _files(options, Roster())  # what is wrong with the options is said before anything is asked
    await check_log(config)
    files = replace(files, resolve=(await settings_of_entry(settings, config)).roster.resolve)
    with Bar() as bar:
        result = await load_files(config, files, bar)
    if as_json:
        click.echo(json.dumps(account_json(result), indent=2))
    else:
        for line in account_lines(result):
            click.echo(line)


async def check_log(config: Config) -> None:
    """Raises ConfigError unless the broker answers and has the topics that are written to."""
    topics = Topics(config.topic_prefix)
    admin = await log_admin.connect(config.connection())
    try:
        there = await log_admin.partition_counts(admin)
    finally:
        await admin.close()
    missing = [name for name in (topics.events, topics.dead_letters, topics.settings) if name not in there]
    if missing:
        raise ConfigError([f"topic {name!r} is missing (make it with `kpistream topics apply`)" for name in missing])


def check_command(directory: str) -> int:
    """`kpistream check`."""
    try:
        found = _settings(directory)
    except ConfigError as error:
        for fault in error.faults:
            click.echo(fault)
        return 1
    people = sum(len(tenant.people) for tenant in found.roster.tenants.values())
    scheduled = "".join(f", {count} {name}" for name, count in found.schedules.counts().items() if count)
    told = f", {len(found.notify.receivers)} receivers" if found.notify.receivers else ""
    own = f", {len(found.own.kpis)} own KPIs" if found.own.kpis else ""
    counts = f"{len(found.roster.tenants)} tenants, {people} people, {len(found.targets)} targets{own}"
    click.echo(f"fit: {counts}{scheduled}{told}")
    return 0


def roster_unknown_command(config: Config, named: str | None, as_json: bool) -> None:
    """`kpistream roster unknown`; `named`: the directory of the command line."""
    with open_store(config.store) as store:
        roster = settings_asked_with(store, named, config).roster
        seen = [each for each in queries.agents_seen(store) if not roster.knows(each.tenant, each.agent_id)]
    rows = [
        {
            "tenant": each.tenant,
            "agent_id": each.agent_id,
            "events": each.events,
            "first_seen": _utc(each.first_ms),
            "last_seen": _utc(each.last_ms),
        }
        for each in seen
    ]
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return
    if not roster.tenants:
        click.echo("no settings are named, so nobody is known\nhint: --settings DIR, or KPISTREAM_SETTINGS", err=True)
    if not rows:
        click.echo("nobody is unknown", err=True)
        return
    table = Table("tenant", "agent", "events", "first seen", "last seen", box=None, pad_edge=False)
    for row in rows:
        table.add_row(*(str(value) for value in row.values()))
    _print(table, 240)


def _utc(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, ZoneInfo("UTC")).isoformat(timespec="seconds")


async def roster_merge_command(
    config: Config, *, old: str, new: str, from_: str, zone: str, tenant: str, dry_run: bool
) -> None:
    """`kpistream roster merge`."""
    if old == new:
        raise click.UsageError(f'"{old}" cannot be merged into itself')
    from_ms = instant_ms(from_, zone) or 0
    with open_store(config.store) as store:
        events = list(moved_events(store, tenant, old, new, from_ms))
    click.echo(f"{len(events)} events of {old} in tenant {tenant} since {_utc(from_ms)}")
    if not events:
        click.echo("nothing to move\nhint: kpistream roster unknown lists who has events, by tenant", err=True)
    elif dry_run:
        click.echo("dry run: nothing sent", err=True)
    else:
        await check_log(config)
        click.echo(f"{await publish_events(config, events)} corrections sent: they count for {new} now")
        click.echo(f"hint: as an alias of {new}, {old} needs no second merge for what is loaded later", err=True)
