"""Mail: one mail by SMTP for each message, in a thread of its own.

The message id is the same at every attempt, so that mail servers and readers can tell a second delivery. A password is
only ever sent over TLS whose certificate was checked.
"""

import asyncio
import logging
import smtplib
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from email.message import EmailMessage
from email.utils import format_datetime
from ssl import SSLContext, create_default_context
from typing import Final

from kpistream.core.errands import Entry, Message
from kpistream.core.receivers import Mail, Receiver
from kpistream.notify.delivery import DeliveryFailed, SecretOf
from kpistream.notify.languages import Language
from kpistream.notify.one_thread import OneThread
from kpistream.notify.result_wording import text_of

log = logging.getLogger(__name__)

_DOMAIN: Final = "kpistream"
Tls = Callable[[], SSLContext]


class MailChannel:
    """Tells one receiver by mail."""

    def __init__(
        self, receiver: Receiver, settings: Mail, secret_of: SecretOf, tls: Tls = create_default_context
    ) -> None:
        self._receiver = receiver
        self._settings = settings
        self._secret_of = secret_of
        self._tls = tls
        self._language = Language(receiver.locale, receiver.zone)
        self._thread = OneThread(f"mail-{receiver.name}")

    async def send(self, message: Message, now_ms: int) -> None:
        """Deliver. Raises `DeliveryFailed`."""
        password = None if self._settings.password is None else self._secret_of(self._settings.password)
        loop, limit_s = asyncio.get_running_loop(), self._receiver.timeout_ms / 1000
        try:
            mail = mail_of(message, self._settings, self._language)
            work = loop.run_in_executor(self._thread, self._deliver, mail, password)
            refused = await asyncio.wait_for(work, limit_s)
        except TimeoutError as error:
            raise DeliveryFailed(f"the mail server has not taken it within {limit_s:g} s") from error
        except smtplib.SMTPResponseException as error:
            raise DeliveryFailed(f"the mail server answered {error.smtp_code}") from error
        except (smtplib.SMTPException, OSError, ValueError) as error:
            raise DeliveryFailed(f"no mail: {type(error).__name__}") from error
        if refused:
            log.warning("mail addresses refused receiver=%s count=%s", self._receiver.name, len(refused))

    async def keep(self, standing: Sequence[Entry], now_ms: int) -> None:
        """A mail reader hears of changes only."""

    async def close(self) -> None:
        """Let the thread end; one that hangs is not waited for."""
        self._thread.shutdown()

    def _deliver(self, mail: EmailMessage, password: str | None) -> dict[str, tuple[int, bytes]]:
        settings, limit_s = self._settings, self._receiver.timeout_ms / 1000
        if settings.tls == "tls":
            client: smtplib.SMTP = smtplib.SMTP_SSL(settings.host, settings.port, timeout=limit_s, context=self._tls())
        else:
            client = smtplib.SMTP(settings.host, settings.port, timeout=limit_s)
        with client:
            if settings.tls == "starttls":
                client.starttls(context=self._tls())
            if settings.user is not None and password is not None:
                client.login(settings.user, password)
            return client.send_message(mail)


def mail_of(message: Message, settings: Mail, language: Language) -> EmailMessage:
    """The mail of a message."""
    text = text_of(message, language)
    mail = EmailMessage()
    mail["Subject"] = _one_line(text.subject)
    mail["From"] = settings.sender
    mail["To"] = ", ".join(settings.to)
    mail["Date"] = format_datetime(datetime.fromtimestamp(message.made_ms / 1000, UTC))
    mail["Message-ID"] = f"<{message.id}@{_DOMAIN}>"
    mail["Auto-Submitted"] = "auto-generated"
    mail.set_content(text.body.encode("utf-8", "replace").decode() + "\n", charset="utf-8")
    return mail


def _one_line(text: str) -> str:
    """The text without what would end a header."""
    plain = text.encode("utf-8", "replace").decode()
    return "".join(char if char.isprintable() else " " for char in plain)
