"""Audit commands: `kpistream audit` and `kpistream repair`, once their options are read.

The report goes to stdout, talk to stderr. Exit 0: nothing is wrong, or all of it is mended; 1: differences,
or what no mechanism mends, or nothing could be said yet.
"""

import json
from datetime import UTC, datetime
from typing import Any, Final

import click

from kpistream.auditing import Answer, Question, audit
from kpistream.commands import instant_ms
from kpistream.config import Config
from kpistream.errors import ConfigError
from kpistream.judge.findings import Finding
from kpistream.judge.stored import Span
from kpistream.repairing import carry_out, plan

SHOWN: Final = 20
"""Findings that the report prints; `--json` has all that were kept."""


async def audit_command(config: Config, *, as_json: bool, **options: Any) -> int:
    """`kpistream audit`: 1 when anything differs."""
    answer = await audit(config, question(config, **options))
    if as_json:
        click.echo(json.dumps(answer_json(answer), indent=2))
    else:
        for line in answer_lines(answer):
            click.echo(line)
    return 0 if answer.findings.clean else 1


async def repair_command(config: Config, *, dry_run: bool, **options: Any) -> int:
    """`kpistream repair`: 1 when something is left that no mechanism mends."""
    answer = await audit(config, question(config, **options))
    for line in answer_lines(answer):
        click.echo(line)
    work = plan(answer.findings.first)
    click.echo(f"to send again {len(work.again)}, to retract {len(work.retractions)}, to compute {len(work.marks)}")
    for refused in work.refused[:SHOWN]:
        click.echo(f"not mended: {finding_line(refused.finding)}\n  {refused.why}")
    if len(work.refused) > SHOWN:
        click.echo(f"not mended: {len(work.refused) - SHOWN} more")
    if dry_run and work.writes:
        click.echo("dry run: nothing written", err=True)
    elif work.writes:
        await carry_out(config, work)
        click.echo(f"{work.writes} records written\nhint: kpistream audit says when they have taken effect", err=True)
    return 1 if work.refused else 0


def question(config: Config, *, from_: str | None, to: str | None, zone: str, **options: Any) -> Question:
    """The question of the options. Raises ConfigError with every bound that is no pane's start."""
    from_ms, to_ms = instant_ms(from_, zone), instant_ms(to, zone)
    faults = [
        f'{name} "{text}" lies inside a pane of {config.pane_minutes} minutes'
        for name, text, at_ms in (("from", from_, from_ms), ("to", to, to_ms))
        if at_ms is not None and at_ms % config.pane_ms
    ]
    if from_ms is not None and to_ms is not None and to_ms <= from_ms:
        faults.append(f'to "{to}" must be after from "{from_}"')
    if faults:
        raise ConfigError(faults)
    span = Span(from_ms, to_ms, options["tenant"])
    return Question(span, options["live"], options["memory_mib"], options["wait_s"])


def answer_lines(answer: Answer) -> list[str]:
    """The report in words."""
    account, ground, findings = answer.account, answer.ground, answer.findings
    refused = ", ".join(f"{count:,} {reason}" for reason, count in sorted(account.refused.items()))
    lines = [
        f"records read      {account.records:>12,}  {account.events:,} events, {account.retractions:,} retractions"
        + (f", refused by the contract: {refused}" if refused else ""),
        f"identities        {account.identities:>12,}",
        f"facts             {account.facts:>12,}",
        f"rows              {account.rows:>12,}",
        f"cells by the log  {account.cells_by_log:>12,}",
        f"cells by facts    {account.cells_by_facts:>12,}  older than the log's first records",
        f"cells moving      {account.cells_moving:>12,}  changed meanwhile, not judged",
    ]
    if ground.live:
        lines += [
            f"changelog         {account.panes_joined:>12,}  live panes of {account.changelog_records:,} records",
            f"readings          {account.readings:>12,}  not checkable: {account.readings_unchecked:,}",
        ]
    for number, end in sorted(answer.ends.items()):
        first, since_ms = ground.earliest.get(number, 0), answer.first_record_ms.get(number)
        since = "empty" if since_ms is None else f"since {_utc(since_ms)}"
        lines.append(f"log               {ground.topic}[{number}] {first:,} to {end:,}, {since}")
    lines += ["", *(f"{what:<20} {count:>9,}" for what, count in sorted(findings.counts.items()) if count)]
    lines.append("clean" if findings.clean else f"{sum(findings.counts.values()):,} differences")
    return lines + [finding_line(finding) for finding in findings.first[:SHOWN]]


def finding_line(finding: Finding) -> str:
    """A finding with the events behind it."""
    key, start_ms = finding.spot
    who = f" {finding.identity}" if finding.identity else ""
    events = ", ".join(
        f"{seen.identity} [{seen.partition}]@{seen.offset}" if seen.offset >= 0 else f"{seen.identity} (fact)"
        for seen in finding.behind[:SHOWN]
    )
    by = " by facts" if finding.by_facts else ""
    return f"{finding.what}{by} {key} at {_utc(start_ms)}:{who} {finding.said}; events: {events or 'none'}"


def answer_json(answer: Answer) -> dict[str, Any]:
    """The report for machines."""
    account, ground = answer.account, answer.ground
    numbers = {name: getattr(account, name) for name in account.__slots__ if name != "refused"}
    return {
        "clean": answer.findings.clean,
        "account": {**numbers, "refused": dict(account.refused)},
        "log": [
            {
                "partition": number,
                "first": ground.earliest.get(number, 0),
                "end": end,
                "settled": ground.settled[number],
            }
            for number, end in sorted(answer.ends.items())
        ],
        "counts": {str(what): count for what, count in answer.findings.counts.items() if count},
        "findings": [_finding_json(finding) for finding in answer.findings.first],
    }


def _finding_json(finding: Finding) -> dict[str, Any]:
    return {
        "what": str(finding.what),
        "key": finding.spot[0],
        "start_ms": finding.spot[1],
        "by": "facts" if finding.by_facts else "log",
        "said": finding.said,
        "identity": finding.identity or None,
        "events": [seen._asdict() for seen in finding.behind],
    }


def _utc(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
