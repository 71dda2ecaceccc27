"""App: the Faust application of a worker, with the features it uses and none of the others.

What is switched off, and why, is in the settings below. The application has one agent (one stream event is
the batch of one fetch) and one table (recovered by joining, never written through).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from socket import gethostname
from tempfile import gettempdir
from typing import Any, Final

import faust
from mode import CrashingSupervisor
from yarl import URL

from kpistream.core.partition import PartitionSettings
from kpistream.errors import ConfigError
from kpistream.log.topics import Topics
from kpistream.stream.state import PaneTable, PaneTables, Shards
from kpistream.stream.transport import BatchTransport, CommitListener

_SETTINGS: Final[dict[str, Any]] = {
    "store": "memory://",
    "topic_allow_declare": False,  # topics are made by `kpistream topics apply`, with their settings
    "topic_disable_leader": True,
    "table_standby_replicas": 0,  # standbys race with the flow control (faust/tables/recovery.py)
    "processing_guarantee": "at_least_once",  # exactly_once does not cover local state
    "stream_wait_empty": False,
    "stream_buffer_maxsize": 8,  # batches
    "stream_recovery_delay": 0.0,
    "broker_max_poll_records": None,
    "broker_commit_interval": 1.0,
    "broker_request_timeout": 60.0,
    "broker_rebalance_timeout": 60.0,
    "consumer_max_fetch_size": 1 << 20,
    "consumer_auto_offset_reset": "earliest",
    "agent_supervisor": CrashingSupervisor,
    "TableManager": PaneTables,
    "web_enabled": False,
    "worker_redirect_stdouts": False,
}
"""What every worker uses of Faust, and what it does not."""


@dataclass(frozen=True, slots=True)
class AppSettings:
    """What the application needs to know of the configuration."""

    broker: str
    group: str
    instance: str
    session_timeout_s: int
    partitions: int
    connection: Mapping[str, Any]


class BatchSchema(faust.Schema[bytes, bytes]):
    """Keys and values as they come: decoding is ours, by batch."""

    def loads_key(self, app: Any, message: Any, *, loads: Any = None, serializer: Any = None) -> Any:
        """The key, untouched."""
        return message.key

    def loads_value(self, app: Any, message: Any, *, loads: Any = None, serializer: Any = None) -> Any:
        """The list of records, untouched."""
        return message.value


class WorkerApp(faust.App):
    """A Faust app that knows its shards and who listens to commits."""

    shards: Shards
    listener: CommitListener
    events_topic: str
    connection: Mapping[str, Any]
    events: Any
    """The events topic as a channel of batches."""


def make_app(
    settings: AppSettings, topics: Topics, partition_settings: PartitionSettings, listener: CommitListener
) -> WorkerApp:
    """The application, its agent still to be attached with `app.agent(app.events)`."""
    urls = [URL(f"kafka://{server.strip()}") for server in settings.broker.split(",")]
    app = WorkerApp(
        settings.group,
        broker=urls,
        broker_credentials=_credentials(settings.connection),
        topic_partitions=settings.partitions,
        broker_session_timeout=float(settings.session_timeout_s),
        broker_heartbeat_interval=settings.session_timeout_s / 5,
        consumer_group_instance_id=settings.instance or None,
        # Faust asserts that an assignment names it: a static member may come back on another host.
        canonical_url=URL(f"http://{settings.instance or gethostname()}"),
        datadir=Path(gettempdir()) / f"kpistream-{settings.group}",  # Faust wants one; nothing is kept there
        **_SETTINGS,
    )
    app.transport = BatchTransport(urls, app, loop=None)
    app.shards = Shards(partition_settings)
    app.listener = listener
    app.events_topic = topics.events
    app.connection = settings.connection
    app.events = app.topic(topics.events, schema=BatchSchema(), partitions=settings.partitions)
    panes = app.topic(topics.panes, schema=BatchSchema(), partitions=settings.partitions, compacting=True)
    app.tables.add(
        PaneTable(
            app,
            name="panes",
            partitions=settings.partitions,
            changelog_topic=panes,
            schema=BatchSchema(),
            key_type=bytes,
            value_type=bytes,
            recovery_buffer_size=4,
        )
    )
    return app


def _credentials(connection: Mapping[str, Any]) -> Any:
    protocol = connection.get("security_protocol", "PLAINTEXT")
    if protocol == "SSL":
        return faust.SSLCredentials(context=connection["ssl_context"])
    if protocol.startswith("SASL"):
        return faust.SASLCredentials(
            username=connection["sasl_plain_username"],
            password=connection["sasl_plain_password"],
            mechanism=connection["sasl_mechanism"],
            ssl_context=connection.get("ssl_context"),
        )
    if protocol != "PLAINTEXT":
        raise ConfigError(f"security protocol {protocol!r} is not known")
    return None
