"""Result log: what `kpi.results` holds between two offsets of each partition, read when a list is made."""

from collections.abc import AsyncIterator, Mapping
from typing import Any

import msgspec

from kpistream.core.results import Result, decode_result
from kpistream.errors import ConfigError
from kpistream.log import tail


class ResultLog:
    """The topic, by plain consumers that live for one question."""

    def __init__(self, connection: Mapping[str, Any], topic: str, partitions: int) -> None:
        self._connection = connection
        self._topic = topic
        self._partitions = partitions

    async def bounds(self) -> tuple[dict[int, int], dict[int, int]]:
        """First and end offset of every partition."""
        return await tail.bounds(self._connection, self._topic, self._partitions)

    async def between(self, starts: Mapping[int, int], ends: Mapping[int, int]) -> AsyncIterator[Result]:
        """The results from `starts` to `ends`. Raises ConfigError for what is none."""
        async for records in tail.read_between(self._connection, self._topic, starts, ends):
            for record in records:
                try:
                    yield decode_result(record.value or b"")
                except msgspec.DecodeError as error:
                    where = f"{self._topic}[{record.partition}] offset {record.offset}"
                    raise ConfigError(f"{where}: {error}\nhint: something else writes to this topic") from error
