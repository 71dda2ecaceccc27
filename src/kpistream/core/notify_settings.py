"""Notification settings: receivers, routes and inhibitions out of YAML, each fault with its line.

A secret is never in the file: `{env: NAME}` or `{file: PATH}` says where it is, anything else is refused, and the
fault does not repeat what was written there. One file holds `notify`; names are checked against roster and targets.
"""

import re
from collections.abc import Mapping
from typing import Final

from kpistream.core.alerts import State
from kpistream.core.channel_settings import read_channel
from kpistream.core.outages import OUTAGE_TARGET
from kpistream.core.own_kpis import NO_OWN_KPIS, OwnKpis
from kpistream.core.patterns import Hours
from kpistream.core.receivers import (
    DAY_MS,
    DEFAULT_LOCALE,
    HOUR_MS,
    LABELS,
    LOCALES,
    MINUTE_MS,
    SECOND_MS,
    SOURCE_OUTAGE,
    At,
    Escalation,
    Inhibition,
    Match,
    Notify,
    Quiet,
    Rate,
    Receiver,
    Route,
)
from kpistream.core.roster import Roster
from kpistream.core.schedule_values import hours_of, local_spans, time_min, weekday_numbers
from kpistream.core.settings_values import duration_ms, identifier, zone_name
from kpistream.core.targets import Severity, Target
from kpistream.core.yaml_nodes import Node, Section, near

_SCOPES: Final = ("agent", "team", "tenant", "source")
_ALWAYS: Final = {State.FIRING, State.NO_DATA, State.SUSPENDED}
_ALSO: Final = (State.PENDING, State.RECOVERING)
_RATE: Final = re.compile(r"(\d{1,6}) (?:a|an) (minute|hour|day)")
_PER_MS: Final = {"minute": MINUTE_MS, "hour": HOUR_MS, "day": DAY_MS}
_LONGEST_TIMEOUT_MS: Final = 5 * MINUTE_MS
_GOOD_NEWS: Final = {"no": (False, True), "yes": (True, True), "only": (True, False)}
"""Whether a receiver is told of good news, and of all else."""
_NO: Final = ("no", "false", "off")
_YES: Final = ("yes", "true", "on")


def read_notify(
    sections: list[Section], roster: Roster, targets: Mapping[str, Target], own: OwnKpis = NO_OWN_KPIS
) -> Notify:
    """What the files say under `notify`; nothing without one. Faults go to the sections'."""
    found: Notify | None = None
    for section in sections:
        node = section.node("notify")
        if node is None:
            continue
        if found is not None:
            section.fault("is in another file already", "notify")
        inner = Section(node, section.faults)
        found = _Reading(roster, targets, inner, own).read()
        inner.finish()
    return found or Notify()


def yes_or_no(text: str) -> bool:
    """`yes` or `no`."""
    if text.lower() not in (*_YES, *_NO):
        raise ValueError(f'"{text}" is neither yes nor no')
    return text.lower() in _YES


def rate(text: str) -> Rate:
    """`20 an hour`."""
    found = _RATE.fullmatch(text)
    if found is None or int(found[1]) < 1:
        raise ValueError(f'"{text}" is no rate, write 20 an hour')
    return Rate(int(found[1]), _PER_MS[found[2]])


def results_at(text: str) -> At:
    """`08:00`, `mon 08:00`, `mon-fri 08:00`, or `never`."""
    if text == "never":
        return At(0, frozenset())
    days, _, time = text.strip().rpartition(" ")
    minute = time_min(time)
    return At(minute, frozenset(weekday_numbers(days))) if days else At(minute)


def locale_name(text: str) -> str:
    """A language that there is a catalogue for."""
    if text not in LOCALES:
        raise ValueError(f'"{text}" is none of {", ".join(LOCALES)}{near(text, LOCALES)}')
    return text


class _Reading:
    """One section `notify` while it is read."""

    def __init__(self, roster: Roster, targets: Mapping[str, Target], section: Section, own: OwnKpis) -> None:
        self._kpis = set(own.names)
        self._roster = roster
        self._targets = targets
        self._section = section
        self._receivers: dict[str, Receiver] = {}
        self._names: set[str] = set()

    def read(self) -> Notify:
        section = self._section
        locale = section.read("locale", locale_name) or DEFAULT_LOCALE
        zone = section.read("zone", zone_name) or self._roster.zone
        node = section.node("receivers")
        if node is not None and not isinstance(node.value, dict):
            section.fault("must be a mapping of names", "receivers")
        elif node is not None and isinstance(node.value, dict):
            self._names = set(node.value)
            for name, child in node.value.items():
                self._receiver(name, Section(child, section.faults), locale, zone)
        routes = tuple(self._route(Section(each, section.faults)) for each in section.nodes("routes"))
        if not routes and self._names:
            section.fault("is missing: nobody is told anything without a route", "routes")
        rules = tuple(self._inhibition(Section(each, section.faults)) for each in section.nodes("inhibit"))
        used = {name for route in routes for name in (*route.to, *(n for step in route.escalate for n in step.to))}
        for name in sorted(self._names - used) if routes else ():
            section.fault(f'receiver "{name}" is in no route', "receivers")
        return Notify(self._receivers, routes, (SOURCE_OUTAGE, *rules))

    # ---- receivers

    def _receiver(self, name: str, section: Section, locale: str, zone: str) -> None:
        try:
            identifier(name)
        except ValueError as error:
            section.fault(str(error))
        channel = read_channel(section)
        timeout_ms = section.read("timeout", duration_ms)
        if timeout_ms is not None and not SECOND_MS <= timeout_ms <= _LONGEST_TIMEOUT_MS:
            section.fault("must be from 1 s to 5 m", "timeout")
        also = self._choices(section, "also", _ALSO)
        found = (
            section.read("locale", locale_name) or locale,
            section.read("zone", zone_name) or zone,
            section.read("resolved", yes_or_no) is not False,
            frozenset(_ALWAYS | {State(each) for each in also}),
            _quiet(section),
            section.read("at_most", rate),
            timeout_ms or 10 * SECOND_MS,
            section.read("results", results_at),
            *_GOOD_NEWS[section.choice("good_news", list(_GOOD_NEWS), "no")],
        )
        section.finish()
        if channel is None:
            return
        receiver = Receiver(name, channel, *found)
        if receiver.keeps_state:
            for key in ("quiet", "at_most", "resolved", "also", "results", "good_news"):
                if key in section:
                    section.fault("is not for an Alertmanager: say it in its own configuration", key)
        self._receivers[name] = receiver

    # ---- routes

    def _route(self, section: Section) -> Route:
        plain = Route()
        steps = tuple(self._escalation(Section(each, section.faults)) for each in _one_or_more(section, "escalate"))
        if [step.after_ms for step in steps] != sorted({step.after_ms for step in steps}):
            section.fault("each step must come later than the one before", "escalate")
        repeat = section.text("repeat")
        repeat_ms = plain.repeat_ms
        if repeat is not None:
            repeat_ms = None if repeat in ("never", *_NO) else section.read("repeat", _at_least_a_minute)
        route = Route(
            self._match(section),
            self._to(section),
            self._labels(section, "group_by", plain.group_by),
            _or(section.read("group_wait", duration_ms), plain.group_wait_ms),
            _or(section.read("group_interval", duration_ms), plain.group_interval_ms),
            repeat_ms,
            steps,
            section.read("continue", yes_or_no) is True,
        )
        section.finish()
        return route

    def _escalation(self, section: Section) -> Escalation:
        if "after" not in section:
            section.fault("is missing", "after")
        after_ms = section.read("after", _at_least_a_minute)
        found = Escalation(after_ms or MINUTE_MS, self._to(section))
        section.finish()
        return found

    def _to(self, section: Section) -> tuple[str, ...]:
        names = tuple(section.texts("to"))
        if not names:
            section.fault("is missing: say who is told", "to")
        for name in names:
            if name not in self._names:
                section.fault(f'"{name}" is no receiver{near(name, self._names)}', "to")
        return names

    def _inhibition(self, section: Section) -> Inhibition:
        matches = []
        for key in ("when", "silences"):
            node = section.node(key)
            if node is None:
                section.fault("is missing", key)
                matches.append(Match())
                continue
            inner = Section(node, section.faults)
            matches.append(self._match(inner))
            inner.finish()
            if matches[-1] == Match():
                section.fault("must name something: it would hold for every alert", key)
        rule = Inhibition(matches[0], matches[1], self._labels(section, "equal", ("tenant",)))
        section.finish()
        return rule

    def _match(self, section: Section) -> Match:
        tenants = self._known(section, "tenant", self._roster.tenants)
        teams = {team for name in tenants or self._roster.tenants for team in self._roster.tenant(name).teams}
        return Match(
            tenants,
            self._known(section, "team", teams),
            self._known(section, "kpi", self._kpis),
            self._known(section, "target", {*self._targets, OUTAGE_TARGET}),
            frozenset(self._choices(section, "severity", tuple(Severity))),
            frozenset(self._choices(section, "scope", _SCOPES)),
            frozenset(section.texts("agent")),
        )

    def _known(self, section: Section, key: str, among: Mapping[str, object] | set[str]) -> frozenset[str]:
        names = section.texts(key)
        for name in names:
            if name not in among:
                section.fault(f'{key} "{name}" is not in the settings{near(name, among)}', key)
        return frozenset(names)

    def _choices(self, section: Section, key: str, allowed: tuple[str, ...]) -> list[str]:
        names = section.texts(key)
        for name in names:
            if name not in allowed:
                section.fault(f'"{name}" is none of {", ".join(allowed)}{near(name, allowed)}', key)
        return [name for name in names if name in allowed]

    def _labels(self, section: Section, key: str, default: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(self._choices(section, key, LABELS)) if key in section else default


def _quiet(section: Section) -> Quiet | None:
    node = section.node("quiet")
    if node is None:
        return None
    inner = Section(node, section.faults)
    week: list[Hours] = [Hours()] * 7
    hours = inner.node("hours")
    if hours is None:
        inner.fault("is missing", "hours")
    else:
        days = Section(hours, section.faults)
        for key in days:
            texts = days.texts(key)
            try:
                found = hours_of(local_spans(texts), ())
                for number in weekday_numbers(key):
                    week[number] = found
            except ValueError as error:
                days.fault(str(error), key)
    unless = []
    for name in inner.texts("unless"):
        if name not in tuple(Severity):
            inner.fault(f'"{name}" is none of {", ".join(Severity)}{near(name, tuple(Severity))}', "unless")
        else:
            unless.append(Severity(name))
    inner.finish()
    return Quiet(tuple(week), frozenset(unless))


def _one_or_more(section: Section, key: str) -> list[Node]:
    node = section.node(key)
    if node is None:
        return []
    return list(node.value) if isinstance(node.value, list) else [node]


def _at_least_a_minute(text: str) -> int:
    found = duration_ms(text)
    if found < MINUTE_MS:
        raise ValueError(f'"{text}" must be 1 m or more')
    return found


def _or(value: int | None, default: int) -> int:
    return default if value is None else value
