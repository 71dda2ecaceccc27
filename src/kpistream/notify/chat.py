"""Chat: Slack, Microsoft Teams, DingTalk, Feishu and WeCom, through the library apprise.

The address that a service gives for posting is the secret; it stands in no log and no error. apprise 2.3.0 takes any
answer with status 200 of DingTalk and WeCom for a success, also `{"errcode": 310000}` (apprise/plugins/dingtalk.py and
wecombot.py, `send`): `_Checked` looks at the code. It can go when apprise looks itself, as it does for Feishu.
"""

import asyncio
import logging
import re
from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import quote

import requests
from apprise import Apprise, NotifyFormat, NotifyType
from apprise.plugins import dingtalk, wecombot

from kpistream.core.errands import Entry, Message
from kpistream.core.receivers import Chat, Receiver
from kpistream.core.targets import Severity
from kpistream.notify.delivery import DeliveryFailed, SecretOf
from kpistream.notify.languages import Language
from kpistream.notify.one_thread import OneThread
from kpistream.notify.result_wording import text_of

LIMIT_BYTES: Final = {"slack": 30_000, "teams": 20_000, "dingtalk": 18_000, "feishu": 18_000, "wecom": 2_000}
"""Of the text of a message, below what each service takes."""
_NATIVE: Final = {
    "slack": (r"https://hooks\.slack(?:-gov)?\.com/(?:services|workflows|triggers)/.+", "{0}"),
    "teams": (r"https://.+", "{0}"),
    "dingtalk": (r"https://oapi\.dingtalk\.com/robot/send\?access_token=([A-Za-z0-9]+)", "dingtalk://{secret}{1}/"),
    "feishu": (r"https://open\.feishu\.cn/open-apis/bot/v2/hook/([A-Za-z0-9_-]+)/?", "feishu://{1}/"),
    "wecom": (r"https://qyapi\.weixin\.qq\.com/cgi-bin/webhook/send\?key=([A-Za-z0-9_-]+)", "wecombot://{1}/"),
}
_PLUGINS: Final = {
    "slack": "NotifySlack",
    "teams": "NotifyWorkflows",
    "dingtalk": "NotifyDingTalk",
    "feishu": "NotifyFeishu",
    "wecom": "NotifyWeComBot",
}
_TALKATIVE: Final = ("apprise", "requests", "urllib3")
"""Their debug lines hold addresses, which are secrets here."""


class _Checked:
    """`requests` for plugins that do not look at the code in an answer."""

    codes = requests.codes
    RequestException = requests.RequestException

    @staticmethod
    def post(*arguments: Any, **options: Any) -> requests.Response:
        """The answer; one that refuses has status 400, whatever it came with."""
        answer = requests.post(*arguments, **options)
        try:
            refused = answer.json().get("errcode") != 0
        except (ValueError, AttributeError):
            refused = True
        if answer.status_code == 200 and refused:
            answer.status_code = 400
        return answer


for _module in (dingtalk, wecombot):
    vars(_module)["requests"] = _Checked


class ChatChannel:
    """Tells one chat."""

    def __init__(self, receiver: Receiver, settings: Chat, secret_of: SecretOf) -> None:
        self._receiver = receiver
        self._settings = settings
        self._secret_of = secret_of
        self._language = Language(receiver.locale, receiver.zone)
        self._thread = OneThread(f"chat-{receiver.name}")
        for name in _TALKATIVE:
            logging.getLogger(name).setLevel(logging.ERROR)

    async def send(self, message: Message, now_ms: int) -> None:
        """Deliver. Raises `DeliveryFailed`."""
        text = text_of(message, self._language, LIMIT_BYTES[self._settings.service])
        plugin = self._plugin()
        critical = any(entry.transition.severity is Severity.CRITICAL for entry in message.entries)
        kind = NotifyType.FAILURE if critical else NotifyType.WARNING
        if message.results is not None:
            kind = NotifyType.INFO

        def deliver() -> bool:
            return bool(plugin.notify(body=text.body, title=text.subject, notify_type=kind))

        limit_s = self._receiver.timeout_ms / 1000
        work = asyncio.get_running_loop().run_in_executor(self._thread, deliver)
        try:
            taken = await asyncio.wait_for(work, limit_s)
        except TimeoutError as error:
            raise DeliveryFailed(f"no answer within {limit_s:g} s") from error
        if not taken:
            raise DeliveryFailed(f"{self._settings.service} has not taken it")

    async def keep(self, standing: Sequence[Entry], now_ms: int) -> None:
        """A chat hears of changes only."""

    async def close(self) -> None:
        """Let the thread end; one that hangs is not waited for."""
        self._thread.shutdown()

    def _plugin(self) -> Any:
        settings = self._settings
        key = "" if settings.secret is None else quote(self._secret_of(settings.secret), safe="") + "@"
        pattern, form = _NATIVE[settings.service]
        url = self._secret_of(settings.url)
        found = re.fullmatch(pattern, url)
        plugin = None
        if found is not None:
            address = form.format(url, *found.groups(), secret=key)
            plugin = Apprise.instantiate(address, suppress_exceptions=True)
        if plugin is None or type(plugin).__name__ != _PLUGINS[settings.service]:
            raise DeliveryFailed(f"the address is none that {settings.service} gives for posting")
        plugin.redirects = False
        plugin.socket_read_timeout = plugin.socket_connect_timeout = self._receiver.timeout_ms / 1000
        plugin.notify_format = NotifyFormat.TEXT
        return plugin
