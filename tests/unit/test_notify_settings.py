"""Notification settings: every fault comes with its line, and no secret ever stands in a file."""

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from kpistream.core.alerts import State
from kpistream.core.errands import Silence
from kpistream.core.receivers import (
    HOUR_MS,
    MINUTE_MS,
    SOURCE_OUTAGE,
    At,
    Chat,
    Escalation,
    Mail,
    Quiet,
    Rate,
    Secret,
    Webhook,
)
from kpistream.core.settings import read_settings
from kpistream.core.targets import Severity, Why
from kpistream.errors import ConfigError
from tests.unit.telling import transition

ROSTER = """
tenants:
  acme:
    teams: {north: {}, south: {}}
targets:
  - {name: connects, kpi: connect_share, window: business-day, bound: 25 %}
"""

WHOLE = """
notify:
  locale: zh_CN
  zone: Europe/Berlin
  receivers:
    floor:
      mail: {to: [lead@acme.example], from: kpi@acme.example, host: smtp.acme.example, user: kpi, password: {env: SMTP}}
      quiet: {hours: {mon-fri: 20:00-07:00, "sat, sun": 00:00-24:00}, unless: critical}
      at_most: 20 an hour
      locale: en
    head:
      chat: {service: dingtalk, url: {file: /run/secrets/ding}, secret: {env: DING_KEY}}
      resolved: no
      also: [recovering]
      timeout: 5 s
    desk:
      webhook: {url: https://desk.example/alerts, secret: {env: DESK}, allow_internal: yes}
    ops:
      alertmanager: {url: http://alertmanager:9093/}
  routes:
    - {to: ops, continue: yes, group_wait: 0 s}
    - tenant: acme
      team: north
      kpi: connect_share
      severity: [warning, critical]
      scope: agent
      to: [floor, desk]
      group_by: [tenant, team]
      group_wait: 1 m
      group_interval: 10 m
      repeat: never
      escalate: {after: 15 m, to: head}
  inhibit:
    - {when: {scope: team}, silences: {scope: agent}, equal: [tenant, team]}
"""


def faults(text: str) -> list[str]:
    with pytest.raises(ConfigError) as raised:
        read_settings({"roster.yaml": ROSTER, "notify.yaml": text})
    return list(raised.value.faults)


def receiver(text: str) -> str:
    return f"notify:\n  receivers:\n    floor: {{{text}}}\n  routes: [{{to: floor}}]\n"


def test_everything_that_may_be_said_is_read() -> None:
    found = read_settings({"roster.yaml": ROSTER, "notify.yaml": WHOLE}).notify

    floor, head, desk, ops = (found.receivers[name] for name in ("floor", "head", "desk", "ops"))
    assert isinstance(floor.channel, Mail) and isinstance(head.channel, Chat)
    assert (floor.channel.port, floor.channel.tls, floor.channel.password) == (587, "starttls", Secret("env", "SMTP"))
    assert (floor.locale, floor.zone, floor.rate) == ("en", "Europe/Berlin", Rate(20, HOUR_MS))
    assert floor.quiet is not None and floor.quiet.unless == {Severity.CRITICAL}
    assert head.channel.url == Secret("file", "/run/secrets/ding")
    assert (head.locale, head.resolved, head.timeout_ms) == ("zh_CN", False, 5000)
    assert State.RECOVERING in head.states and State.RECOVERING not in floor.states
    assert isinstance(desk.channel, Webhook) and desk.channel.allow_internal
    assert ops.keeps_state and not floor.keeps_state
    assert found.inhibitions[0] == SOURCE_OUTAGE and len(found.inhibitions) == 2
    assert found.routes[1].escalate == (Escalation(15 * MINUTE_MS, ("head",)),)
    assert (found.routes[1].repeat_ms, found.routes[1].group_wait_ms) == (None, MINUTE_MS)


def test_first_route_that_matches_holds_and_further_ones_only_while_they_go_on() -> None:
    found = read_settings({"roster.yaml": ROSTER, "notify.yaml": WHOLE}).notify

    assert [route.to for route in found.routes_of(transition())] == [("ops",), ("floor", "desk")]
    assert [route.to for route in found.routes_of(transition(team="south"))] == [("ops",)]
    assert [route.to for route in found.routes_of(transition(scope="team:north"))] == [("ops",)]


@pytest.mark.parametrize(
    "written",
    [
        "webhook: {url: https://a.example, secret: hunter2}",
        "mail: {to: a@b, from: c@d, host: h, user: u, password: hunter2}",
        "chat: {service: slack, url: https://hooks.example/hunter2}",
        "alertmanager: {url: https://user:hunter2@am.example}",
    ],
)
def test_secret_in_clear_is_refused_and_not_repeated(written: str) -> None:
    found = faults(receiver(written))

    assert any("secret" in fault for fault in found)
    assert not any("hunter2" in fault for fault in found)


@pytest.mark.parametrize(
    ("written", "fault"),
    [
        ("locale: en", "notify.receivers.floor: needs one channel of webhook, mail, alertmanager, chat"),
        (
            "chat: {service: slack, url: {env: A}}, webhook: {url: https://a.example, secret: {env: B}}",
            "notify.receivers.floor: has 2 channels, one is allowed",
        ),
        ("webhook: {url: ftp://a, secret: {env: A}}", "notify.receivers.floor.webhook.url: is no address"),
        ("webhook: {url: https://a}", "notify.receivers.floor.webhook.secret: is missing"),
        ("webhook: {url: https://a, secret: {env: no-name}}", "webhook.secret: is no name of a variable"),
        ("webhook: {url: https://a, secret: {env: A, file: b}}", "webhook.secret: needs one of env and file"),
        ("chat: {service: slak, url: {env: A}}", 'chat.service: "slak" is none of slack, teams'),
        ("chat: {service: slack, url: {env: A}, secret: {env: B}}", "chat.secret: slack messages are not signed here"),
        ("mail: {to: nobody, from: c@d, host: h}", 'mail.to: "nobody" is no mail address'),
        ("mail: {to: a@b, from: c@d, host: h, tls: none, user: u, password: {env: A}}", "not sent without tls"),
        ("mail: {to: a@b, from: c@d, host: h, user: u}", "mail.user: user and password come together"),
        ("chat: {service: slack, url: {env: A}}, at_most: many", 'floor.at_most: "many" is no rate'),
        ("chat: {service: slack, url: {env: A}}, locale: fr", 'floor.locale: "fr" is none of en, zh_CN'),
        ("chat: {service: slack, url: {env: A}}, timeout: 1 h", "floor.timeout: must be from 1 s to 5 m"),
        ("chat: {service: slack, url: {env: A}}, also: [firing]", 'floor.also: "firing" is none of'),
        ("chat: {service: slack, url: {env: A}}, quiet: {hours: {someday: off}}", '"someday" is no weekday'),
        ("alertmanager: {url: http://am}, at_most: 1 a day", "floor.at_most: is not for an Alertmanager"),
        ("chat: {service: slack, url: {env: A}}, retries: 3", "floor.retries: unknown key"),
    ],
)
def test_fault_of_a_receiver_says_its_line_and_key(written: str, fault: str) -> None:
    found = faults(receiver(written))

    assert any(each.startswith("notify.yaml:3 ") and fault in each for each in found), found


@pytest.mark.parametrize(
    ("written", "fault"),
    [
        ("{}", "notify.routes[0].to: is missing"),
        ("{to: flor}", 'notify.routes[0].to: "flor" is no receiver, did you mean "floor"?'),
        ("{to: floor, tenant: acmee}", 'notify.routes[0].tenant: tenant "acmee" is not in the settings, did you mean'),
        ("{to: floor, team: west}", 'team "west" is not in the settings'),
        ("{to: floor, kpi: connects}", 'kpi "connects" is not in the settings'),
        ("{to: floor, target: conects}", 'target "conects" is not in the settings, did you mean "connects"?'),
        ("{to: floor, severity: bad}", '"bad" is none of warning, critical'),
        ("{to: floor, group_by: [person]}", '"person" is none of tenant, team'),
        ("{to: floor, repeat: 1 s}", "notify.routes[0].repeat"),
        ("{to: floor, escalate: {to: floor}}", "notify.routes[0].escalate.after: is missing"),
        (
            "{to: floor, escalate: [{after: 2 m, to: floor}, {after: 1 m, to: floor}]}",
            "each step must come later than the one before",
        ),
        ("{to: floor, continue: maybe}", '"maybe" is neither yes nor no'),
    ],
)
def test_fault_of_a_route_says_its_line_and_key(written: str, fault: str) -> None:
    text = (
        f"notify:\n  receivers:\n    floor: {{chat: {{service: slack, url: {{env: A}}}}}}\n  routes:\n    - {written}\n"
    )

    assert any(each.startswith("notify.yaml:5 ") and fault in each for each in faults(text)), faults(text)


def test_receiver_that_no_route_names_is_a_fault() -> None:
    text = "notify: {receivers: {a: {chat: {service: slack, url: {env: A}}}}, routes: []}"

    assert faults(text) == ["notify.yaml:1 notify.routes: is missing: nobody is told anything without a route"]


def test_second_file_with_notify_is_a_fault() -> None:
    with pytest.raises(ConfigError, match=r"b.yaml:1 notify: is in another file already"):
        read_settings({"a.yaml": "notify: {}", "b.yaml": "notify: {}"})


def test_rule_that_would_silence_everything_is_a_fault() -> None:
    assert any("must name something" in each for each in faults("notify: {inhibit: [{when: {}, silences: {}}]}"))


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).astimezone(UTC).timestamp() * 1000)


@pytest.mark.parametrize(
    ("now", "ends"),
    [
        ("2026-07-29T21:00+02:00", "2026-07-30T07:00+02:00"),
        ("2026-07-29T03:00+02:00", "2026-07-29T07:00+02:00"),
        ("2026-07-29T07:00+02:00", None),
        ("2026-07-29T19:59+02:00", None),
        ("2026-07-31T22:00+02:00", "2026-08-03T00:00+02:00"),  # Friday night joins the weekend
        ("2026-10-24T12:00+02:00", "2026-10-26T00:00+01:00"),  # the clocks go back in between
    ],
)
def test_quiet_hours_end_in_the_zone_of_the_receiver(now: str, ends: str | None) -> None:
    floor = read_settings({"roster.yaml": ROSTER, "notify.yaml": WHOLE}).notify.receivers["floor"]

    assert isinstance(floor.quiet, Quiet)
    assert floor.quiet.ends_ms(at(now), floor.zone) == (None if ends is None else at(ends))


def test_reference_names_every_key() -> None:
    root = Path(__file__).parents[2]
    asked: set[str] = set()
    for name in ("notify_settings.py", "channel_settings.py"):
        source = (root / "src" / "kpistream" / "core" / name).read_text("utf-8")
        asked |= set(re.findall(r'(?:section|inner)\.(?:texts?|nodes?|read|choice)\("(\w+)"', source))
        asked |= set(re.findall(r'_(?:needed|choices|known|labels|one_or_more)\(section, "(\w+)"', source))

    page = (root / "docs" / "reference" / "notifications.md").read_text("utf-8")

    assert {"quiet", "url", "escalate", "group_by", "team"} <= asked
    assert {key for key in asked if f"`{key}`" not in page and f"{key}:" not in page} == set()


def test_reference_names_every_reason_for_silence() -> None:
    page = (Path(__file__).parents[2] / "docs" / "reference" / "notifications.md").read_text("utf-8")

    assert [reason for reason in Silence if f"`{reason}`" not in page] == []


CHAT = "chat: {service: slack, url: {env: A}}"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("08:00", At(480)),
        ("mon 08:00", At(480, frozenset({0}))),
        ('"mon, wed-fri 07:30"', At(450, frozenset({0, 2, 3, 4}))),
        ("never", At(0, frozenset())),
    ],
)
def test_results_have_a_time_of_day_and_weekdays(text: str, expected: At) -> None:
    found = read_settings({"roster.yaml": ROSTER, "notify.yaml": receiver(f"{CHAT}, results: {text}")}).notify

    assert found.receivers["floor"].results == expected


def test_time_of_results_that_is_none_is_a_fault_with_its_line() -> None:
    assert faults(receiver(f"{CHAT}, results: 8 o'clock")) == [
        'notify.yaml:3 notify.receivers.floor.results: "o\'clock" is no time of day, write 00:00 to 24:00'
    ]
    assert faults(receiver(f"{CHAT}, results: mo 08:00")) == [
        'notify.yaml:3 notify.receivers.floor.results: "mo" is no weekday, write mon, mon-fri or "sat, sun"'
    ]
    [fault] = faults(receiver("alertmanager: {url: http://am}, results: 08:00"))
    assert fault.endswith("results: is not for an Alertmanager: say it in its own configuration")


def test_time_of_results_is_that_of_the_zone_through_a_change_of_its_clock() -> None:
    """Berlin: 02:00 becomes 03:00 on 2026-03-29; 02:30 is read with the offset before, so at 03:30."""
    saturday_ms = int(datetime(2026, 3, 28, 12, tzinfo=UTC).timestamp() * 1000)

    at_ms = At(150).after_ms(saturday_ms, "Europe/Berlin")

    assert at_ms == int(datetime(2026, 3, 29, 1, 30, tzinfo=UTC).timestamp() * 1000)
    assert At(150).after_ms(at_ms, "Europe/Berlin") == int(datetime(2026, 3, 30, 0, 30, tzinfo=UTC).timestamp() * 1000)


def test_route_by_target_takes_best_days_of_it_and_silent_sources() -> None:
    routes = "[{to: a, target: connects}, {to: a, target: source-silent}]"
    text = f"notify: {{receivers: {{a: {{chat: {{service: slack, url: {{env: A}}}}}}}}, routes: {routes}}}"
    best = transition(to=State.OK, target="connects.best", reason=Why.PERSONAL_BEST)
    silent = transition(target="source-silent", scope="source:pbx", reason=Why.SOURCE_SILENT)

    connects, source = read_settings({"roster.yaml": ROSTER, "notify.yaml": text}).notify.routes
    assert connects.match.takes(best) and not connects.match.takes(silent)
    assert source.match.takes(silent) and not source.match.takes(best)
    assert not connects.match.takes(transition(target="connects.best")), "of that name only what is a best day"
