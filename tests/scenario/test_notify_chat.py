"""Chats: the request that each service gets is of the documented shape, seen by a server that stands in its way.

The library posts to the service's own address; a proxy that terminates TLS answers in its place.
"""

import asyncio
import base64
import hmac
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import parse_qs, quote_plus, urlsplit

import pytest

from kpistream.core.errands import Entry, Kind, Message
from kpistream.core.receivers import Chat, Receiver, Secret
from kpistream.notify.chat import LIMIT_BYTES, ChatChannel
from kpistream.notify.delivery import DeliveryFailed
from tests.live.recorder import Answer, Recorder, Request, certificate, server_context
from tests.unit.telling import NOON_MS, transition

TOKEN = "a" * 24
URLS = {
    "slack": f"https://hooks.slack.com/services/T12345678/B12345678/{TOKEN}",
    "teams": "https://prod-1.westeurope.logic.azure.com:443/workflows/0123456789abcdef0123456789abcdef/triggers/manual/"
    f"paths/invoke?api-version=2016-06-01&sp=%2Ftriggers%2Fmanual%2Frun&sv=1.0&sig={TOKEN}",
    "dingtalk": f"https://oapi.dingtalk.com/robot/send?access_token={TOKEN}",
    "feishu": f"https://open.feishu.cn/open-apis/bot/v2/hook/{TOKEN}",
    "wecom": f"https://qyapi.weixin.qq.com/cgi-bin/webhook/send?key={TOKEN}",
}
HOSTS = {name: urlsplit(url).hostname or "" for name, url in URLS.items()}
FINE = {
    "slack": Answer(200, b"ok"),
    "teams": Answer(202, b""),
    "dingtalk": Answer(200, b'{"errcode":0,"errmsg":"ok"}'),
    "feishu": Answer(200, b'{"code":0,"data":{},"msg":"success"}'),
    "wecom": Answer(200, b'{"errcode":0,"errmsg":"ok"}'),
}
MESSAGE = Message("5f1d", "floor", Kind.NEWS, NOON_MS, 0, (Entry(transition(), 0, NOON_MS),))
SUBJECT = "Anna Berg: connect share misses its target: 15% (24 of 160), target at least 25%"
COMMAND = 'kpistream alerts ack connects/acme/agent:anna/1 --note "..."'


Make = Callable[[Callable[[Request], Answer]], Recorder]


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Make]:
    """Makes the server that stands for all services."""
    cert, key = certificate(tmp_path, *HOSTS.values())
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(cert))
    monkeypatch.setenv("NO_PROXY", "")
    monkeypatch.setenv("no_proxy", "")
    running: list[Recorder] = []

    def make(answer: Callable[[Request], Answer]) -> Recorder:
        server = Recorder(answer, server_context(cert, key)).__enter__()
        running.append(server)
        for name in ("HTTPS_PROXY", "https_proxy"):
            monkeypatch.setenv(name, server.url)
        return server

    yield make
    for server in running:
        server.__exit__(None, None, None)


def sent(service: str, message: Message = MESSAGE, url: str = "", secret: str = "", locale: str = "en") -> None:
    settings = Chat(service, Secret("env", "URL"), Secret("env", "KEY") if secret else None)
    receiver = Receiver("floor", settings, locale=locale, zone="Europe/Berlin", timeout_ms=8000)

    async def send() -> None:
        known = {"URL": url or URLS[service], "KEY": secret}
        channel = ChatChannel(receiver, settings, lambda name: known[name.name])
        try:
            await channel.send(message, NOON_MS)
        finally:
            await channel.close()

    asyncio.run(send())


def test_slack_gets_an_incoming_webhook_with_the_text(world: Make) -> None:
    """Source: Slack, Sending messages using incoming webhooks."""
    server = world(lambda _: FINE["slack"])

    sent("slack")

    [request] = server.requests
    assert (request.host, request.path) == ("hooks.slack.com", f"/services/T12345678/B12345678/{TOKEN}")
    assert request.headers["content-type"].startswith("application/json")
    [attachment] = request.json["attachments"]
    assert attachment["title"] == SUBJECT
    assert COMMAND in attachment["text"]


def test_teams_gets_an_adaptive_card_in_a_message(world: Make) -> None:
    """Source: Microsoft, Create incoming webhooks with Workflows: type message, attachments with an adaptive card."""
    server = world(lambda _: FINE["teams"])

    sent("teams")

    [request] = server.requests
    assert request.host == HOSTS["teams"]
    assert urlsplit(request.path).path.endswith("/triggers/manual/paths/invoke")
    assert parse_qs(urlsplit(request.path).query)["sig"] == [TOKEN]
    assert request.json["type"] == "message"
    [card] = request.json["attachments"]
    assert card["contentType"] == "application/vnd.microsoft.card.adaptive"
    assert card["content"]["type"] == "AdaptiveCard"
    texts = [block["text"] for block in card["content"]["body"] if block["type"] == "TextBlock"]
    assert texts[0] == SUBJECT
    assert COMMAND in texts[1]


def test_dingtalk_gets_a_signed_text(world: Make) -> None:
    """Source: DingTalk, Custom robot access: sign = base64(hmac-sha256(secret, timestamp newline secret))."""
    server = world(lambda _: FINE["dingtalk"])

    sent("dingtalk", secret="SECabc123")

    [request] = server.requests
    query = parse_qs(urlsplit(request.path).query)
    assert (request.host, urlsplit(request.path).path) == ("oapi.dingtalk.com", "/robot/send")
    assert query["access_token"] == [TOKEN]
    [timestamp], [sign] = query["timestamp"], query["sign"]
    digest = hmac.new(b"SECabc123", f"{timestamp}\nSECabc123".encode(), "sha256").digest()
    plain = base64.b64encode(digest).decode()
    assert sign in (plain, quote_plus(plain))
    assert request.json["msgtype"] == "text"
    assert request.json["text"]["content"].startswith(SUBJECT)
    assert COMMAND in request.json["text"]["content"]


def test_feishu_gets_a_text(world: Make) -> None:
    """Source: Feishu, Custom bot guide: msg_type text, content.text."""
    server = world(lambda _: FINE["feishu"])

    sent("feishu", locale="zh_CN")

    [request] = server.requests
    assert request.host == "open.feishu.cn"
    assert request.path.rstrip("/") == f"/open-apis/bot/v2/hook/{TOKEN}"
    assert request.json["msg_type"] == "text"
    assert request.json["content"]["text"].startswith("Anna Berg：接通率未达目标")


def test_wecom_gets_a_text(world: Make) -> None:
    """Source: WeCom, Group robot: msgtype text, text.content of at most 2048 bytes."""
    server = world(lambda _: FINE["wecom"])

    sent("wecom")

    [request] = server.requests
    assert (request.host, urlsplit(request.path).path) == ("qyapi.weixin.qq.com", "/cgi-bin/webhook/send")
    assert parse_qs(urlsplit(request.path).query) == {"key": [TOKEN]}
    assert request.json["msgtype"] == "text"
    assert SUBJECT in request.json["text"]["content"]


@pytest.mark.parametrize("service", sorted(URLS))
@pytest.mark.parametrize("locale", ["en", "zh_CN"])
def test_message_of_very_many_fits_and_says_how_many_more_there_are(world: Make, service: str, locale: str) -> None:
    server = world(lambda _: FINE[service])
    entries = tuple(
        Entry(transition(scope=f"agent:{n}", display_name=f"Agent with quite a long name {n}"), 0, NOON_MS)
        for n in range(100)
    )

    sent(service, MESSAGE._replace(entries=entries), locale=locale)

    text = next(text for text in _texts(server.requests[0].json) if "kpistream alerts ack" in text)
    assert len(text.encode()) <= LIMIT_BYTES[service] + 100
    if service == "wecom":
        assert len(text.encode()) <= 2048
        assert "kpistream alerts list" in text
    else:
        assert text.count("kpistream alerts ack") == 100


def test_one_alert_of_somebody_with_a_very_long_name_fits_wecom(world: Make) -> None:
    server = world(lambda _: FINE["wecom"])
    long = transition(display_name="李" * 256, kpi="average_talk_time", value=1e9, numerator=1, denominator=1)

    sent("wecom", MESSAGE._replace(entries=(Entry(long, 0, NOON_MS),)), locale="zh_CN")

    assert len(server.requests[0].json["text"]["content"].encode()) <= 2048


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    for each in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _texts(each)


@pytest.mark.parametrize(
    ("service", "answer"),
    [
        ("slack", Answer(404, b"no_service")),
        ("slack", Answer(200, b"invalid_payload")),
        ("teams", Answer(401, b"")),
        ("dingtalk", Answer(200, b'{"errcode":310000,"errmsg":"sign not match"}')),
        ("dingtalk", Answer(200, b"<html>")),
        ("feishu", Answer(200, b'{"code":9499,"msg":"Bad Request","data":{}}')),
        ("wecom", Answer(200, b'{"errcode":93000,"errmsg":"invalid webhook url"}')),
        ("wecom", Answer(200, b'{"errcode":45009,"errmsg":"api freq out of limit"}')),
        ("wecom", Answer(500, b"")),
    ],
)
def test_refusal_is_a_failure_also_when_its_status_says_fine(world: Make, service: str, answer: Answer) -> None:
    world(lambda _: answer)

    with pytest.raises(DeliveryFailed, match=f"{service} has not taken it"):
        sent(service)


@pytest.mark.parametrize("service", sorted(URLS))
def test_redirects_are_not_followed(world: Make, service: str) -> None:
    server = world(lambda _: Answer(302, b"", (("Location", "https://oapi.dingtalk.com/elsewhere"),)))

    with pytest.raises(DeliveryFailed):
        sent(service)

    assert len(server.requests) == 1


@pytest.mark.parametrize("service", sorted(URLS))
@pytest.mark.parametrize("url", ["https://evil.example/x", "json://127.0.0.1/", "file:///etc/passwd", "", "nonsense"])
def test_address_of_another_service_is_refused_without_a_request(world: Make, service: str, url: str) -> None:
    server = world(lambda _: Answer())

    with pytest.raises(DeliveryFailed, match="the address is none that"):
        sent(service, url=url or "https://")

    assert server.requests == []


def test_no_log_holds_an_address_or_a_secret(world: Make, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    world(lambda request: FINE["dingtalk"] if "sign" in request.path else Answer(500, b""))

    sent("dingtalk", secret="SECabc123")
    for service in ("slack", "feishu", "wecom", "teams"):
        with pytest.raises(DeliveryFailed) as raised:
            sent(service)
        assert TOKEN not in str(raised.value)

    assert TOKEN not in caplog.text and "SECabc123" not in caplog.text
