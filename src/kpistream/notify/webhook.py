"""Webhook: a signed POST with one CloudEvent 1.0 in JSON for each message.

The signature is HMAC-SHA256 over `timestamp.body` with the receiver's secret; the timestamp is of the attempt, so that
the other side can refuse what is old (replay). Event id and body are the same at every attempt.
"""

import hmac
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from kpistream.core.errands import Entry, Message
from kpistream.core.explanation import explained
from kpistream.core.receivers import Receiver, Webhook
from kpistream.core.result_records import ResultList
from kpistream.notify.delivery import SecretOf, looked_up
from kpistream.notify.languages import Language
from kpistream.notify.result_wording import text_of
from kpistream.notify.web import Post, Poster
from kpistream.notify.wording import headline

EVENT_TYPE: Final = "kpistream.alerts"
RESULTS_TYPE: Final = "kpistream.results"
TIMESTAMP: Final = "Kpistream-Timestamp"
SIGNATURE: Final = "Kpistream-Signature"
_SECOND_MS: Final = 1000


class WebhookChannel:
    """Tells one receiver by webhook."""

    def __init__(self, receiver: Receiver, settings: Webhook, secret_of: SecretOf) -> None:
        self._settings = settings
        self._secret_of = secret_of
        self._language = Language(receiver.locale, receiver.zone)
        self._poster = Poster(receiver.name, receiver.timeout_ms / _SECOND_MS, allow_internal=settings.allow_internal)

    async def send(self, message: Message, now_ms: int) -> None:
        """Deliver. Raises `DeliveryFailed`."""
        body = event(message, self._language)
        timestamp = str(now_ms // _SECOND_MS)
        headers = {
            "Content-Type": "application/cloudevents+json; charset=utf-8",
            TIMESTAMP: timestamp,
            SIGNATURE: signature(self._secret_of(self._settings.secret), timestamp, body),
        }
        await self._poster.post(Post(looked_up(self._settings.url, self._secret_of), body, headers))

    async def keep(self, standing: Sequence[Entry], now_ms: int) -> None:
        """A webhook hears of changes only."""

    async def close(self) -> None:
        """Let go of the thread that looks names up."""
        self._poster.close()


def signature(secret: str, timestamp: str, body: bytes) -> str:
    """`v1=` and the hex HMAC-SHA256 of `timestamp.body`."""
    return "v1=" + hmac.new(secret.encode(), timestamp.encode() + b"." + body, "sha256").hexdigest()


def event(message: Message, language: Language) -> bytes:
    """The CloudEvent of a message, the same bytes each time."""
    text = text_of(message, language)
    content = {
        "specversion": "1.0",
        "id": message.id,
        "source": "/kpistream/notify",
        "type": EVENT_TYPE if message.results is None else RESULTS_TYPE,
        "subject": message.receiver,
        "time": datetime.fromtimestamp(message.made_ms / _SECOND_MS, UTC).isoformat(timespec="milliseconds"),
        "datacontenttype": "application/json",
        "data": {
            "kind": str(message.kind),
            "subject": text.subject,
            "text": text.body,
            **(_results(message.results) if message.results is not None else _alerts(message, language)),
        },
    }
    return json.dumps(content, ensure_ascii=True, separators=(",", ":")).encode()


def _results(found: ResultList) -> dict[str, Any]:
    results = [{**msgspec.to_builtins(each.result), "was": each.was and str(each.was)} for each in found.listed]
    return {"met": found.met, "missed": found.missed, "too_little": found.too_little, "results": results}


def _alerts(message: Message, language: Language) -> dict[str, Any]:
    return {"alerts": [_alert(entry, language) for entry in message.entries]}


def _alert(entry: Entry, language: Language) -> dict[str, Any]:
    found = explained(entry.transition)
    return {**msgspec.to_builtins(found), "repeat": entry.repeat, "headline": headline(found, language)}
