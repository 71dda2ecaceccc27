"""Commands on targets: which bound holds, whether targets make sense, and what history says of them.

Tables go to stdout, talk to stderr. A command returns its exit code where that can be other than 0.
"""

import json
from collections.abc import Iterator
from itertools import chain
from typing import Any, Final

import click

from kpistream import service
from kpistream.commands import instant_ms
from kpistream.core.attainment import WEEKS, Past, lint_links
from kpistream.core.backtest import Told, agents_told, teams_told
from kpistream.core.kpis import Kpi
from kpistream.core.linting import Finding, lint_targets
from kpistream.core.linting_floor import lint_floor
from kpistream.core.own_kpis import counted
from kpistream.core.provenance import provenances
from kpistream.core.roster import Roster
from kpistream.core.settings import Settings
from kpistream.core.suggesting import Suggestion, Wanted
from kpistream.core.target_settings import member_fault
from kpistream.core.targets import TENANT_SCOPE, Scope, Target
from kpistream.core.yaml_nodes import near
from kpistream.history import queries
from kpistream.history.queries import Span
from kpistream.history.reports import instant
from kpistream.history.settled import agent_panes, deals_linked, deals_without_call
from kpistream.history.store import Store, open_store
from kpistream.history.whole_days import agent_days, team_days
from kpistream.target_words import aligned, story_json, story_lines, told_json, told_lines

_AGENT: Final = "agent:"
_TEAM: Final = "team:"
_WEEK_MS: Final = 7 * 24 * 3_600_000


def explain_command(
    *, agent: str, kpi: str, tenant: str | None, at: str | None, settings: str | None, as_json: bool
) -> None:
    """`kpistream targets explain`."""
    live = settings_of(settings)
    _check_kpi(kpi, live)
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


def lint_command(*, at: str | None, settings: str | None, store: str | None, as_json: bool) -> int:
    """`kpistream targets lint`: 1 when something is found."""
    live = settings_of(settings)
    at_ms = _at_ms(at, live.roster.zone)
    found = [*lint_targets(live.targets, live.roster, at_ms), *lint_floor(live, at_ms)]
    if store is not None:
        found += _past_findings(store, live, at_ms)
    if as_json:
        click.echo(json.dumps([finding._asdict() for finding in found], indent=2, ensure_ascii=False))
    elif found:
        for line in aligned(
            [("target", "check", "fact"), *((each.target or "-", each.check, each.fact) for each in found)]
        ):
            click.echo(line)
    else:
        click.echo(f"nothing found in {len(live.targets)} targets")
    return 1 if found else 0


def _past_findings(location: str, live: Settings, at_ms: int) -> list[Finding]:
    past, span = Past(live, at_ms), Span(at_ms - WEEKS * _WEEK_MS, at_ms)
    settled = any(each.defined.settles for each in live.targets)
    with open_store(location) as store:
        days = agent_days(store, live.roster, span, settled=settled)
        for day in chain(days, team_days(store, live.roster, span)):
            past.take(day)
        deals = deals_linked(store, span) if settled else {}
    return [*past.findings(), *lint_links(live, deals, at_ms)]


def suggest_command(
    *, kpi: str, member: str | None, tenant: str | None, at: str | None, settings: str | None, **options: Any
) -> int:
    """`kpistream targets suggest`: 1 when history holds no day of it."""
    live = settings_of(settings)
    _check_history(_check_kpi(kpi, live))
    if fault := member_fault(_check_kpi(kpi, live), member):
        raise click.UsageError(f"--member {fault}")
    whose = tenant_of(live.roster, tenant)
    at_ms = _at_ms(at, live.roster.tenant(whose).zone)
    suggestion = Suggestion(live, Wanted(kpi, whose, member, options["percentile"], options["minimum_sample"]))
    with open_store(service.load_config(store=options["store"]).store) as store:
        span = Span(at_ms - options["weeks"] * _WEEK_MS, at_ms, whose)
        for day in agent_days(store, live.roster, span, settled=_check_kpi(kpi, live).settles):
            suggestion.take(day)
    if not suggestion.days:
        click.echo(f"history holds no whole day of {kpi} of tenant {whose} in {options['weeks']} weeks", err=True)
        return 1
    for line in suggestion.lines():
        click.echo(line)
    return 0


def backtest_command(
    *, target: str | None, from_: str, to: str | None, zone: str | None, settings: str | None, **options: Any
) -> None:
    """`kpistream targets backtest`."""
    live = settings_of(settings)
    names = [each.name for each in live.targets]
    if target is not None and target not in names:
        raise click.UsageError(f'"{target}" is no target of the settings{near(target, names)}')
    zone = live.roster.zone if zone is None else zone
    from_ms, to_ms = instant_ms(from_, zone), _at_ms(to, zone)
    assert from_ms is not None, "--from is required"
    if from_ms >= to_ms:
        raise click.UsageError("--to must be after --from")
    span = Span(from_ms, to_ms)
    asked = [each for each in live.targets if target in (None, each.name)]
    if target is not None:
        _check_history(asked[0].defined)
    with open_store(service.load_config(store=options["store"]).store) as store:
        left_out = dict(_left_out(store, asked, span))
        asked = [each for each in asked if each.name not in left_out]
        told = list(_told(store, live, asked, span))
    for name, why in left_out.items():
        click.echo(f"left out: {name}, {why}", err=True)
    if options["as_json"]:
        click.echo(json.dumps([told_json(each, zone) for each in told], indent=2, ensure_ascii=False))
        return
    for number, each in enumerate(asked):
        for line in (*([""] if number else []), *told_lines(each, [t for t in told if t.subject.target == each.name])):
            click.echo(line)


def _left_out(store: Store, asked: list[Target], span: Span) -> Iterator[tuple[str, str]]:
    """Targets that cannot be replayed, and why."""
    for target in asked:
        if counted(target.defined):
            yield target.name, "it has own measures, which panes of the past do not have"
    settling = [each for each in asked if each.defined.settles]
    unnamed = deals_without_call(store, span) if settling else 0
    for target in settling:
        if target.scope is not Scope.AGENT:
            yield target.name, f"history has {target.kpi} of agents only, pane by pane"
        elif unnamed:
            yield (
                target.name,
                f"{unnamed} won deals name no call, and what a worker makes of them is not replayed",
            )


def _told(store: Store, live: Settings, asked: list[Target], span: Span) -> Iterator[Told]:
    assert span.to_ms is not None, span
    agents = [each for each in asked if each.scope is Scope.AGENT]
    others = [each for each in asked if each.scope is not Scope.AGENT]
    if agents:
        settling = any(each.defined.settles for each in agents)
        panes = agent_panes(store, span, live.roster) if settling else queries.agent_panes(store, span)
        yield from agents_told(live, agents, panes, span.to_ms)
    if others:
        yield from teams_told(live, others, queries.panes_in_time(store, span), span.to_ms)


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


def _check_kpi(name: str, live: Settings) -> Kpi:
    kpi = live.own.find(name)
    if kpi is None:
        raise click.UsageError(f'"{name}" is no KPI{near(name, live.own.names)}')
    return kpi


def _check_history(kpi: Kpi) -> None:
    """Raises UsageError for a KPI whose sums are in no pane of the past."""
    if counted(kpi):
        raise click.UsageError(f"{kpi.name} has own measures, which panes of the past do not have")


def _at_ms(text: str | None, zone: str) -> int:
    at_ms = instant_ms(text, zone)
    return service.clocks().now_ms() if at_ms is None else at_ms
