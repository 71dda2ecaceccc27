"""The verbs `kpistream targets`: their options, read before anything heavy is imported."""

from typing import Any

import click


class _Ordered(click.Group):
    """Commands in the order of their definition."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names in order of definition."""
        return list(self.commands)


_settings = click.option("--settings", metavar="DIR", help="Roster, targets and schedules.")
_json = click.option("--json", "as_json", is_flag=True, help="JSON.")


@click.group(cls=_Ordered)
def targets() -> None:
    """Which bound holds for whom, and whether targets make sense."""


@targets.command(epilog="Example: kpistream targets explain bela calls --at 2026-03-16 --settings ./settings")
@click.argument("agent")
@click.argument("kpi")
@click.option("--tenant", help="Of the agent; without it the only one of the roster.")
@click.option("--at", "at", metavar="TIME", help="A date or RFC 3339 time, in the tenant's zone.  [default: now]")
@_settings
@_json
def explain(**options: Any) -> None:
    """Which bound holds for AGENT on KPI, where it comes from, and what was overridden.

    AGENT is an agent's id, or team:NAME, or tenant.
    """
    from kpistream import target_commands

    target_commands.explain_command(**options)
