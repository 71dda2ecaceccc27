"""Reading: a record of the events topic becomes an accepted event, or a reason.

Worker, sink and audit decide through this one pure decision, each for itself: it depends on the record,
the pane size and the partition count alone.
"""

from kpistream.core.decoding import Decoder
from kpistream.core.placing import Accepted, place
from kpistream.log import header_names as _header_names  # noqa: F401 installs itself for all who read events
from kpistream.log.records import FetchedRecord, first_timestamp_ms
from kpistream.log.topics import partition_of

_ROUTES_LIMIT = 1_000_000


class EventReader:
    """Decides about records of the events topic. Raises `EventRejected` for what the contract refuses."""

    def __init__(self, pane_ms: int, partitions: int) -> None:
        self.pane_ms = pane_ms
        self.partitions = partitions
        self.decoder = Decoder()
        self._routes: dict[str, int] = {}

    def read(self, record: FetchedRecord) -> Accepted:
        """The event in the record, placed."""
        headers = record.headers
        timestamp_ms = first_timestamp_ms(record) if headers else record.timestamp
        return place(self.decoder.decode(record.value, timestamp_ms, headers), self.pane_ms)

    def home(self, key: str) -> int:
        """The partition that events with this key (`tenant/scope`) belong to."""
        partition = self._routes.get(key)
        if partition is None:
            if len(self._routes) >= _ROUTES_LIMIT:
                self._routes.clear()
            partition = self._routes[key] = partition_of(key.encode("utf-8", "surrogatepass"), self.partitions)
        return partition
