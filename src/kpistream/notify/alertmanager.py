"""Alertmanager: alerts for a Prometheus Alertmanager through its API v2.

It forgets at its restart and lets alerts lapse that nobody repeats, so all that fires is posted again every minute,
with an end in the future; an alert that is over is posted with an end that has passed. An alert that rests stays
active there, and says so: Alertmanager would tell its lapse as a recovery.
Source: Prometheus Alertmanager, api/v2/openapi.yaml (postableAlerts).
"""

import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from kpistream.core.alerts import State, Transition
from kpistream.core.errands import Entry, Message
from kpistream.core.explanation import explained
from kpistream.core.receivers import MINUTE_MS, Alertmanager, Receiver
from kpistream.notify.delivery import SecretOf
from kpistream.notify.languages import Language
from kpistream.notify.web import Post, Poster
from kpistream.notify.wording import full, headline

KEEP_MS: Final = MINUTE_MS
"""How often what fires is said again."""
_LASTS_MS: Final = 5 * MINUTE_MS
_AT_ONCE: Final = 500


class AlertmanagerChannel:
    """Tells one Alertmanager."""

    def __init__(self, receiver: Receiver, settings: Alertmanager, secret_of: SecretOf) -> None:
        self._settings = settings
        self._secret_of = secret_of
        self._language = Language(receiver.locale, receiver.zone)
        self._poster = Poster(receiver.name, receiver.timeout_ms / 1000, allow_internal=True)

    async def send(self, message: Message, now_ms: int) -> None:
        """Deliver. Raises `DeliveryFailed`."""
        await self._post(alerts_of(message.entries, self._language, now_ms))

    async def keep(self, standing: Sequence[Entry], now_ms: int) -> None:
        """Say again what still fires. Raises `DeliveryFailed`."""
        alerts = [posted(entry, entry.before or entry.transition, self._language, now_ms) for entry in standing]
        for begin in range(0, len(alerts), _AT_ONCE):
            await self._post(alerts[begin : begin + _AT_ONCE])

    async def close(self) -> None:
        """Let go of the thread that looks names up."""
        self._poster.close()

    async def _post(self, alerts: list[dict[str, Any]]) -> None:
        body = json.dumps(alerts, ensure_ascii=True).encode()
        auth = None
        if self._settings.user is not None and self._settings.password is not None:
            auth = (self._settings.user, self._secret_of(self._settings.password))
        url = f"{self._settings.url}/api/v2/alerts"
        await self._poster.post(Post(url, body, {"Content-Type": "application/json"}, auth))


def alerts_of(entries: Iterable[Entry], language: Language, now_ms: int) -> list[dict[str, Any]]:
    """The alerts of a message: the last word on each, and the end of what is now known by other labels."""
    latest: dict[tuple[str, str, str], Entry] = {}
    for entry in entries:
        transition = entry.transition
        latest[transition.target, transition.tenant, transition.scope] = entry
    out = []
    for entry in latest.values():
        before = entry.before
        opened = before is not None and before.to_state is not State.OK
        over = entry.transition.to_state is State.OK
        shown = before if over and before is not None and opened else entry.transition
        if before is not None and opened and not over and labels(before) != labels(entry.transition):
            out.append(posted(entry, before, language, now_ms, ended=True))
        out.append(posted(entry, shown, language, now_ms))
    return out


def labels(transition: Transition) -> dict[str, str]:
    """What an Alertmanager knows the alert by: nothing that changes with every transition."""
    found = {
        "alertname": transition.target,
        "tenant": transition.tenant,
        "scope": transition.scope,
        "team": transition.team or "",
        "kpi": transition.kpi,
        "window": transition.window,
        "severity": str(transition.severity),
    }
    return {name: _plain(value) for name, value in found.items() if value}


def posted(
    entry: Entry, known_as: Transition, language: Language, now_ms: int, *, ended: bool = False
) -> dict[str, Any]:
    """One postable alert, under the labels of `known_as`."""
    found = explained(entry.transition)
    over = ended or entry.transition.to_state is State.OK
    begins_ms = min(entry.began_ms or entry.transition.at_ms, now_ms)
    annotations = {
        "summary": headline(found, language),
        "description": full(entry, language),
        "alert_id": found.alert_id,
        "state": str(found.state),
    }
    return {
        "labels": labels(known_as),
        "annotations": {name: _plain(value) for name, value in annotations.items()},
        "startsAt": _time(begins_ms),
        "endsAt": _time(now_ms if over else now_ms + _LASTS_MS),
    }


def _plain(text: str) -> str:
    return text.encode("utf-8", "replace").decode("utf-8")


def _time(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds")
