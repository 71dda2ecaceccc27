"""The verbs `kpistream targets`: their options, read before anything heavy is imported."""

from typing import Any

import click

from kpistream import verb_options


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


_at = click.option("--at", metavar="TIME", help="A date or RFC 3339 time, in the tenant's zone.  [default: now]")
_store = verb_options.store


@targets.command(epilog="Example: kpistream targets explain bela calls --at 2026-03-16 --settings ./settings")
@click.argument("agent")
@click.argument("kpi")
@click.option("--tenant", help="Of the agent; without it the only one of the roster.")
@_at
@_settings
@_json
def explain(**options: Any) -> None:
    """Which bound holds for AGENT on KPI, where it comes from, and what was overridden.

    AGENT is an agent's id, or team:NAME, or tenant.
    """
    from kpistream import target_commands

    target_commands.explain_command(**options)


@targets.command(epilog="Example: kpistream targets lint --settings ./settings --store ./store")
@_at
@_settings
@_store
@_json
def lint(**options: Any) -> None:
    """Look for targets that are hardly meant.

    Wrong unit or direction, bounds of 0, tiers that were forgotten, targets that overlap or contradict each other, more
    than 7 for one agent, agents who are asked for less than their team. With --store also bounds that somebody has
    never met in the last 12 weeks, or always. Exits 1 when something is found.
    """
    from kpistream import target_commands

    raise click.exceptions.Exit(target_commands.lint_command(**options))


@targets.command(epilog="Example: kpistream targets suggest calls --store ./store --settings ./settings")
@click.argument("kpi")
@click.option("--member", help="Currency or scale, for KPIs that have one value for each.")
@click.option("--tenant", help="Whose agents; without it the only tenant of the roster.")
@click.option("--percentile", type=click.IntRange(1, 99), default=80, show_default=True, help="Of the days' values.")
@click.option("--weeks", type=click.IntRange(1, 520), default=12, show_default=True, help="Of history, up to --at.")
@click.option(
    "--minimum-sample", type=click.IntRange(1), default=10, show_default=True, help="Cases of a day at least."
)
@_at
@_settings
@_store
def suggest(**options: Any) -> None:
    """A target on KPI from what was done, for everybody and for each tier, as YAML to paste.

    Each bound says on how many days of how many agents it rests, and how far they spread. Exits 1 without any.
    """
    from kpistream import target_commands

    raise click.exceptions.Exit(target_commands.suggest_command(**options))


@targets.command(epilog="Example: kpistream targets backtest calls --from 2026-09-01 --store ./store")
@click.argument("target", required=False)
@click.option("--from", "from_", metavar="TIME", required=True, help="First pane: a date or RFC 3339 time, in --zone.")
@click.option("--to", metavar="TIME", help="First pane that is not looked at.  [default: now]")
@click.option("--zone", help="IANA zone of --from and --to.  [default: the installation's]")
@_settings
@_store
@_json
def backtest(**options: Any) -> None:
    """How often TARGET, or every target, would have fired on history, for whom and for how long.

    Panes are replayed through the code of the worker, with one look at the end of each. The target's own from and to
    are left out, so that a target can be tried before it begins.
    """
    from kpistream import target_commands

    target_commands.backtest_command(**options)
