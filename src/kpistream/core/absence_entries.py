"""Absence entries: what `kpistream absence` keeps in the settings, as a file of its own in each version.

The file is an ordinary one of settings with nothing but absences, so that whatever reads settings reads it. Entries
keep the words that were said: which instants they are is decided where settings are read, in the zone of the agent.
"""

from collections.abc import Iterable
from datetime import date
from typing import Final, NamedTuple

import yaml

from kpistream.core.roster import Roster
from kpistream.core.schedule_values import local_moment_ms
from kpistream.core.settings_dates import calendar_date
from kpistream.core.settings_values import label
from kpistream.core.windows import business_date
from kpistream.core.yaml_nodes import Faults, Section, near, parse

_HEAD: Final = "# Kept by `kpistream absence`; `kpistream apply` takes it over as it is.\n"
_KEYS: Final = ("tenant", "agent", "date", "from", "to", "reason")
_TODAY: Final = "today"


class Entry(NamedTuple):
    """An absence as it was said; empty texts were not."""

    tenant: str
    agent: str
    date: str = ""
    from_: str = ""
    to: str = ""
    reason: str = ""

    @property
    def when(self) -> str:
        """`DATE`, or `FROM..TO`."""
        return self.date or f"{self.from_}..{self.to}"


def read_entries(text: str, file: str) -> list[Entry]:
    """The entries of the file. Raises ConfigError when it holds anything else."""
    faults = Faults(file)
    root = Section(parse(text, faults), faults)
    out = []
    for node in root.nodes("absences"):
        inner = Section(node, faults)
        out.append(Entry(*(inner.text(key) or "" for key in _KEYS)))
        inner.finish()
    root.finish()
    faults.raise_if_any()
    return out


def write_entries(entries: Iterable[Entry]) -> str:
    """The text of the file."""
    said = [{key: text for key, text in zip(_KEYS, entry, strict=True) if text} for entry in entries]
    text = yaml.safe_dump(
        {"absences": said}, sort_keys=False, allow_unicode=True, default_flow_style=None, width=1 << 20
    )
    return _HEAD + text


def tenant_of(roster: Roster, tenant: str | None, agent: str) -> str:
    """The tenant of an agent: the one that is named, else the only one that has such an agent. Raises ValueError."""
    if tenant is not None and tenant not in roster.tenants:
        raise ValueError(f'tenant "{tenant}" is not in the roster{near(tenant, roster.tenants)}')
    found = [name for name in roster.tenants if tenant in (None, name) and roster.knows(name, agent)]
    if len(found) > 1:
        raise ValueError(f'agent "{agent}" is in tenants {", ".join(sorted(found))}: say which one')
    if not found:
        known = [agent for name, each in roster.tenants.items() if tenant in (None, name) for agent in each.people]
        raise ValueError(f'agent "{agent}" is not in the roster{near(agent, known)}')
    return found[0]


def entry_of(roster: Roster, tenant: str, agent: str, when: str, now_ms: int) -> Entry:
    """The entry of `today`, `DATE`, `FROM..TO` or `FROM..` for an agent. Raises ValueError.

    `today` is the agent's business day that holds `now_ms`, also within FROM and TO: `today 14:00..`.
    """
    starts_at = roster.tenant(tenant).day_starts_at_min
    zone = roster.zone_of(tenant, agent, now_ms)
    today = str(business_date(now_ms, zone, starts_at))
    begin, dots, end = (part.strip().replace(_TODAY, today) for part in when.partition(".."))
    if not dots:
        return Entry(tenant, agent, date=str(_date(begin)))
    from_ms = local_moment_ms(begin, zone, starts_at)
    if end and local_moment_ms(end, zone, starts_at) <= from_ms:
        raise ValueError(f'"{end}" must be after "{begin}": it is the first moment at work again')
    return Entry(tenant, agent, from_=begin, to=end)


def _date(text: str) -> date:
    try:
        return calendar_date(text)
    except ValueError as error:
        raise ValueError(f'"{text}" is neither today, a date such as 2026-12-24, nor FROM..TO') from error


def with_reason(entry: Entry, reason: str) -> Entry:
    """The entry with a reason. Raises ValueError for one that cannot be kept."""
    return entry._replace(reason=label(reason)) if reason else entry
