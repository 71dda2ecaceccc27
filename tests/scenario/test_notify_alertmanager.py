"""A real Prometheus Alertmanager: what fires is active, what is over is resolved, and a restart forgets nothing."""

import asyncio
import time
from collections.abc import Callable

from kpistream.core.alerts import State
from kpistream.core.errands import Entry, Kind, Message
from kpistream.core.receivers import Alertmanager, Receiver
from kpistream.core.targets import Severity
from kpistream.notify.alertmanager import AlertmanagerChannel
from tests.live.alertmanager import AlertManager
from tests.unit.telling import transition

LIMIT_S = 60


def now_ms() -> int:
    return int(time.time() * 1000)


def channel(manager: AlertManager) -> AlertmanagerChannel:
    settings = Alertmanager(manager.url)
    return AlertmanagerChannel(Receiver("am", settings), settings, lambda _: "")


def send(manager: AlertManager, *entries: Entry) -> None:
    asyncio.run(channel(manager).send(Message("id", "am", Kind.NEWS, now_ms(), 0, entries), now_ms()))


def keep(manager: AlertManager, *entries: Entry) -> None:
    asyncio.run(channel(manager).keep(entries, now_ms()))


def until(what: str, condition: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < deadline_s, what
        time.sleep(0.05)


def heard(manager: AlertManager) -> list[tuple[str, str, str]]:
    """What the Alertmanager told its own receiver: status, severity, alert id."""
    return [
        (alert["status"], alert["labels"]["severity"], alert["annotations"]["alert_id"])
        for request in list(manager.told.requests)
        for alert in request.json["alerts"]
    ]


def test_slip_is_active_with_its_explanation_and_resolved_when_it_is_over(alert_manager: AlertManager) -> None:
    began_ms = now_ms() - 60_000
    slip = transition(at_ms=began_ms)
    send(alert_manager, Entry(slip, 0, began_ms))

    until("the alert", lambda: len(alert_manager.alerts()) == 1)
    [alert] = alert_manager.alerts()
    assert alert["labels"] == {
        "alertname": "connects",
        "tenant": "acme",
        "scope": "agent:anna",
        "team": "north",
        "kpi": "connect_share",
        "window": "business-day",
        "severity": "warning",
    }
    assert alert["annotations"]["summary"].startswith("Anna Berg: connect share misses its target: 15%")
    assert "kpistream alerts ack" in alert["annotations"]["description"]
    until("the page", lambda: heard(alert_manager) == [("firing", "warning", "connects/acme/agent:anna/1")])

    send(alert_manager, Entry(transition(2, State.OK, at_ms=now_ms()), 0, began_ms, slip))

    until("no alert", lambda: alert_manager.alerts() == [])
    until("the end", lambda: heard(alert_manager)[-1][0] == "resolved")


def test_alert_that_rests_stays_active_and_says_so(alert_manager: AlertManager) -> None:
    began_ms = now_ms()
    slip = transition(at_ms=began_ms)
    send(alert_manager, Entry(slip, 0, began_ms))
    until("the page", lambda: len(heard(alert_manager)) == 1)

    rests = transition(2, State.SUSPENDED, at_ms=now_ms())
    send(alert_manager, Entry(rests, 0, began_ms, slip))
    keep(alert_manager, Entry(rests, 0, began_ms, rests))

    until("its state", lambda: alert_manager.alerts()[0]["annotations"]["state"] == "suspended")
    assert len(alert_manager.alerts()) == 1
    assert [status for status, *_ in heard(alert_manager)] == ["firing"]


def test_alert_that_becomes_critical_is_one_alert_not_two(alert_manager: AlertManager) -> None:
    began_ms = now_ms()
    slip = transition(at_ms=began_ms)
    send(alert_manager, Entry(slip, 0, began_ms))
    until("the alert", lambda: len(alert_manager.alerts()) == 1)

    send(alert_manager, Entry(transition(2, severity=Severity.CRITICAL, at_ms=now_ms()), 0, began_ms, slip))

    until("critical", lambda: [each["labels"]["severity"] for each in alert_manager.alerts()] == ["critical"])


def test_restarted_alertmanager_knows_again_what_fires(alert_manager: AlertManager) -> None:
    began_ms = now_ms()
    slip = transition(at_ms=began_ms)
    send(alert_manager, Entry(slip, 0, began_ms))
    until("the page", lambda: len(heard(alert_manager)) == 1)
    alert_manager.stop()
    alert_manager.start()
    assert alert_manager.alerts() == []

    keep(alert_manager, Entry(slip, 0, began_ms, slip))

    until("the alert again", lambda: len(alert_manager.alerts()) == 1)
    send(alert_manager, Entry(transition(2, State.OK, at_ms=now_ms()), 0, began_ms, slip))
    until("no alert", lambda: alert_manager.alerts() == [])
    until("the end", lambda: heard(alert_manager)[-1][0] == "resolved")
    assert [status for status, *_ in heard(alert_manager)].count("resolved") == 1
