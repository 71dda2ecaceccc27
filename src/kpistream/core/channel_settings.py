"""Channel settings: the one channel of a receiver out of YAML, with secrets by name only."""

import re
from collections.abc import Callable
from typing import Final
from urllib.parse import urlsplit

from kpistream.core.receivers import CHATS, Alertmanager, Channel, Chat, Mail, Secret, Text, Webhook
from kpistream.core.settings_values import label, whole
from kpistream.core.yaml_nodes import Section, Value

_PORTS: Final = {"starttls": 587, "tls": 465, "none": 25}
_HINT: Final = "write {env: NAME} or {file: PATH}"


def read_channel(section: Section) -> Channel | None:
    """The channel of a receiver; None when there is not exactly one, or it has faults."""
    found = [name for name in _READERS if name in section]
    for name in found:
        section.node(name)
    if len(found) != 1:
        named = ", ".join(_READERS)
        section.fault(f"needs one channel of {named}" if not found else f"has {len(found)} channels, one is allowed")
        return None
    node = section.node(found[0])
    assert node is not None
    inner = Section(node, section.faults)
    channel = _READERS[found[0]](inner)
    inner.finish()
    return channel


def secret(section: Section, key: str) -> Secret | None:
    """Where the secret of a key is. A literal one is a fault, which does not repeat it."""
    node = section.node(key)
    if node is None:
        return None
    if not isinstance(node.value, dict):
        section.fault(f"a secret is written here in clear, which anybody could read: {_HINT}", key)
        return None
    inner = Section(node, section.faults)
    given = {kind: inner.text(kind) for kind in ("env", "file") if kind in inner}
    inner.finish()
    if len(given) != 1:
        section.fault(f"needs one of env and file: {_HINT}", key)
        return None
    [(kind, name)] = given.items()
    if not name or (kind == "env" and re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name) is None):
        section.fault("is no name of a variable" if kind == "env" else "needs a path", key)
        return None
    return Secret(kind, name)


def web_address(text: str) -> str:
    """An http or https address without user and password."""
    try:
        found = urlsplit(text)
        port_fits = found.port != 0
    except ValueError as error:
        raise ValueError(f"is no address: {error}") from error
    if found.scheme not in ("http", "https") or not found.hostname or not port_fits:
        raise ValueError("is no address, write https://host/path")
    if found.username is not None or found.password is not None:
        raise ValueError("holds a user or a password: a secret never stands in settings")
    return text


def mail_address(text: str) -> str:
    """Something with one @, without spaces or line ends."""
    if not text.isprintable() or re.fullmatch(r"[^@\s<>,;]+@[^@\s<>,;]+", text) is None:
        raise ValueError(f'"{text[:80]}" is no mail address')
    return text


def _webhook(section: Section) -> Webhook | None:
    node = section.node("url")
    named = node is not None and isinstance(node.value, dict)
    url: Text | None = secret(section, "url") if named else _needed(section, "url", web_address)
    if "secret" not in section:
        section.fault(f"is missing: messages are signed with it, {_HINT}", "secret")
    key = secret(section, "secret")
    internal = section.choice("allow_internal", ("true", "false", "yes", "no"), "no") in ("true", "yes")
    return None if url is None or key is None else Webhook(url, key, internal)


def _mail(section: Section) -> Mail | None:
    to = section.texts("to")
    if not to:
        section.fault("is missing", "to")
    for each in to:
        try:
            mail_address(each)
        except ValueError as error:
            section.fault(str(error), "to")
    sender, host = _needed(section, "from", mail_address), _needed(section, "host", _host)
    tls = section.choice("tls", tuple(_PORTS), "starttls")
    port = section.read("port", lambda text: whole(text, 1, 65535)) or _PORTS[tls]
    user, password = section.read("user", label), secret(section, "password")
    if ("user" in section) != ("password" in section):
        section.fault("user and password come together", "user" if "user" in section else "password")
    if "password" in section and tls == "none":
        section.fault("a password is not sent without tls", "tls")
    if not to or sender is None or host is None:
        return None
    return Mail(tuple(to), sender, host, port, tls, user, password)


def _alertmanager(section: Section) -> Alertmanager | None:
    url = _needed(section, "url", web_address)
    user, password = section.read("user", label), secret(section, "password")
    if ("user" in section) != ("password" in section):
        section.fault("user and password come together", "user" if "user" in section else "password")
    return None if url is None else Alertmanager(url.rstrip("/"), user, password)


def _chat(section: Section) -> Chat | None:
    if "service" not in section:
        section.fault("is missing", "service")
    service = section.choice("service", CHATS, "")
    if "url" not in section:
        section.fault(f"is missing: {_HINT}", "url")
    url, key = secret(section, "url"), secret(section, "secret")
    if "secret" in section and service not in ("", "dingtalk"):
        section.fault(f"{service} messages are not signed here", "secret")
    return None if url is None or not service else Chat(service, url, key)


def _needed(section: Section, key: str, check: Callable[[str], Value]) -> Value | None:
    if key not in section:
        section.fault("is missing", key)
    return section.read(key, check)


def _host(text: str) -> str:
    if re.fullmatch(r"[A-Za-z0-9._:-]{1,253}", text) is None:
        raise ValueError(f'"{text[:80]}" is no host, write smtp.example.com, the port apart')
    return text


_READERS: Final[dict[str, Callable[[Section], Channel | None]]] = {
    "webhook": _webhook,
    "mail": _mail,
    "alertmanager": _alertmanager,
    "chat": _chat,
}
