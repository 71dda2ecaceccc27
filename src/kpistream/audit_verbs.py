"""The verbs `kpistream audit` and `kpistream repair`: their options, read before anything heavy is imported."""

import asyncio
from typing import Any

import click

from kpistream import verb_options


def _audited(command: Any) -> Any:
    """The options that audit and repair share."""
    options = (
        verb_options.broker,
        verb_options.store,
        click.option("--from", "from_", metavar="TIME", help="First pane: a date or RFC 3339 time, in --zone."),
        click.option("--to", metavar="TIME", help="First pane that is not looked at."),
        click.option("--zone", default="UTC", show_default=True, help="IANA zone of --from and --to."),
        click.option("--tenant", help="Only this tenant."),
        click.option("--live", is_flag=True, help="Also the changelog of live panes, and the last readings."),
        click.option("--memory", "memory_mib", type=click.IntRange(1), default=512, show_default=True, help="MiB."),
        click.option("--wait", "wait_s", type=float, default=120.0, show_default=True, help="Seconds, for the sink."),
    )
    for option in reversed(options):
        command = option(command)
    return command


@click.command(epilog="Example: kpistream audit --broker kafka:9092 --store http://default@clickhouse:8123/kpi --live")
@_audited
@click.option("--json", "as_json", is_flag=True, help="JSON.")
def audit(broker: str | None, store: str | None, **options: Any) -> None:
    """Compare history with the log, by an independent recomputation.

    Reads only, while the system runs. Exits 1 when anything differs, or when worker or sink are behind.
    """
    from kpistream import audit_commands, service

    config = service.load_config(broker=broker, store=store)
    raise click.exceptions.Exit(asyncio.run(audit_commands.audit_command(config, **options)))


@click.command(
    epilog="Example: kpistream repair --broker kafka:9092 --store http://default@clickhouse:8123/kpi --dry-run"
)
@_audited
@click.option("--dry-run", is_flag=True, help="Say what would be written.")
def repair(broker: str | None, store: str | None, **options: Any) -> None:
    """Mend what an audit finds, through the log.

    Sends events again, writes retractions, has rows computed again. Exits 1 when something cannot be mended so.
    """
    from kpistream import audit_commands, service

    config = service.load_config(broker=broker, store=store)
    raise click.exceptions.Exit(asyncio.run(audit_commands.repair_command(config, **options)))
