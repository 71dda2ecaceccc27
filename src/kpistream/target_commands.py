"""Commands on targets: which bound holds, whether targets make sense, and what history says of them.

Tables go to stdout, talk to stderr. A command returns its exit code where that can be other than 0.
"""

import json
from typing import Final

import click

from kpistream import service
from kpistream.commands import instant_ms
from kpistream.core.kpis import BY_NAME
from kpistream.core.provenance import provenances
from kpistream.core.roster import Roster
from kpistream.core.settings import Settings
from kpistream.core.targets import TENANT_SCOPE
from kpistream.core.yaml_nodes import near
from kpistream.history.reports import instant
from kpistream.target_words import story_json, story_lines

_AGENT: Final = "agent:"
_TEAM: Final = "team:"


def explain_command(
    *, agent: str, kpi: str, tenant: str | None, at: str | None, settings: str | None, as_json: bool
) -> None:
    """`kpistream targets explain`."""
    live = settings_of(settings)
    _check_kpi(kpi)
    whose = tenant_of(live.roster, tenant)
    zone = live.roster.tenant(whose).zone
    at_ms = _at_ms(at, zone)
    scope = agent if agent == TENANT_SCOPE or agent.startswith(_TEAM) else f"{_AGENT}{agent}"
    found = list(provenances(live, whose, scope, kpi, at_ms))
    if as_json:
        click.echo(json.dumps([story_json(each, zone) for each in found], indent=2, ensure_ascii=False))
        return
    click.echo(f"{scope} of tenant {whose} at {instant(at_ms, zone)}", err=True)
    if scope.startswith(_AGENT) and not live.roster.knows(whose, agent):
        click.echo(f'agent "{agent}" is not in the roster{near(agent, live.roster.tenant(whose).people)}', err=True)
    if not found:
        click.echo(f"no target on {kpi} is about {scope}", err=True)
    for number, each in enumerate(found):
        for line in (*([""] if number else []), *story_lines(each, zone)):
            click.echo(line)


def settings_of(directory: str | None) -> Settings:
    """The settings of a directory, or of `KPISTREAM_SETTINGS`. Raises UsageError when neither is named."""
    config = service.load_config(settings=directory)
    if not config.settings:
        raise click.UsageError("say where the settings are: --settings DIR")
    return service.live_settings(config)


def tenant_of(roster: Roster, tenant: str | None) -> str:
    """The tenant that is named, else the only one of the roster. Raises UsageError."""
    if tenant is None and len(roster.tenants) != 1:
        raise click.UsageError(f"say whose: --tenant, {' or '.join(roster.tenants) or 'but the roster has none'}")
    if tenant is not None and tenant not in roster.tenants:
        raise click.UsageError(f'tenant "{tenant}" is not in the roster{near(tenant, roster.tenants)}')
    return next(iter(roster.tenants)) if tenant is None else tenant


def _check_kpi(kpi: str) -> None:
    if kpi not in BY_NAME:
        raise click.UsageError(f'"{kpi}" is no KPI{near(kpi, BY_NAME)}')


def _at_ms(text: str | None, zone: str) -> int:
    at_ms = instant_ms(text, zone)
    return service.clocks().now_ms() if at_ms is None else at_ms
