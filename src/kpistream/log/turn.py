"""Turn: of many processes of a role one is on; the others stand by until it is gone.

Whoever is given the one partition of a topic in a group is on. A process that was paused for longer than the session
times out may believe for a moment that it still is: what it publishes must be harmless then.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition

_POLL_MS: Final = 1000


class Turn(ConsumerRebalanceListener):  # type: ignore[misc]
    """Membership of a group that decides who is on. `keep` it in a task of its own, whatever else takes how long."""

    def __init__(self, connection: Mapping[str, Any], topic: str, group: str, session_timeout_ms: int) -> None:
        self.on = False
        self.number = 0
        """Counts the turns of this process: a new one begins with nothing known."""
        self._topic = topic
        self._consumer = AIOKafkaConsumer(
            **connection,
            group_id=group,
            enable_auto_commit=False,
            auto_offset_reset="latest",
            session_timeout_ms=session_timeout_ms,
            heartbeat_interval_ms=session_timeout_ms // 5,
        )

    async def start(self) -> None:
        """Join the group."""
        await self._consumer.start()
        self._consumer.subscribe([self._topic], listener=self)

    async def stop(self) -> None:
        """Leave the group: somebody else is on at once."""
        await self._consumer.stop()

    async def keep(self) -> None:
        """Take part in the group until cancelled. What the topic holds is not looked at."""
        while True:
            await self._consumer.getmany(timeout_ms=_POLL_MS)

    def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        """Somebody else may be on now."""
        self.on = False

    def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """This process is on, or stands by."""
        self.on = bool(list(assigned))
        self.number += self.on
