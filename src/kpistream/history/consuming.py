"""Consuming: the sink's consumer, and who hears of its partitions."""

from collections.abc import Iterable
from typing import Final, Protocol

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.coordinator.assignors.range import RangePartitionAssignor

from kpistream.history.sink_settings import SinkSettings
from kpistream.log.topics import FETCH_MIN_BYTES

POLL_MS: Final = 200


def make_consumer(settings: SinkSettings) -> AIOKafkaConsumer:
    """A consumer of the sink's group, to be started."""
    return AIOKafkaConsumer(
        **settings.connection,
        group_id=settings.group,
        enable_auto_commit=False,
        auto_offset_reset="none",
        fetch_min_bytes=FETCH_MIN_BYTES,
        fetch_max_wait_ms=POLL_MS,
        isolation_level="read_committed",
        partition_assignment_strategy=(RangePartitionAssignor,),
        session_timeout_ms=settings.session_timeout_ms,
        heartbeat_interval_ms=settings.session_timeout_ms // 5,
    )


class Holder(Protocol):
    """Who holds partitions."""

    def lost(self) -> None:
        """The partitions may be somebody else's."""

    def gained(self, assigned: Iterable[TopicPartition]) -> None:
        """These partitions are ours now."""


class Listener(ConsumerRebalanceListener):  # type: ignore[misc]
    """Tells a holder."""

    def __init__(self, holder: Holder) -> None:
        self._holder = holder

    def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        """They may be somebody else's now."""
        self._holder.lost()

    def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """They are ours."""
        self._holder.gained(assigned)
