"""Delivery: what a channel promises, and how it says that it could not.

A channel sends one message and returns once the other side has taken it. It may be asked for the same message again,
under the same id. Whatever goes wrong is a `DeliveryFailed` without a secret and without an address in its text.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

from kpistream.core.errands import Entry, Message
from kpistream.core.receivers import Secret, Text
from kpistream.errors import KpistreamError

SecretOf = Callable[[Secret], str]
"""The secret that a name stands for; raises `ConfigError` when there is none."""


class DeliveryFailed(KpistreamError):
    """The other side has not taken a message; it is tried again."""


class Channel(Protocol):
    """One way to tell one receiver."""

    async def send(self, message: Message, now_ms: int) -> None:
        """Deliver. Raises `DeliveryFailed`."""

    async def keep(self, standing: Sequence[Entry], now_ms: int) -> None:
        """Say again what still fires; nothing for channels that need not hear it. Raises `DeliveryFailed`."""

    async def close(self) -> None:
        """Let go of connections and threads."""


def looked_up(text: Text, secret_of: SecretOf) -> str:
    """The text itself, or the secret that it names."""
    return secret_of(text) if isinstance(text, Secret) else text
