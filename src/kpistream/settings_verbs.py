"""The verbs `apply`, `settings` and `absence`: their options, read before anything heavy is imported."""

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import click

from kpistream import verb_options

_by = click.option("--by", metavar="NAME", default="", help="Who does it; kept with the version.")
_tenant = click.option("--tenant", help="Tenant of the agent; where only one has such an agent, nobody must say.")
_json = click.option("--json", "as_json", is_flag=True, help="JSON.")


class _Ordered(click.Group):
    """Commands in the order of their definition."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names in order of definition."""
        return list(self.commands)


def _config(broker: str | None) -> Any:
    from kpistream import service

    return service.load_config(broker=broker)


def _end(work: Coroutine[Any, Any, int]) -> None:
    raise click.exceptions.Exit(asyncio.run(work))


@click.command(epilog='Example: kpistream apply ./settings --by kim --message "bob moves to south"')
@click.argument("directory", type=click.Path(exists=True, file_okay=False))
@click.option("--dry-run", is_flag=True, help="Show the difference, publish nothing.")
@_by
@click.option("--message", metavar="TEXT", default="", help="Why; kept with the version.")
@verb_options.broker
def apply(directory: str, broker: str | None, **options: Any) -> None:
    """Publish roster, targets and schedules as the next version.

    Checks everything as `kpistream check` does, shows what differs from the version in force, and publishes. Every
    role that runs follows within seconds. Absences that were added by command stay. Exits 1 when there is a fault, or
    when somebody else was first to have the number.
    """
    from kpistream import settings_commands

    _end(settings_commands.apply_command(_config(broker), directory, **options))


@click.group(cls=_Ordered)
def settings() -> None:
    """The versions of the settings."""


@settings.command()
@_json
@verb_options.broker
def show(broker: str | None, as_json: bool) -> None:
    """The version in force."""
    from kpistream import settings_commands

    _end(settings_commands.show_command(_config(broker), as_json))


@settings.command()
@_json
@verb_options.broker
def history(broker: str | None, as_json: bool) -> None:
    """Every version: number, time, who and why."""
    from kpistream import settings_commands

    _end(settings_commands.history_command(_config(broker), as_json))


@settings.command(epilog="Example: kpistream settings get 7 --into ./settings-7")
@click.argument("version", type=click.IntRange(1))
@click.option("--into", required=True, metavar="DIR", type=click.Path(file_okay=False, path_type=Path))
@verb_options.broker
def get(broker: str | None, version: int, into: Path) -> None:
    """Write the files of a version into an empty directory."""
    from kpistream import settings_commands

    _end(settings_commands.get_command(_config(broker), version, into))


@settings.command(epilog="Example: kpistream settings example ./mine")
@click.argument("into", metavar="DIR", type=click.Path(file_okay=False, path_type=Path))
def example(into: Path) -> None:
    """Write the settings of the demo into an empty directory, to begin with."""
    from kpistream import settings_commands

    settings_commands.example_command(into)


@click.group(cls=_Ordered)
def absence() -> None:
    """Who is away, at once."""


@absence.command("add", epilog="Example: kpistream absence add bob today --reason ill")
@click.argument("agent")
@click.argument("when", metavar="today|DATE|FROM..TO")
@click.option("--reason", metavar="TEXT", default="", help="Shown with the absence.")
@_tenant
@_by
@verb_options.broker
def absence_add(broker: str | None, agent: str, when: str, **options: Any) -> None:
    """Say that an agent is away; targets rest within seconds.

    Dates and times are of the agent's zone; TO is the first moment at work again, and may be left out:
    2026-11-27..2026-12-01, "2026-11-27 12:00..2026-11-27 14:00", "today 14:00..".
    """
    from kpistream import settings_commands

    _end(settings_commands.absence_add_command(_config(broker), agent, when, **options))


@absence.command("list")
@_tenant
@click.option("--past", is_flag=True, help="Also those that are over.")
@_json
@verb_options.broker
def absence_list(broker: str | None, tenant: str | None, past: bool, as_json: bool) -> None:
    """Who is away, now and later."""
    from kpistream import settings_commands

    _end(settings_commands.absence_list_command(_config(broker), tenant, past, as_json))


@absence.command("remove", epilog="Example: kpistream absence remove bob today")
@click.argument("agent")
@click.argument("when", metavar="today|DATE|FROM..TO")
@_tenant
@_by
@verb_options.broker
def absence_remove(broker: str | None, agent: str, when: str, **options: Any) -> None:
    """Take back what `absence add` has said, in the same words."""
    from kpistream import settings_commands

    _end(settings_commands.absence_remove_command(_config(broker), agent, when, **options))
