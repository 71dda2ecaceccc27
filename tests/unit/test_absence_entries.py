"""Absence entries: the file that the command keeps, and what may be said on the command line."""

from datetime import UTC, datetime

import pytest

from kpistream.core.absence_entries import Entry, entry_of, read_entries, tenant_of, with_reason, write_entries
from kpistream.core.settings import read_settings
from kpistream.errors import ConfigError

ROSTER = """
tenants:
  acme:
    zone: Europe/Berlin
    day_starts_at: "04:00"
    people: {ann: {}, kai: {zone: America/New_York}, eve: {}}
  zeta:
    people: {eve: {}, zoe: {}}
"""
SETTINGS = read_settings({"roster.yaml": ROSTER})
EARLY_MS = int(datetime(2026, 11, 27, 2, 30, tzinfo=UTC).timestamp()) * 1000
"""03:30 in Berlin, half an hour before its business day begins, and 21:30 of the day before in New York."""


def said(agent: str, when: str) -> Entry:
    return entry_of(SETTINGS.roster, "acme", agent, when, EARLY_MS)


def test_entries_are_read_back_as_they_were_written_and_settings_read_them() -> None:
    entries = [
        Entry("acme", "ann", date="2026-11-27", reason='"no": #1, Grüße 🙂'),
        Entry("zeta", "zoe", from_="2026-11-27 12:00", to="2026-11-28", reason="yes"),
        Entry("zeta", "zoe", from_="2026-12-24"),
    ]

    text = write_entries(entries)

    assert read_entries(text, "absences.yaml") == entries
    schedules = read_settings({"roster.yaml": ROSTER, "absences.yaml": text}).schedules.tenants
    assert [each.reason for each in schedules["acme"].absences["ann"]] == ['"no": #1, Grüße 🙂']
    assert [each.reason for each in schedules["zeta"].absences["zoe"]] == ["yes", ""]
    assert read_entries(write_entries([]), "absences.yaml") == []


def test_file_with_anything_but_absences_is_refused_not_cut() -> None:
    with pytest.raises(ConfigError) as caught:
        read_entries("absences: [{agent: ann, hours: 2}]\ntargets: []\n", "absences.yaml")

    assert caught.value.faults == (
        "absences.yaml:1 absences[0].hours: unknown key",
        "absences.yaml:2 targets: unknown key",
    )


def test_today_is_the_business_day_of_the_agents_zone() -> None:
    assert said("ann", "today") == Entry("acme", "ann", date="2026-11-26")
    assert said("kai", "today").date == "2026-11-26"
    assert entry_of(SETTINGS.roster, "zeta", "zoe", "today", EARLY_MS).date == "2026-11-27"
    assert said("ann", "today 14:00..") == Entry("acme", "ann", from_="2026-11-26 14:00")


def test_spans_are_taken_as_they_are_said() -> None:
    assert said("ann", "2026-12-24").when == "2026-12-24"
    assert said("ann", "2026-12-24..2026-12-27").when == "2026-12-24..2026-12-27"
    assert said("ann", "2026-12-24 12:00 .. 2026-12-24 14:00") == Entry(
        "acme", "ann", from_="2026-12-24 12:00", to="2026-12-24 14:00"
    )


@pytest.mark.parametrize(
    ("when", "fact"),
    [
        ("tomorrow", '"tomorrow" is neither today, a date such as 2026-12-24, nor FROM..TO'),
        ("2026-02-30", '"2026-02-30" is neither today'),
        ("..2026-12-24", '"" is no date or time'),
        ("2026-12-24..2026-12-24", '"2026-12-24" must be after "2026-12-24": it is the first moment at work again'),
        ("2026-12-24..soon", '"soon" is no date or time'),
        ("1912-12-24..", "must be of the years 1990 to 2200"),
    ],
)
def test_what_says_no_span_is_refused_with_one_fact(when: str, fact: str) -> None:
    with pytest.raises(ValueError, match=r".+") as caught:
        said("ann", when)

    assert fact in str(caught.value)


def test_tenant_is_found_by_the_agent_and_asked_for_where_two_have_one() -> None:
    roster = SETTINGS.roster

    assert (tenant_of(roster, None, "ann"), tenant_of(roster, "zeta", "eve")) == ("acme", "zeta")
    for tenant, agent, fact in (
        (None, "eve", 'agent "eve" is in tenants acme, zeta: say which one'),
        (None, "anne", 'agent "anne" is not in the roster, did you mean "ann"?'),
        ("acme", "zoe", 'agent "zoe" is not in the roster'),
        ("acne", "ann", 'tenant "acne" is not in the roster, did you mean "acme"?'),
    ):
        with pytest.raises(ValueError, match=r".+") as caught:
            tenant_of(roster, tenant, agent)
        assert str(caught.value) == fact


def test_reason_that_cannot_be_kept_is_refused() -> None:
    entry = Entry("acme", "ann", date="2026-12-24")

    assert with_reason(entry, "") == entry
    assert with_reason(entry, "ill").reason == "ill"
    with pytest.raises(ValueError, match="control characters"):
        with_reason(entry, "a\nb")
