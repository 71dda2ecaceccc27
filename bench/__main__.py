"""The bench: each verb starts a real Apache Kafka, measures one thing, checks the totals, prints a table.

`make bench` runs all verbs with their defaults; `make bench ARGS="recovery --agents 2000"` one of them, smaller.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from bench import (
    alerts,
    backfill,
    backlog,
    latency,
    machine,
    page,
    quix,
    recovery,
    restart,
    runs,
    soak,
    throughput,
    workers,
)
from bench.parts import PARTS
from bench.say import say
from tests.live.broker import Broker, missing


@click.group(epilog="Example: make bench ARGS='throughput --events 200000 --engines kpistream,confluent'")
def bench() -> None:
    """Measurements on a real Apache Kafka that the bench starts itself."""


def results_option(command: Callable[..., None]) -> Callable[..., None]:
    """`--results FILE`."""
    text = "File for all numbers instead of bench/results-VERB.json, which the documentation shows."
    return click.option("--results", type=click.Path(dir_okay=False), help=text)(command)


@contextmanager
def kafka(**settings: Any) -> Iterator[Broker]:
    """A broker of this measurement's own."""
    if missing():
        raise click.ClickException(f"a real Kafka is needed: {missing()} (`make live-tools` installs it)")
    with Broker(**settings) as broker:
        yield broker


def keep(name: str, options: dict[str, Any], measured: Any) -> None:
    """Write the numbers and print the table."""
    where = options.pop("results")
    PARTS[name].write(options, measured, Path(where) if where else None)
    print("\n".join([f"machine: {machine.description()}", "", *PARTS[name].shown(measured), ""]))


@bench.command("throughput")
@click.option("--events", default=1_000_000, show_default=True, help="Records that the engines work off.")
@click.option("--slow-events", default=40_000, show_default=True, help="Records for Faust: the first of the same.")
@click.option("--rounds", default=3, show_default=True, help="Runs of each engine, in turn.")
@click.option("--engines", default=",".join(runs.ENGINES), show_default=True, help="Which engines, comma separated.")
@results_option
def throughput_command(**options: Any) -> None:
    """Events per second and per CPU-second of the worker and its peers on the same events."""
    engines = tuple(name for name in options["engines"].split(",") if name)
    unknown = [name for name in engines if name not in runs.ENGINES]
    if unknown:
        raise click.UsageError(f"no engine {unknown[0]!r}; there are {', '.join(runs.ENGINES)}")
    with kafka() as broker:
        race = throughput.Race(engines, options["events"], options["slow_events"], options["rounds"])
        measured = throughput.measure(broker, race)
    keep("throughput", options, measured)


@bench.command("latency")
@click.option("--seconds", default=60, show_default=True, help="How long each load lasts.")
@click.option("--warm-up-s", default=30, show_default=True, help="How long it lasts before the measurement begins.")
@click.option(
    "--loads",
    default="1000:10000,2000:20000,2000:2000,5000:20000,10000:20000",
    show_default=True,
    help="Events per second and agents of each load.",
)
@results_option
def latency_command(**options: Any) -> None:
    """From produce to a durable pane and to a reading, at an even pace."""
    measured = []
    with kafka() as broker:
        for rate, agents in (map(int, each.split(":")) for each in options["loads"].split(",")):
            say(f"latency: {rate} events/s over {agents} agents for {options['seconds']} s")
            load = latency.Load(rate, options["seconds"], agents, options["warm_up_s"])
            measured.append(latency.measure(broker, load))
    keep("latency", options, measured)


@bench.command("alerts")
@click.option("--seconds", default=60, show_default=True, help="How long agents are tipped at each load.")
@click.option("--warm-up-s", default=30, show_default=True, help="How long before the measurement begins.")
@click.option("--workers", default="1,2", show_default=True, help="How many workers, for each load.")
@click.option("--rates", default="1000,2000,5000,10000", show_default=True, help="Events per second of each load.")
@click.option("--agents", default=20_000, show_default=True, help="Agents of the even pace.")
@results_option
def alerts_command(**options: Any) -> None:
    """From the event that tips a target to its transition in the log, at an even pace."""
    measured = []
    with kafka() as broker:
        for workers in map(int, options["workers"].split(",")):
            for rate in map(int, options["rates"].split(",")):
                say(f"alerts: {rate} events/s, {workers} workers, for {options['seconds']} s")
                load = alerts.Load(rate, options["agents"], options["seconds"], workers, warm_up_s=options["warm_up_s"])
                measured.append(alerts.measure(broker, load))
    keep("alerts", options, measured)


@bench.command("recovery")
@click.option("--agents", default=100_000, show_default=True, help="Agents with a day of panes.")
@click.option("--calls", default=60, show_default=True, help="Calls of each agent in its eight hours.")
@click.option("--workers", default="1,2", show_default=True, help="Workers that recover it together, for each run.")
@results_option
def recovery_command(**options: Any) -> None:
    """From process start to recovered, with a day of panes in the changelog; memory."""
    measured = []
    with kafka() as broker:
        for workers in map(int, options["workers"].split(",")):
            measured.append(recovery.measure(broker, recovery.Day(options["agents"], options["calls"], workers)))
    keep("recovery", options, measured)


@bench.command("restart")
@click.option("--workers", default=3, show_default=True, help="Workers that are restarted one by one.")
@click.option("--agents", default=300, show_default=True, help="Agents; each has a call every second.")
@click.option("--memberships", default="static,dynamic", show_default=True, help="Which, comma separated.")
@results_option
def restart_command(**options: Any) -> None:
    """Longest time without readings for one agent during a rolling restart."""
    with kafka() as broker:
        kinds = options["memberships"].split(",")
        rollings = [restart.Rolling(options["workers"], options["agents"], kind == "static") for kind in kinds]
        measured = [restart.measure(broker, rolling) for rolling in rollings]
    keep("restart", options, measured)


@bench.command("workers")
@click.option("--events", default=1_000_000, show_default=True, help="Records that they drain together.")
@click.option("--workers", "counts", default="1,2,3", show_default=True, help="How many workers, for each run.")
@click.option("--rounds", default=3, show_default=True, help="Runs of each, in turn.")
@results_option
def workers_command(**options: Any) -> None:
    """Throughput with several workers that share the partitions."""
    measured = []
    with kafka() as broker:
        for number in range(options["rounds"]):
            for count in map(int, options["counts"].split(",")):
                measured.append(workers.measure(broker, workers.Team(count, options["events"]), number))
    options["workers"] = options.pop("counts")
    keep("workers", options, measured)


@bench.command("backlog")
@click.option("--events", default=10_000_000, show_default=True, help="Records of the backlog.")
@click.option("--agents", default=500, show_default=True, help="Agents.")
@click.option("--span-hours", default=48, show_default=True, help="Time over which the records were appended.")
@click.option("--horizon-hours", default=6, show_default=True, help="How long panes stay live.")
@click.option("--allowed-percent", default=10, show_default=True, help="Growth after the live set is full; more fails.")
@results_option
def backlog_command(**options: Any) -> None:
    """Memory while a backlog of two days is drained."""
    sizes = {name: options[name] for name in ("events", "agents", "span_hours", "horizon_hours")}
    with kafka() as broker:
        measured = backlog.measure(broker, backlog.Drain(**sizes))
    keep("backlog", options, measured)
    if measured["growth_mb"] > measured["full_mb"] * options["allowed_percent"] / 100:
        raise click.ClickException(f"memory grew by {measured['growth_mb']:.1f} MB after the live set was full")


@bench.command("soak")
@click.option("--minutes", default=30.0, show_default=True, help="How long.")
@click.option("--events-per-second", default=500, show_default=True, help="Pace.")
@click.option("--agents", default=500, show_default=True, help="Agents.")
@click.option("--horizon-hours", default=1, show_default=True, help="How long panes stay live.")
@click.option("--past-horizons", default=3, show_default=True, help="Horizons of past in the log at the start.")
@click.option("--allowed-mb-per-hour", default=50, show_default=True, help="Slope of memory; more fails.")
@results_option
def soak_command(**options: Any) -> None:
    """Slope of memory of a worker whose live set is full."""
    names = ("minutes", "events_per_second", "agents", "horizon_hours", "past_horizons")
    sizes = {name: options[name] for name in names}
    with kafka() as broker:
        measured = soak.measure(broker, soak.Soak(**sizes))
    keep("soak", options, measured)
    if measured["slope_mb_per_hour"] > options["allowed_mb_per_hour"]:
        raise click.ClickException(f"memory grows by {measured['slope_mb_per_hour']:.1f} MB an hour")


@bench.command("backfill")
@click.option("--events", default=1_000_000, show_default=True, help="Old events, of a year.")
@click.option("--ways", default="load,flat-out", show_default=True, help="How they are appended, comma separated.")
@results_option
def backfill_command(**options: Any) -> None:
    """A year of old events while live traffic flows: latency of the live ones, memory, and an audit of every cell."""
    measured = []
    with kafka() as broker:
        for way in options["ways"].split(","):
            measured.append(backfill.measure(broker, backfill.BackFill(options["events"], way == "flat-out")))
    keep("backfill", options, measured)


@bench.command("quix")
@click.option("--events", default=200_000, show_default=True, help="Records that both work off.")
@click.option("--rounds", default=3, show_default=True, help="Runs of each, in turn.")
@results_option
def quix_command(**options: Any) -> None:
    """Quix Streams beside the worker, without a fault and after kill -9; installs it in an environment of its own."""
    with kafka() as broker:
        measured = quix.measure(broker, quix.Comparison(options["events"], options["rounds"]))
    keep("quix", options, measured)


@bench.command("all")
@click.pass_context
def all_command(context: click.Context) -> None:
    """Every measurement with its defaults, then the page."""
    for name in PARTS:
        say(f"==== {name}")
        context.invoke(bench.commands[name])
    context.invoke(page_command)


@bench.command("page")
def page_command() -> None:
    """Write the tables of docs/explanation/performance.md again, from bench/results-*.json."""
    page.PAGE.write_text(page.written(page.PAGE.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    bench(prog_name="python -m bench")
