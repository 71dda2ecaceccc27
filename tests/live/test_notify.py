"""Telling people on a real Apache Kafka, with a real Alertmanager and web servers: kills, and broken receivers."""

import asyncio
import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from aiokafka.errors import KafkaError

from kpistream.core.alerts import State, Transition, alert_key, encode_transition
from kpistream.core.results import Outcome, encode_result, result_key
from kpistream.log.publisher import Publisher
from kpistream.log.records import Outgoing
from kpistream.log.tail import read_on
from tests.live.alertmanager import AlertManager
from tests.live.broker import Broker
from tests.live.recorder import Recorder
from tests.live.system import Role, Sent, System
from tests.live.test_settings_followed import publish, rejected_by, version_of
from tests.scenario.test_notify_webhook import silent_server
from tests.unit.telling import transition
from tests.unit.test_result_lists import result

AGENTS = 40
SECRET = "kpistream-test"
ROSTER = "tenants: {acme: {teams: {north: {}}}}\n"
HOOK = "webhook: {{url: {url}, secret: {{env: HOOK_SECRET}}, allow_internal: yes}}"


@pytest.fixture(autouse=True)
def _secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOOK_SECRET", SECRET)


def settings(directory: Path, receivers: str, routes: str) -> Path:
    folder = directory / "settings"
    folder.mkdir()
    (folder / "settings.yaml").write_text(f"{ROSTER}notify:\n  receivers:\n{receivers}  routes:\n{routes}")
    return folder


def now_ms() -> int:
    return int(time.time() * 1000)


def sent(*transitions: Transition) -> list[Sent]:
    return [Sent(alert_key(each), encode_transition(each)) for each in transitions]


def slip(agent: str, sequence: int = 1, to: State = State.FIRING, **changed: object) -> Transition:
    return transition(sequence, to, scope=f"agent:{agent}", display_name=agent, at_ms=now_ms(), **changed)


def told(server: Recorder) -> Iterator[tuple[str, str]]:
    """Alert id and message id of all that a webhook was told."""
    for request in list(server.requests):
        for alert in request.json["data"]["alerts"]:
            yield alert["alert_id"], request.json["id"]


def ready(role: Role) -> bool:
    return role.probe("/readyz")[0] == 200


def metric(role: Role, name: str) -> float:
    for line in role.metrics().splitlines():
        if line.startswith(f"{name} "):
            return float(line.rpartition(" ")[2])
    return 0.0


def test_kills_lose_no_transition_and_tell_none_under_two_ids(
    kafka: Broker, tmp_path: Path, alert_manager: AlertManager
) -> None:
    """kill -9 while alerts fire, as often as there is time for; each is told, and always in the same message."""
    with Recorder() as hook:
        receivers = (
            f"    ops: {{alertmanager: {{url: {alert_manager.url}}}}}\n    desk: {{{HOOK.format(url=hook.url)}}}\n"
        )
        routes = "    - {to: [ops, desk], group_by: [agent], group_wait: 0 s, group_interval: 0 s, repeat: never}\n"
        folder = settings(tmp_path, receivers, routes)
        with System(kafka, tmp_path, settings=folder, metrics_port=0) as system:
            names = [f"agent{n}" for n in range(AGENTS)]
            notify = system.notify()
            kills = 0
            for begin in range(0, AGENTS, 8):
                before = len(hook.requests)
                system.produce_to("alerts", sent(*(slip(name) for name in names[begin : begin + 8])))
                enough = min(before + 1 + kills, begin + 8)
                system.until("some told", lambda enough=enough: len(hook.requests) >= enough, notify)
                notify.kill()
                kills += 1
                notify = system.notify()
            over = names[: AGENTS // 2]
            system.produce_to("alerts", sent(*(slip(name, 2, State.OK) for name in over)))
            expected = {f"connects/acme/agent:{name}/1" for name in names}
            expected |= {f"connects/acme/agent:{name}/2" for name in over}

            system.until("all told", lambda: {alert for alert, _ in told(hook)} == expected, notify)
            still = {f"agent:{name}" for name in names[AGENTS // 2 :]}
            system.until("alerts there", lambda: scopes(alert_manager) == still, notify)
            system.until("all committed", lambda: system.at_end(system.notify_group, "alerts"), notify)
            notify.stop()

            assert kills == 5
            messages: dict[str, set[str]] = {}
            for alert, message in told(hook):
                messages.setdefault(alert, set()).add(message)
            assert {alert: ids for alert, ids in messages.items() if len(ids) != 1} == {}


def scopes(manager: AlertManager) -> set[str]:
    return {alert["labels"]["scope"] for alert in manager.alerts()}


@pytest.mark.parametrize(("point", "times"), [("sealed", 1), ("delivered", 2)])
def test_kill_around_a_delivery_sends_the_same_message_again(
    kafka: Broker, tmp_path: Path, point: str, times: int
) -> None:
    """Killed when it is sealed, it is delivered once; killed before anybody noted the delivery, twice, as one id."""
    with Recorder() as hook:
        desk = f"    desk: {{{HOOK.format(url=hook.url)}}}\n"
        folder = settings(tmp_path, desk, "    - {to: desk, group_wait: 1 s}\n")
        with System(kafka, tmp_path, settings=folder) as system:
            system.produce_to("alerts", sent(slip("anna"), slip("bela")))
            crashed = system.crashing(point, "notify")
            assert crashed.wait() == 99, crashed.end_of_log()
            system.produce_to("alerts", sent(slip("chiara")))

            notify = system.notify()
            system.until("told", lambda: len(hook.requests) >= times, notify)
            system.until("committed", lambda: system.at_end(system.notify_group, "alerts"), notify)
            notify.stop()

            both = ["connects/acme/agent:anna/1", "connects/acme/agent:bela/1"]
            assert sorted(alert for alert, _ in told(hook)) == sorted(both * times)
            assert len(hook.requests) == times
            assert len({each.body for each in hook.requests}) == 1


def test_broken_receivers_are_seen_and_stall_nobody(kafka: Broker, tmp_path: Path) -> None:
    """One host says nothing, one is not there, one has no secret; the fourth is told, and a standby takes over."""
    with silent_server() as port, Recorder() as hook:
        gone = "webhook: {url: http://127.0.0.1:9/, secret: {env: HOOK_SECRET}, allow_internal: yes}"
        lost = HOOK.format(url=hook.url).replace("HOOK_SECRET", "NO_SUCH_SECRET")
        receivers = (
            f"    slow: {{{HOOK.format(url=f'http://127.0.0.1:{port}/')}, timeout: 2 s}}\n"
            f"    gone: {{{gone}}}\n    lost: {{{lost}}}\n    desk: {{{HOOK.format(url=hook.url)}}}\n"
        )
        folder = settings(
            tmp_path, receivers, "    - {to: [slow, gone, lost, desk], group_by: [agent], group_wait: 0 s}\n"
        )
        with System(kafka, tmp_path, settings=folder, metrics_port=0) as system:
            notify = system.notify()
            system.until("a ready role", lambda: ready(notify), notify)
            standby = system.notify()
            system.produce_to("alerts", sent(slip("anna")))
            system.until("the one told", lambda: [*told(hook)] != [], notify, standby)
            system.until("a ready standby", lambda: ready(standby), standby)

            active = notify if metric(notify, "kpistream_notify_active") else standby
            other = standby if active is notify else notify
            for name in ("slow", "gone", "lost"):
                label = f'{{receiver="{name}"}}'
                system.until(
                    f"{name} seen",
                    lambda label=label: (
                        metric(active, f"kpistream_notify_failing{label}") == 1
                        and metric(active, f"kpistream_notify_waiting{label}") == 1
                    ),
                    active,
                )
            assert metric(active, 'kpistream_notify_sent_total{receiver="desk"}') <= 1
            assert metric(active, 'kpistream_notify_failing{receiver="desk"}') == 0
            assert active.probe("/healthz")[0] == 200
            assert SECRET not in active.said

            active.kill()
            system.produce_to("alerts", sent(slip("bela")))
            system.until("the standby tells", lambda: len({a for a, _ in told(hook)}) == 2, other, limit_s=180)
            other.stop()
            assert len({message for _, message in told(hook)}) == 2


def test_process_that_was_thought_dead_and_wakes_up_changes_nothing(kafka: Broker, tmp_path: Path) -> None:
    """It stands still, another takes over and tells of bela; awake again it may end or stand by, and must not write."""
    with Recorder() as hook:
        routes = "    - {to: desk, group_by: [agent], group_wait: 0 s, group_interval: 0 s}\n"
        folder = settings(tmp_path, f"    desk: {{{HOOK.format(url=hook.url)}}}\n", routes)
        with System(kafka, tmp_path, settings=folder, metrics_port=0) as system:
            first = system.notify()
            system.until("a ready role", lambda: ready(first), first)
            system.produce_to("alerts", sent(slip("anna")))
            system.until("anna told", lambda: len(hook.requests) == 1, first)
            first.pause()
            second = system.notify()
            system.produce_to("alerts", sent(slip("anna", 2, State.OK), slip("bela")))
            expected = {"connects/acme/agent:anna/1", "connects/acme/agent:anna/2", "connects/acme/agent:bela/1"}
            system.until("both told", lambda: set(dict(told(hook))) == expected, second)
            system.until("committed", lambda: system.at_end(system.notify_group, "alerts"), second)
            first.resume()
            system.produce_to("alerts", sent(slip("chiara")))
            system.until("chiara told", lambda: "connects/acme/agent:chiara/1" in dict(told(hook)))
            for role in (first, second):
                role.end()
            third = system.notify()
            system.produce_to("alerts", sent(slip("duarte")))
            system.until("duarte told", lambda: "connects/acme/agent:duarte/1" in dict(told(hook)), third)
            third.stop()

            ids: dict[str, set[str]] = {}
            for alert, message in told(hook):
                ids.setdefault(alert, set()).add(message)
            assert {alert: found for alert, found in ids.items() if len(found) > 1} == {}


def test_role_ends_in_time_beside_a_mail_server_that_says_nothing(kafka: Broker, tmp_path: Path) -> None:
    with silent_server() as port:
        mail = f"mail: {{to: a@b.example, from: c@d.example, host: 127.0.0.1, port: {port}, tls: none}}"
        folder = settings(tmp_path, f"    floor: {{{mail}, timeout: 5 m}}\n", "    - {to: floor, group_wait: 0 s}\n")
        with System(kafka, tmp_path, settings=folder, metrics_port=0) as system:
            notify = system.notify()
            system.until("a ready role", lambda: ready(notify), notify)
            system.produce_to("alerts", sent(slip("anna")))
            waiting = 'kpistream_notify_waiting{receiver="floor"}'
            system.until("a mail under way", lambda: metric(notify, waiting) == 1, notify)

            notify.stop()


def test_words_of_people_are_heard_and_survive(kafka: Broker, tmp_path: Path) -> None:
    with Recorder() as hook:
        routes = "    - {to: [desk], group_by: [agent], group_wait: 0 s, group_interval: 0 s}\n"
        folder = settings(tmp_path, f"    desk: {{{HOOK.format(url=hook.url)}}}\n", routes)
        with System(kafka, tmp_path, settings=folder, metrics_port=0) as system:
            system.produce_to("alerts", sent(slip("anna"), slip("bela"), slip("chiara", 1, State.PENDING)))
            system.run("alerts", "mute", "connects/acme/agent:anna", "--note", "in training", "--by", "eva")
            system.run("alerts", "snooze", "connects/acme/agent:chiara", "--for", "1h", "--by", "eva")
            notify = system.notify()
            system.until(
                "bela told", lambda: [alert for alert, _ in told(hook)] == ["connects/acme/agent:bela/1"], notify
            )
            system.produce_to("alerts", sent(slip("chiara", 2)))
            said = system.run("alerts", "ack", "connects/acme/agent:bela/1", "--note", "talking", "--by", "eva")
            assert said.stdout == "connects/acme/agent:bela: acknowledged\n"
            muted = 'kpistream_notify_silent_total{reason="muted"}'
            system.until("anna silent", lambda: metric(notify, muted) == 1, notify)
            notify.kill()
            notify = system.notify()
            system.until("a ready role", lambda: ready(notify), notify)
            system.run("alerts", "snooze", "connects/acme/agent:chiara/1", "--for", "0s", "--by", "eva")
            system.until("chiara told", lambda: "connects/acme/agent:chiara/2" in dict(told(hook)), notify)
            notify.stop()
            assert "connects/acme/agent:anna/1" not in dict(told(hook))

            listed = system.run("alerts", "list").stdout.splitlines()
            assert [line.split()[1] for line in listed] == [
                "connects/acme/agent:anna/1",
                "connects/acme/agent:bela/1",
                "connects/acme/agent:chiara/2",
            ]
            assert [line.rpartition("  ")[2] for line in listed[:2]] == ["[muted by eva]", "[acknowledged by eva]"]
            shown = system.run("alerts", "show", "connects/acme/agent:bela/1").stdout
            assert "bela: connect share misses its target: 15% (24 of 160), target at least 25%" in shown
            assert "eva, " in shown and ": acknowledged. talking" in shown
            [bela] = [
                each for each in json.loads(system.run("alerts", "list", "--json").stdout) if each["who"] == "bela"
            ]
            assert (bela["said"], bela["ack"]["note"], bela["ack"]["by"]) == ("acknowledged", "talking", "eva")
            gone = system.run("alerts", "ack", "connects/acme/agent:nobody/1", code=2)
            assert 'alert "connects/acme/agent:nobody/1" is not in the log' in gone.stderr


def test_last_publisher_under_an_id_shuts_out_those_before(kafka: Broker) -> None:
    async def play() -> list[bytes]:
        connection = {"bootstrap_servers": kafka.bootstrap}
        first, second = (Publisher(connection, timeout_s=30, sole_id=topic) for _ in range(2))
        await first.start()
        try:
            assert await first.publish(topic, 0, [Outgoing(b"k", b"first")]) == [0]
            await second.start()
            with pytest.raises(KafkaError):
                await first.publish(topic, 0, [Outgoing(b"k", b"late")])
            await second.publish(topic, 0, [Outgoing(b"k", b"second")])
            held = await read_on(connection, topic, {0: 0})
            return [record.value for record in held[0]]
        finally:
            await first.stop()
            await second.stop()

    topic = f"sole-{time.monotonic_ns():x}"
    kafka.create_topics({topic: 1})

    assert asyncio.run(play()) == [b"first", b"second"]


def counted(role: Role, reason: str) -> float:
    return metric(role, f'kpistream_notify_silent_total{{reason="{reason}"}}')


def test_receivers_come_change_and_go_while_it_runs(kafka: Broker, tmp_path: Path) -> None:
    """A version that cannot be read changes nothing; what waited for one that left goes to whom the routes name now."""
    route = "    - {{to: [{to}], group_by: [agent], group_wait: 0 s, group_interval: 0 s, repeat: never}}\n"

    def receivers(**urls: str) -> str:
        return "".join(f"    {name}: {{{HOOK.format(url=url)}, timeout: 1 s}}\n" for name, url in urls.items())

    with Recorder() as old, Recorder() as moved, Recorder() as late, System(kafka, tmp_path, metrics_port=0) as system:
        dead = "http://127.0.0.1:9"
        folder = settings(tmp_path, receivers(desk=old.url, gone=dead), route.format(to="desk, gone"))
        system.run("apply", str(folder))
        notify = system.notify()
        system.until("a ready role", lambda: ready(notify), notify)
        system.produce_to("alerts", sent(slip("anna")))
        system.until("anna told", lambda: "connects/acme/agent:anna/1" in dict(told(old)), notify)
        failing = 'kpistream_notify_failing{receiver="gone"}'
        system.until("one that fails", lambda: metric(notify, failing) == 1, notify)
        assert version_of(notify) == 1

        publish(system, 2, {"settings.yaml": "notify: {receivers: 7}\n"})
        system.until("a version refused", lambda: rejected_by(notify) == 1, notify)
        system.produce_to("alerts", sent(slip("bela")))
        system.until("bela told", lambda: "connects/acme/agent:bela/1" in dict(told(old)), notify)
        assert version_of(notify) == 1

        text = receivers(desk=moved.url, late=late.url)
        (folder / "settings.yaml").write_text(
            f"{ROSTER}notify:\n  receivers:\n{text}  routes:\n{route.format(to='desk, late')}"
        )
        system.run("apply", str(folder))
        both = {"connects/acme/agent:anna/1", "connects/acme/agent:bela/1"}
        system.until("the late one told of what fires", lambda: set(dict(told(late))) == both, notify)
        assert version_of(notify) == 3
        assert counted(notify, "receiver-gone") == 2
        assert "goes by the routes of now receiver=gone transitions=2" in notify.said
        assert 'receiver="gone"' not in notify.metrics()

        system.produce_to("alerts", sent(slip("anna", 2, State.OK), slip("chiara")))
        rest = {"connects/acme/agent:anna/2", "connects/acme/agent:chiara/1"}
        system.until("the changed one told at its new address", lambda: set(dict(told(moved))) == rest, notify)
        system.until("the late one told", lambda: set(dict(told(late))) == both | rest, notify)
        assert set(dict(told(old))) == both

        notify.kill()
        notify = system.notify()
        system.until("a ready role again", lambda: ready(notify), notify)
        assert version_of(notify) == 3
        system.produce_to("alerts", sent(slip("chiara", 2, State.OK)))
        system.until("the end told", lambda: "connects/acme/agent:chiara/2" in dict(told(moved)), notify)
        notify.stop()
        assert len([*told(old)]) == 2 and len([*told(moved)]) == 3


def test_results_are_told_at_the_receivers_time_once_over_kills(kafka: Broker, tmp_path: Path) -> None:
    """The time passes after all was published, however slow the machine: settings bring it to the next minute."""

    def results(server: Recorder) -> list[tuple[str, str]]:
        """Scope and message id of each result that was told."""
        told = [each.json for each in list(server.requests) if each.json["type"] == "kpistream.results"]
        return [(result["scope"], message["id"]) for message in told for result in message["data"]["results"]]

    def desk(at: datetime) -> str:
        return f"    desk: {{{HOOK.format(url=hook.url)}, results: {at:%H:%M}, zone: UTC}}\n"

    route = "    - {to: desk, team: north}\n"
    with Recorder() as hook, System(kafka, tmp_path, metrics_port=0) as system:
        folder = settings(tmp_path, desk(datetime.now(UTC) - timedelta(minutes=5)), route)
        system.run("apply", str(folder))
        system.produce_to("results", [closed("old")])
        notify = system.notify()
        system.until("begun", lambda: b"results/desk" in {each.key() for each in system.read("notifications")}, notify)
        system.produce_to("results", [closed("anna"), closed("bela", Outcome.MET), closed("zoe", team="south")])
        system.produce_to("results", [closed("bela", was=Outcome.MET)])
        notify.kill()
        at = datetime.now(UTC).replace(second=0, microsecond=0) + timedelta(minutes=1)
        (folder / "settings.yaml").write_text(f"{ROSTER}notify:\n  receivers:\n{desk(at)}  routes:\n{route}")
        system.run("apply", str(folder))
        notify = system.notify()

        system.until("the list", lambda: len(results(hook)) == 2, notify)

        assert datetime.now(UTC) >= at
        assert {scope for scope, _ in results(hook)} == {"agent:anna", "agent:bela"}
        assert len({message for _, message in results(hook)}) == 1
        [message] = [each.json for each in hook.requests]
        assert message["data"]["subject"] == "Results: 2 missed, 0 met, 0 with too little data"
        assert [each["was"] for each in message["data"]["results"]] == [None, None]
        counted_ = 'kpistream_notify_results_total{receiver="desk"}'
        system.until("counted", lambda: metric(notify, counted_) == 2, notify)
        notify.stop()
        system.produce_to("results", [closed("late")])
        again = system.notify()
        system.until("a ready role again", lambda: ready(again), again)
        again.stop()
        assert len(hook.requests) == 1


def closed(agent: str, outcome: Outcome = Outcome.MISSED, **changed: object) -> Sent:
    """A result of an agent's business day."""
    found = result(agent, outcome, now_ms(), **changed)
    return Sent(result_key(found), encode_result(found))
