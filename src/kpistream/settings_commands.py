"""Settings commands: what `apply`, `settings` and `absence` do, once their options are read.

Tables go to stdout, talk to stderr. A command returns its exit code.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

import click

from kpistream import applying, service
from kpistream.applying import Note
from kpistream.config import Config
from kpistream.core.absence_entries import Entry, entry_of, tenant_of, with_reason
from kpistream.core.patterns import Absence
from kpistream.core.roster import ALWAYS_FROM_MS, ALWAYS_TO_MS, Roster
from kpistream.core.settings import Settings, read_settings
from kpistream.core.settings_values import label
from kpistream.core.versions import ABSENCE_FILE, Manifest, Rejected, Version, VersionLog
from kpistream.errors import ConfigError
from kpistream.simulate.floor import demo_text

Json = dict[str, Any]
_HASH_SHOWN: Final = 12


def _note(options: Mapping[str, Any]) -> Note:
    for name in ("by", "message"):
        try:
            label(options[name] or "-")
        except ValueError as error:
            raise click.UsageError(f"--{name}: {error}") from error
    return Note(service.clocks().now_ms(), options["by"], options["message"])


async def apply_command(config: Config, directory: str, *, dry_run: bool, **options: Any) -> int:
    """`kpistream apply`."""
    note = _note(options)
    log = await applying.versions_of(config)
    try:
        prepared = applying.prepare(log, directory)
    except ConfigError as error:
        return _found(error.faults)
    _tell_rejected(log)
    for path in prepared.ignored:
        click.echo(f"{path}: not taken: absences are kept by `kpistream absence`, those in force stay", err=True)
    if not prepared.changes:
        click.echo(f"nothing to change: version {prepared.number} is in force", err=True)
        return 0
    for line in prepared.changes:
        click.echo(line)
    if dry_run:
        click.echo("dry run: nothing published", err=True)
        return 0
    number = await applying.publish(config, prepared, note)
    click.echo(f"version {number} is published", err=True)
    return 0


def _found(faults: Iterable[str]) -> int:
    for fault in faults:
        click.echo(fault)
    return 1


def _tell_rejected(log: VersionLog) -> None:
    for _, rejected in sorted(log.rejected.items()):
        click.echo(rejected_line(rejected), err=True)


def rejected_line(rejected: Rejected) -> str:
    """Why a version is passed over."""
    return f"version {rejected.number} cannot be read by this release, it is passed over: {'; '.join(rejected.faults)}"


# ---- reading back


async def show_command(config: Config, as_json: bool) -> int:
    """`kpistream settings show`."""
    log = await applying.versions_of(config)
    version = log.newest()
    _tell_rejected(log)
    if version is None:
        click.echo("no version can be read\nhint: kpistream apply DIR" if log.numbers else _NONE, err=True)
        return 1
    if as_json:
        click.echo(json.dumps(_manifest_json(version.manifest), indent=2))
        return 0
    manifest = version.manifest
    click.echo(f"version  {version.number}")
    click.echo(f"sha256   {manifest.sha256}")
    click.echo(f"applied  {_utc(manifest.applied_at_ms)}" + (f" by {manifest.by}" if manifest.by else ""))
    if manifest.message:
        click.echo(f"message  {manifest.message}")
    people = sum(len(tenant.people) for tenant in version.settings.roster.tenants.values())
    click.echo(f"holds    {len(version.settings.roster.tenants)} tenants, {people} people, ", nl=False)
    click.echo(f"{len(version.settings.targets)} targets")
    for name, ref in manifest.files.items():
        click.echo(f"file     {name}, {ref.size_bytes} bytes")
    return 0


_NONE: Final = "no version has been applied\nhint: kpistream apply DIR"


async def history_command(config: Config, as_json: bool) -> int:
    """`kpistream settings history`."""
    log = await applying.versions_of(config)
    rows: list[Json] = []
    for number in log.numbers:
        try:
            rows.append(_manifest_json(log.manifest(number)))
        except ConfigError as error:
            rows.append({"version": number, "fault": "; ".join(error.faults)})
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return 0
    if not rows:
        click.echo(_NONE, err=True)
    _print_table(
        ("version", "applied", "by", "sha256", "message"),
        [
            (
                row["version"],
                row.get("applied_at", "-"),
                row.get("by", ""),
                row.get("sha256", "")[:_HASH_SHOWN],
                row.get("message", "") if "fault" not in row else f"cannot be read: {row['fault']}",
            )
            for row in rows
        ],
    )
    return 0


async def get_command(config: Config, number: int, into: Path) -> int:
    """`kpistream settings get`."""
    log = await applying.versions_of(config)
    texts = log.texts(number)
    _write_into(into, texts)
    if ABSENCE_FILE in texts:
        click.echo(f"{ABSENCE_FILE} is for reading only: `kpistream apply` keeps the absences in force", err=True)
    return 0


def example_command(into: Path) -> None:
    """`kpistream settings example`."""
    _write_into(into, {"settings.yaml": demo_text()})


def _write_into(directory: Path, texts: Mapping[str, str]) -> None:
    if directory.exists() and any(directory.iterdir()):
        raise click.UsageError(f"{directory} is not empty: settings are written into an empty or a new directory")
    directory.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        (directory / name).write_text(text, encoding="utf-8", newline="")
        click.echo(directory / name)


def _manifest_json(manifest: Manifest) -> Json:
    return {
        "version": manifest.version,
        "applied_at": _utc(manifest.applied_at_ms),
        "by": manifest.by,
        "message": manifest.message,
        "sha256": manifest.sha256,
        "files": {name: {"sha256": ref.sha256, "bytes": ref.size_bytes} for name, ref in manifest.files.items()},
    }


def _utc(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms // 1000, ZoneInfo("UTC")).isoformat(timespec="seconds")


def _print_table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Columns flush left, with two spaces between them."""
    if not rows:
        return
    cells = [head, *([str(cell) for cell in row] for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(head))]
    for row in cells:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


# ---- absences


async def absence_add_command(config: Config, agent: str, when: str, **options: Any) -> int:
    """`kpistream absence add`."""
    note, reason = _note(options | {"message": f"absence add {agent} {when}"}), options["reason"]

    def add(entries: list[Entry], settings: Settings) -> list[Entry]:
        entry = with_reason(_entry(settings.roster, agent, when, options["tenant"], note.at_ms), reason)
        others = [each for each in entries if each._replace(reason="") != entry._replace(reason="")]
        return entries if entry in entries else [*others, entry]

    return await _changed(config, add, note)


async def absence_remove_command(config: Config, agent: str, when: str, **options: Any) -> int:
    """`kpistream absence remove`."""
    note = _note(options | {"message": f"absence remove {agent} {when}"})

    def remove(entries: list[Entry], settings: Settings) -> list[Entry]:
        wanted = _entry(settings.roster, agent, when, options["tenant"], note.at_ms)
        left = [each for each in entries if each._replace(reason="") != wanted]
        if left == entries:
            there = [each.when for each in entries if each[:2] == wanted[:2]]
            raise click.UsageError(
                f'"{agent}" has no absence {wanted.when} that was added by command, there are: '
                f"{', '.join(there) or 'none'}\nhint: one of a settings file goes with `kpistream apply`"
            )
        return left

    return await _changed(config, remove, note)


def _entry(roster: Roster, agent: str, when: str, tenant: str | None, now_ms: int) -> Entry:
    try:
        return entry_of(roster, tenant_of(roster, tenant, agent), agent, when, now_ms)
    except ValueError as error:
        raise click.UsageError(str(error)) from error


async def _changed(config: Config, change: Any, note: Note) -> int:
    try:
        outcome = await applying.change_absences(config, change, note)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    _tell_rejected(outcome.log)
    if outcome.number == outcome.before:
        click.echo(f"nothing to change: version {outcome.number} says so already", err=True)
        return 0
    for line in outcome.changes:
        click.echo(line)
    click.echo(f"version {outcome.number} is published", err=True)
    return 0


async def absence_list_command(config: Config, tenant: str | None, past: bool, as_json: bool) -> int:
    """`kpistream absence list`."""
    log = await applying.versions_of(config)
    version = log.newest()
    _tell_rejected(log)
    if version is None:
        click.echo(_NONE, err=True)
        return 1
    now_ms = service.clocks().now_ms()
    rows = [row for row in _absences(version) if tenant in (None, row["tenant"]) and (past or row["to_ms"] > now_ms)]
    roster = version.settings.roster
    for row in rows:
        zone = ZoneInfo(roster.zone_of(row["tenant"], row["agent"], row.pop("at_ms")))
        for key in ("from", "to"):
            at_ms = row.pop(f"{key}_ms")
            row[key] = None if abs(at_ms) >= ALWAYS_TO_MS else datetime.fromtimestamp(at_ms // 1000, zone).isoformat()
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return 0
    if not rows:
        click.echo("nobody is absent from now on", err=True)
    columns = ("tenant", "agent", "from", "to", "reason", "kept_in")
    _print_table(
        [name.replace("_", " ") for name in columns],
        [["-" if row[name] is None else row[name] for name in columns] for row in rows],
    )
    return 0


def _absences(version: Version) -> list[Json]:
    """Every absence, with `command` or `files` for who keeps it; ordered by tenant, begin and agent."""
    texts = {name: text for name, text in version.texts.items() if name != ABSENCE_FILE}
    by_files = read_settings(texts).schedules if ABSENCE_FILE in version.texts else version.settings.schedules
    rows: list[Json] = []
    for tenant, schedules in version.settings.schedules.tenants.items():
        known = by_files.tenants.get(tenant)
        for agent, absences in schedules.absences.items():
            in_files = list(known.absences.get(agent, ())) if known is not None else []
            for each in absences:
                kept_in = "files" if each in in_files else "command"
                if kept_in == "files":
                    in_files.remove(each)
                rows.append(
                    {"tenant": tenant, "agent": agent, **_span(each), "reason": each.reason, "kept_in": kept_in}
                )
    return sorted(rows, key=lambda row: (row["tenant"], row["from_ms"], row["agent"]))


def _span(absence: Absence) -> Json:
    at_ms = absence.from_ms if absence.from_ms > ALWAYS_FROM_MS else 0
    return {"from_ms": absence.from_ms, "to_ms": absence.to_ms, "at_ms": at_ms}
