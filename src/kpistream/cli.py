"""Command line: verbs for platform engineers, operators and supervisors.

Tables go to stdout, talk to stderr, `--json` for machines. Exit 0: fine; 1: a problem was found; 2: wrong
usage. Every command takes its settings from `KPISTREAM_*` variables; options win.
"""

import asyncio
import logging
import os
import sys
import threading
from collections.abc import Coroutine
from importlib.metadata import version
from pathlib import Path
from typing import Any

import click

from kpistream import config as configuration
from kpistream import verb_options
from kpistream.alert_verbs import alerts
from kpistream.audit_verbs import audit, repair
from kpistream.dlq import dlq
from kpistream.errors import ConfigError, EventRejected, KpistreamError, SinkUnavailable
from kpistream.settings_verbs import absence, apply, settings
from kpistream.target_verbs import targets
from kpistream.topic_verbs import topics

_LOG_FORMAT = "%(asctime)s %(levelname)s %(name)s %(message)s"

_CLOSE_LIMIT_S = 3.0
"""For threads and tasks of a role that has said why it ends."""

_TALKATIVE = ("urllib3", "clickhouse_connect")
"""Loggers that warn of what our own messages say in one line."""


def main() -> None:
    """Entry point of the `kpistream` command."""
    try:
        code = cli.main(prog_name="kpistream", standalone_mode=False)
    except click.exceptions.Exit as stop:
        code = stop.exit_code
    except click.ClickException as error:
        error.show()
        code = 2
    except click.Abort:
        click.echo("stopped", err=True)
        code = 130
    except ConfigError as error:
        _say(error)
        code = 2
    except (EventRejected, SinkUnavailable, KpistreamError) as error:
        click.echo(f"error: {error}", err=True)
        code = 1
    sys.stdout.flush()
    sys.exit(code or 0)


def _say(error: ConfigError) -> None:
    for fault in error.faults:
        click.echo(f"error: {fault}", err=True)


class _Ordered(click.Group):
    """Commands in the order of their definition: the order in which a newcomer meets them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names in order of definition."""
        return list(self.commands)


@click.group(cls=_Ordered, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(version("kpistream"), prog_name="kpistream")
@click.option("--verbose", "-v", is_flag=True, help="Log everything, each batch included.")
def cli(verbose: bool) -> None:
    """Live, exact, explainable KPIs per agent from call, deal and survey events."""
    logging.basicConfig(level=logging.DEBUG if verbose else logging.WARNING, format=_LOG_FORMAT, stream=sys.stderr)
    for name in () if verbose else _TALKATIVE:
        logging.getLogger(name).setLevel(logging.ERROR)


def _config(**overrides: Any) -> configuration.Config:
    return configuration.load(os.environ, **overrides)


def _run(work: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(work)


# ---- for a first look


@cli.command("try", epilog="Example: kpistream try calls.csv --map calls.yaml --zone Europe/Berlin --store ./store")
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--as", "name", metavar="NAME", help="A packaged mapping: technion, canonical.")
@click.option("--map", "map_file", metavar="MAP.yaml", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--zone", help="IANA zone of local times; stands above the mapping's own.")
@click.option("--tenant", default="default", show_default=True, help="Tenant of rows that name none.")
@click.option("--settings", metavar="DIR", help="Roster and targets: aliases become agent ids.")
@click.option("--store", required=True, metavar="DIR", help="Where history is kept; made when missing.")
@click.option("--json", "as_json", is_flag=True, help="Print the account and the report as JSON.")
def try_(**options: Any) -> None:
    """Run files through the whole pipeline, on embedded parts."""
    from kpistream import commands

    commands.try_command(**options)


@cli.command("map", epilog="Example: kpistream map calls.csv > calls.yaml")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def map_(file: Path) -> None:
    """Write a first mapping for a file, from its header and a sample."""
    from kpistream.sources.infer import infer

    click.echo(infer(file), nl=False)


@cli.command(epilog="Example: kpistream validate events.jsonl")
@click.argument("file", type=click.File("rb"))
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def validate(file: Any, as_json: bool) -> None:
    """Check events, one JSON object a line; nothing is sent.

    FILE may be - for standard input. Exits 1 when any line is refused.
    """
    from kpistream import commands

    raise click.exceptions.Exit(commands.validate_command(file, as_json))


# ---- for reading numbers


@cli.group(cls=_Ordered)
def report() -> None:
    """KPIs over a span of time, from history."""


@report.command(epilog="Example: kpistream report agents --store ./store --zone Europe/Berlin --by day")
@verb_options.store
@click.option("--from", "from_", metavar="TIME", help="First instant: a date or RFC 3339 time, in --zone.")
@click.option("--to", metavar="TIME", help="First instant that no longer counts.")
@click.option("--zone", default="UTC", show_default=True, help="IANA zone in which days and hours begin.")
@click.option("--tenant", help="Only this tenant.")
@click.option("--by", type=click.Choice(["day", "hour", "weekday", "queue", "campaign", "direction", "disposition"]))
@click.option("--settings", metavar="DIR", help="Roster for display names; else the version that history has.")
@click.option("--json", "form", flag_value="json", help="JSON.")
@click.option("--csv", "form", flag_value="csv", help="CSV.")
def agents(**options: Any) -> None:
    """KPIs of every agent, with numerators and denominators."""
    from kpistream import commands

    commands.report_command(**options)


@report.command(epilog="Example: kpistream report results --store ./store --from 2026-03-01 --target calls")
@verb_options.store
@click.option("--from", "from_", metavar="TIME", help="First period: a date or RFC 3339 time, in --zone.")
@click.option("--to", metavar="TIME", help="First instant at which no period counts any more.")
@click.option("--zone", default="UTC", show_default=True, help="IANA zone of --from and --to.")
@click.option("--tenant", help="Only this tenant.")
@click.option("--target", help="Only this target.")
@click.option("--json", "as_json", is_flag=True, help="JSON.")
def results(**options: Any) -> None:
    """How often targets closed as met, missed, or with too little data."""
    from kpistream import result_commands

    result_commands.results_command(**options)


@cli.command(epilog="Example: kpistream kpis --settings ./settings")
@click.option("--settings", help="Directory of settings, whose own KPIs are listed, too.")
@click.option("--json", "as_json", is_flag=True, help="JSON.")
def kpis(settings: str | None, as_json: bool) -> None:
    """Every KPI with its definition and source."""
    from kpistream import commands

    commands.kpis_command(settings, as_json)


@cli.command(epilog="Example: kpistream watch --broker kafka:9092 --team sales-a")
@verb_options.broker
@click.option("--tenant", help="Only this tenant.")
@click.option("--team", help="Only this team.")
@click.option("--agent", help="Only this agent.")
@click.option("--window", default="business-day", show_default=True, help="rolling-15m, rolling-60m or business-day.")
def watch(broker: str | None, **options: Any) -> None:
    """Live numbers and alerts of a running system, read-only."""
    from kpistream import live_view

    _run(live_view.watch_command(_config(broker=broker), **options))


@cli.command(epilog="Example: kpistream demo --for 60")
@click.option("--for", "seconds", type=float, help="Stop after this many seconds of live numbers.")
@click.option("--store", metavar="DIR", help="Keep history here; without it a temporary directory is used.")
@click.option("--speed", type=float, default=60.0, show_default=True, help="Simulated seconds in a second.")
@click.option("--seed", type=int, default=1, show_default=True, help="Another floor, another day.")
@click.option("--settings", metavar="DIR", help="Your people and targets; begin with `kpistream settings example`.")
@click.option("--capture", metavar="FILE.svg", hidden=True, help="Write the last screen as a picture.")
def demo(**options: Any) -> None:
    """A simulated sales floor on embedded parts, live.

    At the end comes an account of what was sent, and whether every pane equals an independent recomputation.
    """
    from kpistream import live_view

    raise click.exceptions.Exit(_run(live_view.demo_command(**options)))


# ---- for running it


@cli.command()
@verb_options.broker
def worker(broker: str | None) -> None:
    """Role: keep panes, publish readings and alerts."""
    _role("run_worker", broker=broker)


@cli.command()
@verb_options.broker
@verb_options.store
def sink(broker: str | None, store: str | None) -> None:
    """Role: write history to ClickHouse."""
    _role("run_sink", broker=broker, store=store)


@cli.command()
@verb_options.broker
@verb_options.store
def review(broker: str | None, store: str | None) -> None:
    """Role: judge weeks and longer, and close every period."""
    _role("run_review", broker=broker, store=store)


@cli.command()
@verb_options.broker
@click.option("--settings", metavar="DIR", help="Receivers and routes, beside the roster.")
def notify(broker: str | None, settings: str | None) -> None:
    """Role: tell people of alerts."""
    _role("run_notify", broker=broker, settings=settings)


def _role(name: str, **overrides: Any) -> None:
    from kpistream import service

    if not logging.getLogger().isEnabledFor(logging.DEBUG):
        logging.getLogger("kpistream").setLevel(logging.INFO)
        logging.getLogger("kpistream.stream.app").setLevel(logging.WARNING)  # Faust logs its services under our names
    closing: list[threading.Timer] = []
    try:
        _run(_loudly(name.removeprefix("run_"), getattr(service, name)(_config(**overrides)), closing))
    except click.exceptions.Exit as stop:
        for timer in closing:
            timer.cancel()
        if any(not thread.daemon and thread is not threading.main_thread() for thread in threading.enumerate()):
            os._exit(stop.exit_code)  # a consumer's thread may sleep for ever, and Python would wait for it
        raise


async def _loudly(role: str, work: Coroutine[Any, Any, None], closing: list[threading.Timer]) -> None:
    """End the process at once when a role fails: closing the loop would wait for tasks and threads that hang."""
    from kpistream import service

    try:
        await work
    except ConfigError as error:
        _say(error)
        closing.append(service.end_within(_CLOSE_LIMIT_S, 2))
        raise click.exceptions.Exit(2) from error
    except Exception as error:  # a role ends loudly, whatever it was
        traceback = error if service.unexpected(error) else None
        logging.getLogger("kpistream").error("%s", service.fatal_line(role, error), exc_info=traceback)
        logging.shutdown()
        os._exit(service.EXIT_FAILED)


cli.add_command(topics)


@cli.group(cls=_Ordered)
def ddl() -> None:
    """The ClickHouse tables."""


@ddl.command("apply", epilog="Example: kpistream ddl apply --store http://default@localhost:8123/kpi")
@verb_options.store
def ddl_apply(store: str | None) -> None:
    """Make or migrate the tables."""
    from kpistream import commands

    commands.ddl_apply_command(_config(store=store))


@cli.command(epilog="Example: kpistream load deals.csv --map crm.yaml --zone Europe/Berlin --broker kafka:9092")
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--as", "name", metavar="NAME", help="A packaged mapping: technion, canonical.")
@click.option("--map", "map_file", metavar="MAP.yaml", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--zone", help="IANA zone of local times; stands above the mapping's own.")
@click.option("--tenant", default="default", show_default=True, help="Tenant of rows that name none.")
@click.option("--settings", metavar="DIR", help="Roster for aliases; else the version in force.")
@click.option("--json", "as_json", is_flag=True, help="Print the account as JSON.")
@verb_options.broker
def load(broker: str | None, **options: Any) -> None:
    """Send the records of files to a running system."""
    from kpistream import commands

    _run(commands.load_command(_config(broker=broker), **options))


cli.add_command(dlq)


@cli.command(epilog="Example: kpistream check ./settings")
@click.argument("directory", type=click.Path(exists=True, file_okay=False))
def check(directory: str) -> None:
    """Check roster, targets and schedules, all faults at once.

    Prints every fault as file:line key: fact, and exits 1 when there is one.
    """
    from kpistream import commands

    raise click.exceptions.Exit(commands.check_command(directory))


cli.add_command(targets)
cli.add_command(apply)
cli.add_command(settings)
cli.add_command(absence)


@cli.group(cls=_Ordered)
def roster() -> None:
    """Who is who."""


@roster.command("unknown")
@verb_options.store
@click.option("--settings", metavar="DIR", help="Roster; else the version that history has.")
@click.option("--json", "as_json", is_flag=True, help="JSON.")
def roster_unknown(store: str | None, settings: str | None, as_json: bool) -> None:
    """Agents and tenants that events name and no settings know."""
    from kpistream import commands

    commands.roster_unknown_command(_config(store=store, settings=settings), settings, as_json)


@roster.command("merge", epilog="Example: kpistream roster merge pbx-17 ann --tenant acme --from 2026-11-01 --zone UTC")
@click.argument("old")
@click.argument("new")
@click.option("--from", "from_", metavar="TIME", required=True, help="Events from this instant on move.")
@click.option("--zone", default="UTC", show_default=True, help="IANA zone of --from.")
@click.option("--tenant", default="default", show_default=True)
@click.option("--dry-run", is_flag=True, help="Count only.")
@verb_options.broker
@verb_options.store
def roster_merge(broker: str | None, store: str | None, **options: Any) -> None:
    """Move past events of one agent id to another, by corrections through the log."""
    from kpistream import commands

    _run(commands.roster_merge_command(_config(broker=broker, store=store), **options))


cli.add_command(alerts)
cli.add_command(audit)
cli.add_command(repair)


@cli.group(cls=_Ordered)
def schemas() -> None:
    """The event contract as JSON Schema and AsyncAPI."""


@schemas.command("write")
@click.argument("directory", type=click.Path(file_okay=False, path_type=Path))
def schemas_write(directory: Path) -> None:
    """Write all documents into a directory."""
    from kpistream.core.schemas import documents

    for name, text in documents().items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        click.echo(path)
