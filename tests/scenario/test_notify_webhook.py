"""Signed webhooks against a real web server, and the addresses that they must not reach."""

import asyncio
import hmac
import json
import socket
import textwrap
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from kpistream.core.cloudevents import unwrap
from kpistream.core.errands import Entry, Kind, Message
from kpistream.core.receivers import Receiver, Secret, Webhook
from kpistream.core.result_records import ResultList, ToldResult
from kpistream.core.results import Outcome
from kpistream.notify.delivery import DeliveryFailed
from kpistream.notify.languages import Language
from kpistream.notify.web import InternalAddress, Post, Poster, Resolver, internal
from kpistream.notify.webhook import WebhookChannel, event
from tests.live.recorder import Answer, Recorder
from tests.unit.telling import NOON_MS, transition
from tests.unit.test_result_lists import result

MESSAGE = Message("5f1d", "desk", Kind.NEWS, NOON_MS, 0, (Entry(transition(), 0, NOON_MS),))
SECRET = "s3cret"


def sent(url: str, *, allow_internal: bool = True, timeout_ms: int = 5000, now_ms: int = NOON_MS + 1234) -> None:
    settings = Webhook(url, Secret("env", "KEY"), allow_internal)
    receiver = Receiver("desk", settings, timeout_ms=timeout_ms)
    asyncio.run(WebhookChannel(receiver, settings, lambda _: SECRET).send(MESSAGE, now_ms))


def test_message_is_one_cloud_event_signed_over_time_and_body() -> None:
    with Recorder() as server:
        sent(f"{server.url}/alerts?team=north")

    [request] = server.requests
    assert request.path == "/alerts?team=north"
    timestamp = request.headers["kpistream-timestamp"]
    assert timestamp == str((NOON_MS + 1234) // 1000)
    expected = hmac.new(SECRET.encode(), timestamp.encode() + b"." + request.body, "sha256").hexdigest()
    assert request.headers["kpistream-signature"] == f"v1={expected}"
    assert request.headers["content-type"] == "application/cloudevents+json; charset=utf-8"
    event = request.json
    assert {name: event[name] for name in ("specversion", "id", "source", "type", "subject", "time")} == {
        "specversion": "1.0",
        "id": "5f1d",
        "source": "/kpistream/notify",
        "type": "kpistream.alerts",
        "subject": "desk",
        "time": "2026-07-29T11:00:00.000+00:00",
    }
    [alert] = event["data"]["alerts"]
    assert (alert["alert_id"], alert["happened"], alert["numerator"], alert["denominator"]) == (
        "connects/acme/agent:anna/1",
        "slips",
        24,
        160,
    )
    assert alert["ack_command"] == 'kpistream alerts ack connects/acme/agent:anna/1 --note "..."'
    assert event["data"]["subject"] == alert["headline"]


def test_our_own_reader_of_cloud_events_reads_it() -> None:
    with Recorder() as server:
        sent(server.url)

    assert unwrap(server.requests[0].json)["kind"] == "news"


def test_second_attempt_has_the_same_bytes_and_another_timestamp() -> None:
    with Recorder() as server:
        sent(server.url)
        sent(server.url, now_ms=NOON_MS + 60_000)

    first, second = server.requests
    assert first.body == second.body
    assert first.headers["kpistream-timestamp"] != second.headers["kpistream-timestamp"]
    assert first.headers["kpistream-signature"] != second.headers["kpistream-signature"]


def test_example_of_the_page_accepts_it_and_refuses_what_is_old_or_changed() -> None:
    page = (Path(__file__).parents[2] / "docs" / "how-to" / "notifications.md").read_text("utf-8")
    code = textwrap.dedent(page.partition("```python\n")[2].partition("```")[0])
    known: dict[str, object] = {}
    exec(compile(code, "page", "exec"), known)
    accepts = known["accepts"]
    assert callable(accepts)

    with Recorder() as server:
        sent(server.url, now_ms=int(time.time() * 1000))
        sent(server.url, now_ms=int(time.time() * 1000) - 600_000)

    fresh, old = server.requests
    assert accepts(fresh.headers, fresh.body, SECRET) is True
    assert accepts(fresh.headers, fresh.body + b" ", SECRET) is False
    assert accepts(fresh.headers, fresh.body, "another") is False
    assert accepts(old.headers, old.body, SECRET) is False


@pytest.mark.parametrize("status", [301, 307, 400, 401, 404, 429, 500, 503])
def test_anything_but_2xx_is_a_failure_and_redirects_are_not_followed(status: int) -> None:
    with (
        Recorder() as other,
        Recorder(lambda _: Answer(status, b"", (("Location", other.url),))) as server,
        pytest.raises(DeliveryFailed, match=f"the answer was {status}"),
    ):
        sent(server.url)

    assert len(server.requests) == 1
    assert other.requests == []


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "[::1]", "0.0.0.0", "127.1", "2130706433", "[::ffff:127.0.0.1]"]
)
def test_own_machine_is_not_reached_unless_it_is_allowed(host: str) -> None:
    with Recorder() as server, pytest.raises(DeliveryFailed) as raised:
        sent(f"http://{host}:{server.port}/x", allow_internal=False)

    assert "internal address" in str(raised.value) or "no connection" in str(raised.value)
    assert server.requests == []


@pytest.mark.parametrize(
    ("address", "is_internal"),
    [
        ("127.0.0.1", True),
        ("10.1.2.3", True),
        ("172.16.0.1", True),
        ("192.168.1.1", True),
        ("169.254.169.254", True),
        ("100.64.0.1", True),
        ("0.0.0.0", True),
        ("224.0.0.1", True),
        ("255.255.255.255", True),
        ("::1", True),
        ("::", True),
        ("fe80::1%eth0", True),
        ("fd00::1", True),
        ("::ffff:10.0.0.1", True),
        ("64:ff9b::a00:1", True),
        ("2002:a00:1::", True),
        ("8.8.8.8", False),
        ("::ffff:8.8.8.8", False),
        ("2606:4700:4700::1111", False),
    ],
)
def test_internal_addresses_are_known_however_they_are_wrapped(address: str, is_internal: bool) -> None:
    assert internal(address) is is_internal


def test_name_with_an_internal_address_among_others_is_refused() -> None:
    """`localhost` has loopback addresses only; one of many is enough."""

    async def resolve() -> None:
        with ThreadPoolExecutor(1) as thread:
            await Resolver(thread, allow_internal=False).resolve("localhost", 80, socket.AF_UNSPEC)

    with pytest.raises(InternalAddress):
        asyncio.run(resolve())


def test_address_that_was_checked_is_the_one_that_is_connected_to(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name server that says a public address first and this machine afterwards (DNS rebinding) is asked once.

    192.31.196.1 is a public address of AS112 (RFC 7535), where nobody answers on this port.
    """
    answers = ["192.31.196.1", "127.0.0.1"]
    asked: list[str] = []
    real = socket.getaddrinfo

    def rebinding(host, port, *arguments, **options):
        if host != "rebinding.example":
            return real(host, port, *arguments, **options)
        asked.append(host)
        return real(answers[min(len(asked), 2) - 1], port, *arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", rebinding)
    with Recorder() as server, pytest.raises(DeliveryFailed, match=r"no answer within|no connection"):
        sent(f"http://rebinding.example:{server.port}/", allow_internal=False, timeout_ms=1000)

    assert asked == ["rebinding.example"]
    assert server.requests == []


@contextmanager
def silent_server() -> Iterator[int]:
    """Accepts connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        held = []

        def accept() -> None:
            while True:
                try:
                    held.append(server.accept()[0])
                except OSError:
                    return

        threading.Thread(target=accept, daemon=True).start()
        yield server.getsockname()[1]
        for each in held:
            each.close()


def test_host_that_says_nothing_fails_within_the_limit() -> None:
    with silent_server() as port, pytest.raises(DeliveryFailed, match="no answer within 1 s"):
        sent(f"http://127.0.0.1:{port}/", timeout_ms=1000)


def test_failures_name_no_address_and_no_secret() -> None:
    async def fail() -> None:
        await Poster("desk", 1, allow_internal=True).post(Post("http://127.0.0.1:9/path-secret", b"", {}))

    with pytest.raises(DeliveryFailed) as raised:
        asyncio.run(fail())

    assert "path-secret" not in str(raised.value) and "127.0.0.1" not in str(raised.value)


def test_event_is_json_with_names_in_any_script() -> None:
    with Recorder() as server:
        settings = Webhook(server.url, Secret("env", "KEY"), True)
        receiver = Receiver("desk", settings, locale="zh_CN", zone="Asia/Shanghai")
        named = MESSAGE._replace(entries=(Entry(transition(display_name="李娜\udc80"), 0, NOON_MS),))
        asyncio.run(WebhookChannel(receiver, settings, lambda _: SECRET).send(named, NOON_MS))

    assert json.loads(server.requests[0].body)["data"]["alerts"][0]["who"].startswith("李娜")


def test_list_of_results_is_an_event_of_its_own_type() -> None:
    listed = (ToldResult(result("anna"), Outcome.MET),)
    message = Message(
        "7a", "desk", Kind.RESULTS, NOON_MS, 0, (), ResultList(met=2, missed=1, too_little=0, listed=listed)
    )

    sent_ = json.loads(event(message, Language("en")))

    found = sent_["data"]
    assert sent_["type"] == "kpistream.results"
    assert (found["kind"], found["met"], found["missed"], found["too_little"]) == ("results", 2, 1, 0)
    assert found["text"].startswith("- anna: connect share missed: 15% (24 of 160)")
    [told] = found["results"]
    assert (told["outcome"], told["was"], told["value"], told["result_id"]) == (
        "missed",
        "met",
        0.15,
        "connects/acme/agent:anna/business-day/7",
    )
