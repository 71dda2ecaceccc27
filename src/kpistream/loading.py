"""Loading: events go from files, or from history, to the log of a real cluster, no faster than workers follow."""

from collections.abc import Iterable
from types import TracebackType

from aiokafka.admin import AIOKafkaAdminClient

from kpistream.config import Config
from kpistream.log import admin as log_admin
from kpistream.log.publisher import Publisher
from kpistream.log.records import Outgoing
from kpistream.log.topics import Topics, partition_of
from kpistream.trying import Files, Progress, Result, mapped_rows, refused_row
from kpistream.yielding import Yielding

_BATCH = 2000
_BATCH_BYTES = 16 << 20


class Loader:
    """An async context manager that appends events, each on the partition of its key, in batches."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._topics = Topics(config.topic_prefix)
        self._publisher = Publisher(config.connection())
        self._admin: AIOKafkaAdminClient | None = None
        self._yielding = Yielding(self._committed)
        self.partitions = 0
        self._events: list[Outgoing] = []
        self._refused: list[Outgoing] = []
        self._bytes = 0
        self.sent = 0

    async def __aenter__(self) -> "Loader":
        await self._publisher.start()
        self.partitions = await self._publisher.partitions(self._topics.events)
        self._admin = await log_admin.connect(self._config.connection())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            if error is None:
                await self._flush()
        finally:
            await self._publisher.stop()
            if self._admin is not None:
                await self._admin.close()

    async def event(self, event: Outgoing) -> None:
        """Append an event; everything is durable when the context ends."""
        self._events.append(event)
        self.sent += 1
        self._bytes += len(event.value or b"")
        if len(self._events) >= _BATCH or self._bytes >= _BATCH_BYTES:
            await self._flush()

    async def refuse(self, letter: Outgoing) -> None:
        """Append a dead letter, or a receipt; every event from before is durable first."""
        self._refused.append(letter)
        if len(self._refused) >= _BATCH:
            await self._flush()

    async def _flush(self) -> None:
        events, self._events = self._events, []
        refused, self._refused = self._refused, []
        self._bytes = 0
        ends = await self._publisher.publish_keyed(
            self._topics.events, events, lambda key: partition_of(key, self.partitions)
        )
        await self._publisher.publish(self._topics.dead_letters, 0, refused)
        self._yielding.appended(ends)
        await self._yielding.room()

    async def _committed(self) -> dict[int, int]:
        """What the workers have committed of the events, by partition."""
        assert self._admin is not None
        return await log_admin.committed_offsets(
            self._admin, self._config.worker_group, self._topics.events, self.partitions
        )


async def publish_events(config: Config, events: Iterable[Outgoing]) -> int:
    """Append events to the events topic; how many. All are durable on return."""
    async with Loader(config) as loader:
        for event in events:
            await loader.event(event)
    return loader.sent


async def load_files(config: Config, files: Files, progress: Progress) -> Result:
    """Send the files' events to a real cluster, in the order of the files; refused rows become dead letters."""
    result = Result()
    async with Loader(config) as loader:
        for path, row in mapped_rows(files):
            result.account.add(row)
            if row.rejected is not None:
                await loader.refuse(refused_row(path, row, row.rejected))
            for record in row.records:
                await loader.event(Outgoing(record.key.encode("utf-8", "surrogatepass"), record.value))
            if result.account.rows % 5000 == 0:
                progress("sending rows", result.account.rows, 0)
    result.sent = loader.sent
    return result
