"""Loading: events go from files, or from history, to the log of a real cluster."""

from collections.abc import Iterable, Iterator

from kpistream.config import Config
from kpistream.log.publisher import Publisher
from kpistream.log.records import Outgoing
from kpistream.log.topics import Topics, partition_of
from kpistream.sources.mapping import Account
from kpistream.trying import Files, Progress, Result, mapped_rows, refused_row

_BATCH = 2000


async def publish_events(config: Config, events: Iterable[Outgoing]) -> int:
    """Append events to the events topic, each on the partition of its key; how many. All are durable on return."""
    topics = Topics(config.topic_prefix)
    publisher = Publisher(config.connection())
    await publisher.start()
    try:
        partitions = await publisher.partitions(topics.events)
        count, batch = 0, list[Outgoing]()
        for event in events:
            batch.append(event)
            count += 1
            if len(batch) >= _BATCH:
                await publisher.publish_keyed(topics.events, batch, lambda key: partition_of(key, partitions))
                batch.clear()
        await publisher.publish_keyed(topics.events, batch, lambda key: partition_of(key, partitions))
        return count
    finally:
        await publisher.stop()


async def load_files(config: Config, files: Files, progress: Progress) -> Result:
    """Send the files' events to a real cluster, in the order of the files; refused rows become dead letters."""
    result = Result(Account())
    topics = Topics(config.topic_prefix)
    refused: list[Outgoing] = []

    def events() -> Iterator[Outgoing]:
        for path, row in mapped_rows(files):
            result.account.add(row)
            if row.rejected is not None:
                refused.append(refused_row(path, row, row.rejected))
            if result.account.rows % 5000 == 0:
                progress("sending rows", result.account.rows, 0)
            for record in row.records:
                yield Outgoing(record.key.encode("utf-8", "surrogatepass"), record.value)

    result.sent = await publish_events(config, events())
    if refused:
        publisher = Publisher(config.connection())
        await publisher.start()
        try:
            await publisher.publish(topics.dead_letters, 0, refused)
        finally:
            await publisher.stop()
    return result
