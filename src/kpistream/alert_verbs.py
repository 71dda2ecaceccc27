"""The verbs `kpistream alerts ...`: what fires, why, and what people say of it."""

import asyncio
import getpass
import json
import time
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

import click

from kpistream import verb_options

if TYPE_CHECKING:
    from kpistream.alerting import Known, Named
    from kpistream.config import Config
    from kpistream.core.acks import Ack, Said
    from kpistream.core.alerts import Subject

_note = click.option("--note", default="", help="What you say about it.")
_by = click.option("--by", metavar="NAME", help="Who says so; without it the name of your login.")
_id = click.argument("alert", metavar="ID")


@click.group()
def alerts() -> None:
    """Alerts: what fires, why, and what people say of it.

    ID is that of a message, or the same without the number behind the last /.
    """


def _run(work: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(work)


def _config(broker: str | None) -> "Config":
    from kpistream import service

    return service.load_config(broker=broker)


@alerts.command("list", epilog="Example: kpistream alerts list --tenant acme")
@verb_options.broker
@click.option("--tenant", help="Only this tenant.")
@click.option("--all", "everything", is_flag=True, help="Also those that are over.")
@click.option("--json", "as_json", is_flag=True, help="JSON.")
def list_(broker: str | None, tenant: str | None, everything: bool, as_json: bool) -> None:
    """Alerts that are not over, with what people said."""
    from kpistream.alerting import alerts_of

    now_ms = int(time.time() * 1000)
    found = [
        known
        for _, known in sorted(_run(alerts_of(_config(broker))).items())
        if (everything or known.open) and tenant in (None, known.last.tenant)
    ]
    if as_json:
        click.echo(json.dumps([_as_json(known, now_ms) for known in found], indent=2))
        return
    if not found:
        click.echo("no alert", err=True)
    for known in found:
        click.echo(f"{known.last.to_state:<10}  {known.last.alert_id}  {_line(known)}{_words_of(known, now_ms)}")


@alerts.command(epilog="Example: kpistream alerts show connects/acme/agent:anna/1")
@_id
@verb_options.broker
@click.option("--locale", default="en", show_default=True, type=click.Choice(["en", "zh_CN"]))
@click.option("--zone", default="UTC", show_default=True, help="IANA zone of times.")
@click.option("--json", "as_json", is_flag=True, help="JSON.")
def show(alert: str, broker: str | None, locale: str, zone: str, as_json: bool) -> None:
    """One alert, explained, with its history."""
    from kpistream.alerting import alerts_of, named
    from kpistream.core.errands import Entry
    from kpistream.core.settings_values import zone_name
    from kpistream.notify.languages import Language
    from kpistream.notify.wording import full

    try:
        zone_name(zone)
    except ValueError as error:
        raise click.UsageError(f"--zone: {error}") from error
    known, sequence = named(_run(alerts_of(_config(broker))), alert)
    now_ms = int(time.time() * 1000)
    if as_json:
        click.echo(json.dumps(_as_json(known, now_ms), indent=2))
        return
    language = Language(locale, zone)
    shown = next((each for each in known.history if each.sequence == sequence), known.last)
    click.echo(full(Entry(shown), language))
    if known.ack is not None:
        words = known.words(now_ms) or "nothing that still holds"
        click.echo(f"\n{known.ack.by}, {language.time(known.ack.at_ms)}: {words}. {known.ack.note}".rstrip())
    click.echo()
    for each in known.history:
        click.echo(
            f"{each.sequence:>5}  {language.time(each.at_ms)}  {each.from_state} -> {each.to_state}  {each.reason}"
        )


@alerts.command(epilog="Example: kpistream alerts events connects/acme/agent:anna/1 --store http://localhost:8123/kpi")
@_id
@verb_options.broker
@verb_options.store
@click.option("--json", "as_json", is_flag=True, help="JSON.")
def events(alert: str, broker: str | None, store: str | None, as_json: bool) -> None:
    """The events that have most to do with an alert, in full, from history."""
    from kpistream import service
    from kpistream.alerting import alerts_of, events_behind, named, with_events
    from kpistream.history.store import open_store

    config = service.load_config(broker=broker, store=store)
    if not config.store:
        raise click.UsageError("say where history is: --store URL|DIR")
    transition = with_events(named(_run(alerts_of(config)), alert))
    with open_store(config.store) as history:
        found = events_behind(history, transition)
    missing = set(transition.contributor_names) - {each["identity"] for each in found}
    if as_json:
        click.echo(json.dumps(found, ensure_ascii=False, indent=2))
    else:
        for each in found:
            said = ", ".join(f"{name} {value}" for name, value in each.items() if name != "identity")
            click.echo(f"{each['identity']}\n  {said}")
    for name in sorted(missing):
        click.echo(f"{name} is not in history yet, or does not count here any more", err=True)


@alerts.command(epilog='Example: kpistream alerts ack connects/acme/agent:anna/1 --note "talking to her"')
@_id
@verb_options.broker
@_note
@_by
def ack(alert: str, broker: str | None, note: str, by: str | None) -> None:
    """Acknowledge: no repeats and no escalation until it fires anew."""
    from kpistream.core.acks import acknowledged

    _say(broker, alert, _words(by, note), lambda held, found, said: acknowledged(held, *found, said))


@alerts.command(epilog="Example: kpistream alerts close connects/acme/agent:anna/1")
@_id
@verb_options.broker
@_note
@_by
def close(alert: str, broker: str | None, note: str, by: str | None) -> None:
    """Acknowledge, and do not tell its end either."""
    from kpistream.core.acks import closed

    _say(broker, alert, _words(by, note), lambda held, found, said: closed(held, *found, said))


@alerts.command(epilog="Example: kpistream alerts snooze connects/acme/agent:anna/1 --for 2h")
@_id
@verb_options.broker
@_note
@_by
@click.option("--until", metavar="TIME", help="RFC 3339 time, or a local one in --zone.")
@click.option("--for", "length", metavar="DURATION", help="Such as 30m or 2h; 0s ends a snooze.")
@click.option("--zone", default="UTC", show_default=True, help="IANA zone of --until.")
def snooze(alert: str, broker: str | None, until: str | None, length: str | None, zone: str, **options: Any) -> None:
    """Tell nothing until a time; then what still fires."""
    from kpistream.commands import instant_ms
    from kpistream.core.acks import snoozed
    from kpistream.core.settings_values import duration_ms

    if (until is None) == (length is None):
        raise click.UsageError("say --until TIME or --for DURATION")
    try:
        now_ms = int(time.time() * 1000)
        until_ms = now_ms + duration_ms(length) if length is not None else instant_ms(until, zone)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    words = _words(options["by"], options["note"])
    _say(broker, alert, words, lambda held, found, said: snoozed(held, found[0], until_ms or 0, said))


@alerts.command(epilog="Example: kpistream alerts mute connects/acme/agent:anna --note 'in training'")
@_id
@verb_options.broker
@_note
@_by
@click.option("--off", is_flag=True, help="Tell of it again.")
def mute(alert: str, broker: str | None, note: str, by: str | None, off: bool) -> None:
    """Tell nothing of it, until --off."""
    from kpistream.core.acks import muted

    _say(broker, alert, _words(by, note), lambda held, found, said: muted(held, found[0], not off, said))


def _words(by: str | None, note: str) -> "Said":
    from kpistream.core.acks import Said

    return Said(by or getpass.getuser(), int(time.time() * 1000), note)


def _say(
    broker: str | None,
    alert: str,
    words: "Said",
    change: "Callable[[Ack | None, tuple[Subject, int], Said], Ack]",
) -> None:
    from kpistream import alerting

    config = _config(broker)

    async def work() -> "tuple[Named, Ack]":
        found = alerting.named(await alerting.alerts_of(config), alert)
        about = (found.known.subject, found.sequence)
        return found, await alerting.say(config, found.known, lambda held: change(held, about, words))

    found, ack = _run(work())
    found.known.ack = ack
    now_ms = int(time.time() * 1000)
    click.echo(f"{ack.key}: {found.known.words(now_ms) or 'nothing holds'}")
    fired = found.known.fired
    if found.sequence < fired and max(ack.acked, ack.closed) < fired:
        click.echo(f"it has fired anew since: {ack.key}/{fired}", err=True)


def _words_of(known: "Known", now_ms: int) -> str:
    from kpistream.core.explanation import utc

    words = known.words(now_ms)
    if known.ack is None or not words:
        return ""
    until = f"snoozed until {utc(known.ack.snoozed_until_ms)}"
    return f"  [{words.replace('snoozed', until)} by {known.ack.by}]"


def _line(known: "Known") -> str:
    from kpistream.core.explanation import explained
    from kpistream.notify.languages import Language
    from kpistream.notify.wording import headline

    return headline(explained(known.last), Language())


def _as_json(known: "Known", now_ms: int) -> dict[str, Any]:
    import msgspec

    from kpistream.core.explanation import explained

    return {
        **msgspec.to_builtins(explained(known.last)),
        "said": known.words(now_ms),
        "ack": None if known.ack is None else msgspec.to_builtins(known.ack),
        "history": [
            {"sequence": each.sequence, "at_ms": each.at_ms, "from": each.from_state, "to": each.to_state}
            for each in known.history
        ],
    }
