"""The verbs of `kpistream topics`: their options, read before anything heavy is imported."""

import asyncio

import click

from kpistream import verb_options


@click.group()
def topics() -> None:
    """The Kafka topics."""


@topics.command("apply", epilog="Example: kpistream topics apply --broker kafka:9092 --partitions 12 --replication 3")
@verb_options.broker
@click.option("--partitions", type=click.IntRange(1), help="Partitions of events; may never change.  [default: 12]")
@click.option("--replication", type=click.IntRange(1), default=1, show_default=True, help="Replicas; 3 in production.")
def topics_apply(broker: str | None, partitions: int | None, replication: int) -> None:
    """Make the topics that are missing, then check all."""
    from kpistream import commands, service

    raise click.exceptions.Exit(
        asyncio.run(commands.topics_apply_command(service.load_config(broker=broker), partitions, replication))
    )


@topics.command("verify")
@verb_options.broker
def topics_verify(broker: str | None) -> None:
    """Check the topics; exit 1 when something is wrong."""
    from kpistream import commands, service

    code = asyncio.run(commands.topics_verify_command(service.load_config(broker=broker)))
    raise click.exceptions.Exit(code)


@topics.command(
    "accept", epilog="Example: kpistream topics accept --broker kafka:9092 --store http://kpi@clickhouse/kpi"
)
@verb_options.broker
@verb_options.store
def topics_accept(broker: str | None, store: str | None) -> None:
    """Go on with topics that were deleted and made again.

    Every role must have stopped. Panes that history knows are closed first, so that a new log cannot replace them
    by less. What follows from a lost topic: docs/how-to/run-on-kafka.md, "When a role refuses".
    """
    from kpistream import commands, service

    asyncio.run(commands.topics_accept_command(service.load_config(broker=broker, store=store)))
