"""Three brokers on one machine, each broker and controller in one, with small heaps: what one broker cannot show.

Topics get three replicas of which two must have every record, so one broker may die without a loss, and with
two of three down nothing is accepted. `Cluster` may stand where a `Broker` does.
"""

from contextlib import ExitStack
from types import TracebackType
from typing import Any, Final, Self

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from tests.live.broker import Broker, free_ports

BROKERS: Final = 3
HEAP_MB: Final = 320
_REPLICATED: Final = {
    "default.replication.factor": "3",
    "min.insync.replicas": "2",
    "offsets.topic.replication.factor": "3",
    "transaction.state.log.replication.factor": "3",
    "transaction.state.log.min.isr": "2",
    "broker.session.timeout.ms": "6000",
    "broker.heartbeat.interval.ms": "1000",
    "replica.lag.time.max.ms": "6000",
    "controlled.shutdown.enable": "true",
}


class Cluster:
    """Three brokers. `start` may follow deaths: it starts those that do not run."""

    def __init__(self, *, heap_mb: int = HEAP_MB) -> None:
        ports = free_ports(2 * BROKERS)
        voters = ",".join(f"{n + 1}@127.0.0.1:{ports[2 * n + 1]}" for n in range(BROKERS))
        cluster_id = Broker.new_cluster_id()
        self.brokers = [
            Broker(
                {**_REPLICATED, "node.id": str(n + 1), "controller.quorum.voters": voters},
                heap_mb=heap_mb,
                ports=(ports[2 * n], ports[2 * n + 1]),
                cluster_id=cluster_id,
            )
            for n in range(BROKERS)
        ]
        self.bootstrap = ",".join(broker.bootstrap for broker in self.brokers)
        self.for_roles = self.bootstrap
        self.replication = BROKERS

    @property
    def running(self) -> bool:
        """Whether all brokers live."""
        return all(broker.running for broker in self.brokers)

    def start(self) -> None:
        """Start the brokers that do not run; returns when all of them answer for all partitions."""
        missing = [broker for broker in self.brokers if not broker.running]
        for broker in missing:
            broker.launch()  # none answers before a majority is there
        for broker in missing:
            broker.answering()

    def coordinator(self, group: str) -> Broker:
        """The broker that coordinates a group."""
        admin = AdminClient({"bootstrap.servers": self.bootstrap})
        described = admin.describe_consumer_groups([group])[group].result(timeout=30)
        return self.brokers[described.coordinator.id - 1]

    def leader(self, topic: str, partition: int) -> Broker:
        """The broker that leads a partition."""
        admin = AdminClient({"bootstrap.servers": self.bootstrap})
        leader = admin.list_topics(topic, timeout=30).topics[topic].partitions[partition].leader
        assert leader > 0, f"{topic}[{partition}] has no leader"
        return self.brokers[leader - 1]

    def in_sync(self, prefix: str) -> bool:
        """Whether every partition of the topics with this prefix has all its replicas in sync."""
        admin = AdminClient({"bootstrap.servers": self.bootstrap})
        try:
            topics = admin.list_topics(timeout=10).topics
        except KafkaException:
            return False
        mine = [topic for name, topic in topics.items() if name.startswith(prefix) or name == "__consumer_offsets"]
        return all(len(part.isrs) == len(part.replicas) for topic in mine for part in topic.partitions.values())

    def create_topics(self, *arguments: Any, **named: Any) -> None:
        """As `Broker.create_topics`."""
        self.brokers[0].create_topics(*arguments, **named)

    def delete_topics(self, *names: str) -> None:
        """Delete topics."""
        self.brokers[0].delete_topics(*names)

    def close(self) -> None:
        """Kill all brokers and delete their files."""
        with ExitStack() as stack:
            for broker in self.brokers:
                stack.callback(broker.close)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
