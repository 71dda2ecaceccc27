"""Group: what the broker knows about a consumer group: its members, and how far it has committed."""

from typing import Any, Final

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

from bench import truth

_NOT_YET: Final = (
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
    KafkaError.COORDINATOR_NOT_AVAILABLE,
    KafkaError.NOT_COORDINATOR,
    KafkaError.GROUP_ID_NOT_FOUND,
)


class Group:
    """The workers' group and the topic that it reads."""

    def __init__(self, bootstrap: str, group: str, topic: str) -> None:
        self._bootstrap = bootstrap
        self._group = group
        self._topic = topic
        self._numbers: list[int] = []
        self._admin = AdminClient({"bootstrap.servers": bootstrap})
        self._reader = Consumer({"bootstrap.servers": bootstrap, "group.id": group, "enable.auto.commit": False})

    def assigned(self) -> dict[str, set[int]]:
        """Partitions of the topic by member id; empty while the group rebalances."""
        found = _answer(self._admin.describe_consumer_groups([self._group])[self._group])
        if found is None or found.state.name != "STABLE":
            return {}
        return {
            member.member_id: {tp.partition for tp in member.assignment.topic_partitions if tp.topic == self._topic}
            for member in found.members
        }

    def balanced(self, members: int, partitions: int) -> bool:
        """True when so many members share all partitions."""
        shares = self.assigned()
        return (
            len(shares) == members
            and all(shares.values())
            and sum(len(share) for share in shares.values()) == partitions
        )

    def committed(self) -> dict[int, int]:
        """Committed offset by partition.

        Asked by a consumer that never joins: librdkafka 2.16's admin client crashes the process when a group's
        coordinator is not there yet.
        """
        if not self._numbers:
            self._numbers = list(self.ends())
        asked = [TopicPartition(self._topic, number) for number in self._numbers]
        try:
            found = self._reader.committed(asked, timeout=30)
        except KafkaException as error:
            if error.args[0].code() not in _NOT_YET:
                raise
            return {}
        return {tp.partition: tp.offset for tp in found if tp.offset >= 0}

    def behind(self, ends: dict[int, int]) -> int:
        """Records before `ends` that are not committed."""
        committed = self.committed()
        return sum(max(0, end - committed.get(number, 0)) for number, end in ends.items())

    def ends(self) -> dict[int, int]:
        """End offset by partition."""
        return truth.end_offsets(self._bootstrap, self._topic)


def _answer(future: Any) -> Any:
    """What the broker says; None while it does not know the group yet."""
    try:
        return future.result(timeout=30)
    except KafkaException as error:
        if error.args[0].code() not in _NOT_YET:
            raise
        return None
