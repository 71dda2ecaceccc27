"""Mail against a real SMTP server: plain, STARTTLS with login, TLS; and servers that refuse or say nothing."""

import asyncio
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes
from email.message import Message as Parsed
from email.policy import default
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword

from kpistream.core.errands import Entry, Kind, Message
from kpistream.core.receivers import Mail, Receiver, Secret
from kpistream.notify.delivery import DeliveryFailed
from kpistream.notify.mail import MailChannel
from tests.live.broker import free_ports
from tests.live.recorder import certificate, server_context
from tests.scenario.test_notify_webhook import silent_server
from tests.unit.telling import NOON_MS, transition

MESSAGE = Message("5f1d", "floor", Kind.NEWS, NOON_MS, 0, (Entry(transition(), 0, NOON_MS),))
PASSWORD = "correct horse"


class Inbox:
    """Keeps what the server is given."""

    def __init__(self, answer: str = "250 OK") -> None:
        self.answer = answer
        self.mails: list[tuple[list[str], Parsed]] = []
        self.logins: list[str] = []
        self.tls: list[bool] = []

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802 aiosmtpd calls it so
        self.mails.append((envelope.rcpt_tos, message_from_bytes(envelope.content, policy=default)))
        self.tls.append(session.ssl is not None)
        return self.answer

    def authenticate(self, server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
        assert isinstance(data, LoginPassword)
        self.logins.append(data.login.decode())
        return AuthResult(success=data.password.decode() == PASSWORD, handled=False)


@contextmanager
def smtp(inbox: Inbox, **options: Any) -> Iterator[int]:
    controller = Controller(inbox, "127.0.0.1", free_ports(1)[0], authenticator=inbox.authenticate, **options)
    controller.start()
    try:
        yield controller.port
    finally:
        controller.stop()


def sent(
    port: int, *, authority: Path | None = None, password: str = PASSWORD, limit_ms: int = 5000, **changed: Any
) -> None:
    values = {"to": ("lead@acme.example", "eva@acme.example"), "sender": "kpi@acme.example", "host": "127.0.0.1"}
    changed = {"tls": "none", **changed}
    if "user" in changed:
        changed["password"] = Secret("env", "SMTP")
    settings = Mail(**values, port=port, **changed)
    receiver = Receiver("floor", settings, zone="Europe/Berlin", timeout_ms=limit_ms)

    async def send() -> None:
        tls = ssl.create_default_context if authority is None else lambda: ssl.create_default_context(cafile=authority)
        channel = MailChannel(receiver, settings, lambda _: password, tls)
        try:
            await channel.send(MESSAGE, NOON_MS)
        finally:
            await channel.close()

    asyncio.run(send())


def test_mail_has_the_whole_explanation_and_an_id_that_stays() -> None:
    inbox = Inbox()
    with smtp(inbox) as port:
        sent(port)
        sent(port)

    (to, first), (_, second) = inbox.mails
    assert to == ["lead@acme.example", "eva@acme.example"]
    assert first["Subject"] == ("Anna Berg: connect share misses its target: 15% (24 of 160), target at least 25%")
    assert first["Message-ID"] == second["Message-ID"] == "<5f1d@kpistream>"
    assert first["Date"] == "Wed, 29 Jul 2026 11:00:00 +0000"
    body = first.get_payload(decode=True)
    assert isinstance(body, bytes)
    assert b"fewer than 1 in 730 days" in body
    assert b'kpistream alerts ack connects/acme/agent:anna/1 --note "..."' in body


def test_starttls_and_login(tmp_path: Path) -> None:
    cert, key = certificate(tmp_path, "127.0.0.1")
    inbox = Inbox()
    with smtp(inbox, tls_context=server_context(cert, key), require_starttls=True, auth_required=True) as port:
        sent(port, authority=cert, tls="starttls", user="kpi")

    assert (inbox.logins, inbox.tls, len(inbox.mails)) == (["kpi"], [True], 1)


def test_tls_from_the_first_byte_on(tmp_path: Path) -> None:
    cert, key = certificate(tmp_path, "127.0.0.1")
    inbox = Inbox()
    with smtp(inbox, ssl_context=server_context(cert, key)) as port:
        sent(port, authority=cert, tls="tls")  # the server speaks nothing else

    assert len(inbox.mails) == 1


def test_certificate_of_nobody_known_gets_no_mail_and_no_password(tmp_path: Path) -> None:
    cert, key = certificate(tmp_path, "127.0.0.1")
    inbox = Inbox()
    tls = {"tls_context": server_context(cert, key), "require_starttls": True, "auth_required": True}
    with smtp(inbox, **tls) as port, pytest.raises(DeliveryFailed, match="no mail: SSLCertVerificationError"):
        sent(port, tls="starttls", user="kpi")

    assert (inbox.logins, inbox.mails) == ([], [])


def test_wrong_password_is_a_failure_that_does_not_repeat_it(tmp_path: Path) -> None:
    cert, key = certificate(tmp_path, "127.0.0.1")
    inbox = Inbox()
    tls = {"tls_context": server_context(cert, key), "require_starttls": True, "auth_required": True}
    with smtp(inbox, **tls) as port, pytest.raises(DeliveryFailed) as raised:
        sent(port, authority=cert, tls="starttls", user="kpi", password="wrong battery", limit_ms=30_000)

    assert str(raised.value) == "the mail server answered 535"


@pytest.mark.parametrize("answer", ["451 later", "554 no"])
def test_server_that_refuses_is_a_failure(answer: str) -> None:
    with smtp(Inbox(answer)) as port, pytest.raises(DeliveryFailed, match=f"answered {answer[:3]}"):
        sent(port)


def test_server_that_says_nothing_fails_within_the_limit() -> None:
    with silent_server() as port, pytest.raises(DeliveryFailed):
        sent(port, limit_ms=1000)


def test_server_that_is_not_there_is_a_failure() -> None:
    with pytest.raises(DeliveryFailed, match="no mail: ConnectionRefusedError"):
        sent(free_ports(1)[0])


def test_name_with_a_line_end_is_no_header_of_its_own() -> None:
    inbox = Inbox()
    evil = MESSAGE._replace(entries=(Entry(transition(display_name="Anna\r\nBcc: x@evil.example"), 0, NOON_MS),))
    settings = Mail(("a@b",), "c@d", "127.0.0.1", 0, "none")
    with smtp(inbox) as port:
        settings = settings._replace(port=port)
        channel = MailChannel(Receiver("floor", settings), settings, lambda _: "")
        asyncio.run(channel.send(evil, NOON_MS))

    [(to, mail)] = inbox.mails
    assert to == ["a@b"] and mail["Bcc"] is None


def test_secret_is_looked_up_at_each_mail() -> None:
    asked: list[Secret] = []
    settings = Mail(("a@b",), "c@d", "127.0.0.1", free_ports(1)[0], "starttls", "u", Secret("env", "X"))

    def secret(name: Secret) -> str:
        asked.append(name)
        return "x"

    channel = MailChannel(Receiver("floor", settings), settings, secret)
    for _ in range(2):
        with pytest.raises(DeliveryFailed):
            asyncio.run(channel.send(MESSAGE, NOON_MS))

    assert asked == [Secret("env", "X")] * 2
