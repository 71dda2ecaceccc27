"""Sink offsets: how far the sink has committed the pane topic, which tombstones wait for."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Any, Final

from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

log = logging.getLogger(__name__)

_POLL_S: Final = 2.0


class SinkOffsets:
    """What a group has committed of the panes, asked for again and again."""

    def __init__(self, connection: Mapping[str, Any], group: str, panes: str, partitions: int) -> None:
        self._connection = connection
        self._group = group
        self._panes = [TopicPartition(panes, number) for number in range(partitions)]
        self._offsets: dict[int, int] = {}

    def committed(self, partition: int) -> int | None:
        """The offset of a partition; None while nothing is known."""
        return self._offsets.get(partition)

    async def run(self, turned: Callable[[], None]) -> None:
        """Ask until cancelled."""
        admin = AIOKafkaAdminClient(**self._connection)
        await admin.start()
        try:
            while True:
                turned()
                try:
                    offsets = await admin.list_consumer_group_offsets(self._group, partitions=self._panes)
                except (KafkaError, OSError) as error:
                    # Only tombstones wait for this: a broker that restarts must not end a worker.
                    log.warning("sink offsets not read, will try again error=%r", error)
                    offsets = {}
                for tp, committed in offsets.items():
                    if committed.offset >= 0:
                        self._offsets[tp.partition] = committed.offset
                await asyncio.sleep(_POLL_S)
        finally:
            await admin.close()
