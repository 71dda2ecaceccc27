"""Embedded: a Kafka broker inside this process, for the demo, `try` and fast tests.

It is librdkafka's test cluster: real Kafka protocol over TCP on a loopback port. It keeps about 5 MB a
partition and then drops the oldest records, forgets everything at exit, makes topics on first use and
takes 3 s for a first group join. It is never offered for production, and whoever feeds it must wait for
its readers (see `Feed` in `trying.py`).
"""

import logging
from types import TracebackType
from typing import Final

from kpistream.errors import ConfigError

PARTITIONS: Final = 4
"""Partitions of every topic on the embedded broker."""
KEPT_BYTES: Final = 5_000_000
"""What the embedded broker keeps of one partition before it drops the oldest records."""


class EmbeddedBroker:
    """A context manager; `address` is host:port while it is open."""

    def __init__(self) -> None:
        self.address = ""
        self._cluster: object | None = None

    def __enter__(self) -> "EmbeddedBroker":
        try:
            from confluent_kafka import Producer
        except ImportError as error:
            raise ConfigError("the embedded broker needs `pip install kpistream[embedded]`") from error
        quiet = logging.getLogger("kpistream.embedded.librdkafka")
        quiet.setLevel(logging.ERROR)
        cluster = Producer({"bootstrap.servers": "127.0.0.1:1", "test.mock.num.brokers": 1}, logger=quiet)
        broker = next(iter(cluster.list_topics(timeout=10).brokers.values()))
        self._cluster, self.address = cluster, f"{broker.host}:{broker.port}"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._cluster = None
