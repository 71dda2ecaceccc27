"""The verbs of `kpistream dlq`: list, show and replay dead letters.

Tables go to stdout, talk to stderr. Every number is a count of letters, each refused record once.
"""

import asyncio
import json
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from kpistream.config import Config
    from kpistream.dead_letters import Account, Choice, Fate, Group
    from kpistream.log.dead_letters import Letter
    from kpistream.sources.mapping import Convert

_CHOICES = (
    click.option("--reason", "reasons", multiple=True, metavar="REASON", help="Only this reason; may come again."),
    click.option("--tenant", help="Only records whose key begins with this tenant."),
    click.option("--key", help="Only records with this key, such as acme/agent:ann."),
    click.option("--source-partition", type=int, help="Only records from this partition of events."),
    click.option("--from", "from_", metavar="TIME", help="Only records from this instant on: a date or RFC 3339 time."),
    click.option("--to", metavar="TIME", help="First instant that is not meant any more."),
    click.option("--zone", default="UTC", show_default=True, help="IANA zone of --from and --to, and of a mapping."),
    click.option("--offsets", metavar="A-B", help="Only letters from offset A to offset B; A alone is one letter."),
    click.option("--broker", metavar="HOST:PORT", help="Kafka bootstrap servers."),
    click.option("--json", "as_json", is_flag=True, help="JSON."),
)


def _choosing(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in reversed(_CHOICES):
        command = option(command)
    return command


@click.group()
def dlq() -> None:
    """Dead letters: what was refused, and why."""


@dlq.command("list", epilog="Example: kpistream dlq list --tenant acme --from 2026-03-04")
@_choosing
@click.option("--each", is_flag=True, help="One line for each letter.")
def list_(broker: str | None, each: bool, as_json: bool, **options: Any) -> None:
    """Count letters by reason."""
    from kpistream.dead_letters import grouped

    lines: list[dict[str, Any]] = []

    def tell(letter: "Letter", again: bool) -> None:
        if each:
            lines.append(_line(letter) | {"replayed": again})

    config, choice = _config(broker), _choice(options)
    groups = _run(config, lambda: grouped(config, choice, tell))
    if as_json:
        found: dict[str, Any] = {
            "letters": sum(group.letters for group in groups.values()),
            "replayed": sum(group.replayed for group in groups.values()),
            "by_reason": {reason: _group_json(group) for reason, group in sorted(groups.items())},
        }
        click.echo(json.dumps(found | ({"each": lines} if each else {}), indent=2))
        return
    _print_list(groups, lines, each)


def _print_list(groups: "Mapping[str, Group]", lines: list[dict[str, Any]], each: bool) -> None:
    for line in lines:
        mark = " (replayed)" if line["replayed"] else ""
        where = line["source"] or line["file"]
        click.echo(
            f"{line['offset']}  {line['time']}  {where}  {line['key']}  {line['reason']}{mark}: {line['detail']}"
        )
    if not each and groups:
        click.echo(f"{'letters':>9}  {'replayed':>8}  {'first':<20}  {'last':<20}  {'example':>8}  reason")
        for reason, group in sorted(groups.items(), key=lambda item: -item[1].letters):
            times = f"{_utc(group.first_ms)}  {_utc(group.last_ms)}"
            click.echo(f"{group.letters:>9,}  {group.replayed:>8,}  {times}  {group.example:>8}  {reason}")
    total, again = (sum(getattr(group, name) for group in groups.values()) for name in ("letters", "replayed"))
    click.echo(f"{total} letters, {again} of them replayed", err=True)
    if total > again:
        click.echo("hint: kpistream dlq show EXAMPLE, kpistream dlq replay --dry-run", err=True)


@dlq.command(epilog="Example: kpistream dlq show 4711")
@click.argument("offset", type=int)
@click.option("--hex", "as_hex", is_flag=True, help="Bytes as hexadecimal digits.")
@click.option("--raw", is_flag=True, help="The original bytes and nothing else.")
@click.option("--broker", metavar="HOST:PORT", help="Kafka bootstrap servers.")
@click.option("--json", "as_json", is_flag=True, help="JSON.")
def show(offset: int, as_hex: bool, raw: bool, as_json: bool, broker: str | None) -> None:
    """One letter with its original bytes."""
    config = _config(broker)
    letter, again, whole = _run(config, lambda: _found(config, offset))
    if letter is None:
        click.echo(f"error: no dead letter at offset {offset}", err=True)
        raise click.exceptions.Exit(1)
    full = whole or letter
    if raw:
        click.get_binary_stream("stdout").write(full.value or b"")
        return
    about = _line(full) | {"hint": letter.hint, "replayed": again, "replay_of": letter.replay_of}
    about["cut"] = whole is None
    about["headers"] = [[name, None if held is None else _text(held, as_hex)] for name, held in full.headers]
    about["value"] = None if full.value is None else _text(full.value, as_hex)
    if as_json:
        click.echo(json.dumps(about, indent=2))
        return
    _print_letter(about, full.value)


def _print_letter(about: dict[str, Any], value: bytes | None) -> None:
    for name in ("offset", "reason", "detail", "hint", "time", "source", "file", "key", "replayed", "replay_of"):
        if about[name] not in ("", None, False):
            click.echo(f"{name:<10}{about[name]}")
    for name, held in about["headers"]:
        click.echo(f"header    {name}: {'null' if held is None else held}")
    size = "null" if value is None else f"{len(value)} bytes"
    click.echo(f"value     {size}{', cut: the log does not hold the whole record any more' if about['cut'] else ''}")
    if value:
        click.echo(about["value"])


async def _found(config: "Config", offset: int) -> "tuple[Letter | None, bool, Letter | None]":
    from kpistream.dead_letters import open_letters

    async with open_letters(config) as found:
        async for letter in found.letters():
            if letter.offset == offset:
                return letter, offset in found.replayed, await found.whole(letter)
    return None, False, None


@dlq.command(epilog="Example: kpistream dlq replay --reason unmapped --map calls.yaml --dry-run")
@_choosing
@click.option("--map", "map_file", metavar="MAP.yaml", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--as", "name", metavar="NAME", help="A packaged mapping instead of --map.")
@click.option("--map-tenant", default="default", show_default=True, help="Tenant of mapped records that name none.")
@click.option("--settings", metavar="DIR", help="Roster for --map, for aliases; else the version in force.")
@click.option("--again", is_flag=True, help="Letters that were replayed before, too; no number changes twice.")
@click.option("--dry-run", is_flag=True, help="Count only.")
def replay(broker: str | None, as_json: bool, again: bool, dry_run: bool, **options: Any) -> None:
    """Send the records of letters again, if the contract accepts them by now.

    Each keeps its first timestamp. Exits 1 when letters are left that would be refused again.
    """
    from kpistream import dead_letters

    config, convert = _config(broker, options["settings"]), None
    if options["map_file"] or options["name"]:
        convert = _convert(config, options)

    def tell(letter: "Letter", fate: "Fate") -> None:
        if fate.why in ("gone", "refused") and not as_json:
            what = fate.name or "the whole record is not in the log any more"
            click.echo(f"{letter.offset}  {letter.source or letter.file}  {letter.reason}: not sent, {what}", err=True)

    how = dead_letters.How(convert, dry_run, again)
    choice = _choice(options)
    account = _run(config, lambda: dead_letters.replay(config, choice, how, tell))
    if as_json:
        click.echo(json.dumps(account.as_dict() | {"dry_run": dry_run}, indent=2))
    else:
        for line in _account_lines(account, dry_run):
            click.echo(line)
    raise click.exceptions.Exit(1 if account.left else 0)


def _account_lines(account: "Account", dry_run: bool) -> list[str]:
    sent = "would be sent" if dry_run else "sent"
    rows = [
        ("letters", account.letters, ""),
        (f"  {sent}", account.sent, f"{account.events:,} events"),
        ("  replayed before", account.already, "--again sends them once more"),
        ("  conflicts", account.conflicts, "send a higher revision"),
        ("  gone", account.gone, "cut, and not in the log any more"),
        *(("  refused again", count, name) for name, count in sorted(account.refused.items())),
        *(("  skipped", count, name) for name, count in sorted(account.skipped.items())),
    ]
    return [f"{name:<18}{count:>10,}  {words}".rstrip() for name, count, words in rows if count or name[0] != " "]


def _run(config: "Config", work: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    """Do it once the broker answers and has the topics; ConfigError otherwise."""
    from kpistream.commands import check_log

    async def checked() -> Any:
        await check_log(config)
        return await work()

    return asyncio.run(checked())


def _config(broker: str | None, settings: str | None = None) -> "Config":
    from kpistream import service

    return service.load_config(broker=broker, settings=settings)


def _convert(config: "Config", options: dict[str, Any]) -> "Convert":
    from kpistream.following import settings_of_entry
    from kpistream.sources.mapping import load_mapping

    if options["map_file"] and options["name"]:
        raise click.UsageError("say how to read the records by --as NAME or by --map MAP.yaml, not both")
    zone = click.get_current_context().get_parameter_source("zone")
    chosen = options["zone"] if zone is click.core.ParameterSource.COMMANDLINE else None
    mapping = load_mapping(options["name"] or options["map_file"])
    convert = partial(mapping.payloads, zone=chosen, tenant=options["map_tenant"])
    convert()  # what is wrong with the mapping is said before the broker is asked
    return convert(resolve=_run(config, lambda: settings_of_entry(options["settings"], config)).roster.resolve)


def _choice(options: dict[str, Any]) -> "Choice":
    from kpistream.commands import instant_ms
    from kpistream.dead_letters import Choice
    from kpistream.errors import Reason

    unknown = sorted(set(options["reasons"]) - {reason.value for reason in Reason} - {"unreadable"})
    if unknown:
        raise click.UsageError(f"reason {unknown[0]!r} is unknown: one of {', '.join(sorted(Reason))}")
    return Choice(
        frozenset(options["reasons"]),
        options["tenant"],
        options["key"],
        options["source_partition"],
        instant_ms(options["from_"], options["zone"]),
        instant_ms(options["to"], options["zone"]),
        _offsets(options["offsets"]),
    )


def _offsets(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    first, _, last = text.partition("-")
    if not first.isdigit() or not (last.isdigit() or last == "") or int(last or first) < int(first):
        raise click.UsageError(f"--offsets {text!r} is not A-B, such as 100-199")
    return int(first), int(last or first)


def _line(letter: "Letter") -> dict[str, Any]:
    source = letter.source
    return {
        "offset": letter.offset,
        "time": _utc(letter.first_ms),
        "source": f"{source.topic}[{source.partition}]@{source.offset}" if source else "",
        "file": letter.file,
        "key": None if letter.key is None else _text(letter.key, False),
        "reason": letter.reason,
        "detail": letter.detail,
    }


def _group_json(group: Any) -> dict[str, Any]:
    return asdict(group) | {"first": _utc(group.first_ms), "last": _utc(group.last_ms)}


def _text(held: bytes, as_hex: bool) -> str:
    """The bytes as text; escaped where they are none, so that a terminal stays what it is."""
    if as_hex:
        return held.hex(" ")
    text = held.decode("utf-8", "backslashreplace")
    return "".join(char if char.isprintable() or char == "\n" else f"\\x{ord(char):02x}" for char in text)


def _utc(at_ms: int) -> str:
    try:
        return datetime.fromtimestamp(at_ms // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (ValueError, OverflowError, OSError):
        return str(at_ms)
