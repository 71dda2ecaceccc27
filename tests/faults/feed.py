"""Feed: a thread that produces the floor's records while everything else goes wrong.

A record counts as sent when the broker has it. What could not be delivered is counted, never hidden; the
judge reads the raw topic, so a record that nobody has is nobody's loss.
"""

import threading
import time
from collections.abc import Iterator
from itertools import islice
from typing import Any, Final

from confluent_kafka import Producer

from tests.live.system import LIMIT_S, Sent

_BATCH: Final = 40


class Feed:
    """Produces about `rate` records a second until it is ended."""

    def __init__(self, bootstrap: str, topic: str, records: Iterator[Sent], rate: int) -> None:
        self._topic = topic
        self._records = records
        self._rate = rate
        self._producer = Producer(
            {
                "bootstrap.servers": bootstrap,
                "enable.idempotence": True,
                "partitioner": "murmur2_random",
                "compression.type": "lz4",
                "linger.ms": 5,
                "log_level": 0,
            }
        )
        self._go = threading.Event()
        self._go.set()
        self._end = False
        self._thread = threading.Thread(target=self._feed, daemon=True)
        self.delivered = 0
        """Records that the broker has."""
        self.failed = 0
        """Records that the broker would not take in time."""
        self.error: BaseException | None = None

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def pause(self) -> None:
        """Produce nothing until `resume`; what was handed over is delivered."""
        self._go.clear()

    def resume(self) -> None:
        """Go on."""
        self._go.set()

    def end(self) -> None:
        """Produce no more; returns when everything that was handed over was delivered, or was refused."""
        self._end = True
        self._go.set()
        if self._thread.ident is not None:
            self._thread.join(LIMIT_S)
            assert not self._thread.is_alive(), "the feed does not end"
        left = self._producer.flush(LIMIT_S)
        if self.error is not None:
            raise self.error
        assert not left, f"{left} records were neither delivered nor refused within {LIMIT_S} s"

    def _feed(self) -> None:
        try:
            while True:
                self._go.wait()
                if self._end:
                    return  # nothing is drawn that is not sent: a chain of moves must not lack a link
                for record in islice(self._records, _BATCH):
                    self._send(record)
                self._producer.poll(_BATCH / self._rate)
                time.sleep(_BATCH / self._rate)  # a load that lasts, nothing waits for it
        except BaseException as error:
            self.error = error

    def _send(self, record: Sent) -> None:
        where: dict[str, Any] = {} if record.partition is None else {"partition": record.partition}
        while True:
            try:
                self._producer.produce(
                    self._topic,
                    key=record.key,
                    value=record.value,
                    headers=list(record.headers),
                    on_delivery=self._delivered,
                    **where,
                )
                return
            except BufferError:
                self._producer.poll(0.5)

    def _delivered(self, error: object, _: object) -> None:
        if error is None:
            self.delivered += 1
        else:
            self.failed += 1
