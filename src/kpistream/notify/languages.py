"""Languages: catalogues of messages, and numbers, times and durations as a locale and a zone write them.

English is what stands in the code; each other language is a gettext catalogue beside this module, read as it is when it
is first needed. A message that a catalogue lacks comes in English; a test holds that none does.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from importlib.resources import files
from typing import Final
from zoneinfo import ZoneInfo

from babel.dates import format_datetime, format_time
from babel.messages.pofile import read_po
from babel.numbers import format_decimal, format_percent

_PLAIN: Final = "en"
_SECOND_MS: Final = 1000


def N_(text: str) -> str:  # noqa: N802 the name that gettext's tools know
    """Marks a text of a table for the catalogues."""
    return text


@cache
def catalogue(locale: str) -> dict[tuple[str | None, str], str]:
    """Translations by context and English text; empty for English."""
    if locale == _PLAIN:
        return {}
    with (files("kpistream.notify") / "locales" / f"{locale}.po").open("rb") as file:
        found = read_po(file, locale=locale)
    return {
        (message.context, message.id): message.string
        for message in found
        if isinstance(message.id, str) and isinstance(message.string, str) and message.id and message.string
    }


@dataclass(frozen=True, slots=True)
class Language:
    """How a receiver reads."""

    locale: str = _PLAIN
    zone: str = "UTC"

    def _(self, text: str) -> str:
        """The text in this language."""
        return catalogue(self.locale).get((None, text), text)

    def pgettext(self, context: str, text: str) -> str:
        """The text in this language, where a word alone would not say which is meant."""
        return catalogue(self.locale).get((context, text), text)

    def number(self, value: float, digits: int = 1) -> str:
        """A number with at most so many digits behind the point."""
        return format_decimal(value, "#,##0." + "#" * digits, locale=self.locale)

    def percent(self, share: float) -> str:
        """A share of 0 to 1 as a percentage."""
        return format_percent(share, "#,##0.#%", locale=self.locale)

    def duration(self, ms: float) -> str:
        """Milliseconds as minutes and seconds."""
        minutes, seconds = divmod(round(ms / _SECOND_MS), 60)
        if minutes:
            return self._("{minutes} min {seconds} s").format(minutes=self.number(minutes), seconds=seconds)
        return self._("{seconds} s").format(seconds=self.number(ms / _SECOND_MS))

    def time(self, at_ms: int, now_ms: int | None = None) -> str:
        """An instant in the zone: the time of day alone when it is of the same date as `now_ms`."""
        zone = ZoneInfo(self.zone)
        at = datetime.fromtimestamp(at_ms / 1000, UTC).astimezone(zone)
        if now_ms is not None and at.date() == datetime.fromtimestamp(now_ms / 1000, UTC).astimezone(zone).date():
            return format_time(at, "HH:mm", tzinfo=zone, locale=self.locale)
        return format_datetime(at, "yyyy-MM-dd HH:mm", tzinfo=zone, locale=self.locale)
