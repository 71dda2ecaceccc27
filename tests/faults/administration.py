"""What an administrator does to topics and groups, on a live Kafka: for strikes and tests."""

from functools import partial
from typing import Any

from confluent_kafka import KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, NewPartitions

from tests.live.system import System


class Administrator:
    """Acts on the topics and groups of one system."""

    def __init__(self, system: System) -> None:
        self._system = system
        self._client = AdminClient({"bootstrap.servers": system.kafka.bootstrap})

    def forget_groups(self, *groups: str) -> None:
        """Delete what groups have committed, once they have no members: one that failed may not have said good-bye."""
        for group in groups:
            self._system.until(f"group {group} forgotten", partial(self._forgotten, group))

    def _forgotten(self, group: str) -> bool:
        try:
            _all_done(self._client.delete_consumer_groups([group]))
        except KafkaException as error:
            if error.args[0].code() != KafkaError.NON_EMPTY_GROUP:
                raise
            return False
        return True

    def delete_before(self, name: str, partition: int, offset: int) -> None:
        """Delete the records of a partition before this offset, as retention does it."""
        where = TopicPartition(self._system.topic(name), partition, offset)
        _all_done(self._client.delete_records([where]))

    def add_partition(self, name: str) -> None:
        """One partition more for a topic."""
        wanted = NewPartitions(self._system.topic(name), self._system.partitions + 1)
        _all_done(self._client.create_partitions([wanted]))

    def topics(self) -> list[str]:
        """The topics of the system, without their prefix."""
        prefix = self._system.prefix
        there = self._client.list_topics(timeout=30).topics
        return sorted(name.removeprefix(prefix) for name in there if name.startswith(prefix))

    def make_again(self, *names: str) -> None:
        """Delete topics and make them again, as `topics apply` does it."""
        system = self._system
        system.kafka.delete_topics(*map(system.topic, names))
        system.until("topics gone", lambda: not set(names) & set(self.topics()))
        system.run("topics", "apply", "--partitions", str(system.partitions))


def _all_done(futures: dict[Any, Any]) -> None:
    for future in futures.values():
        future.result(timeout=60)
