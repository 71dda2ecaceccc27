"""Topics: their names, what each must look like, and which partition a key belongs to.

One topic for all events, so that one agent has one ordered log. Partition numbers of `events`, `panes`,
`alerts` and `results` correspond: what follows from events of partition 3 is in partition 3.
"""

from dataclasses import dataclass
from typing import Final

_HOUR_MS: Final = 3_600_000
MESSAGE_BYTES: Final = 1_048_588
"""Least limit of a message, Kafka's default: what roles publish is cut to fit it."""
FETCH_MIN_BYTES: Final = 256 << 10
"""What a role's fetch waits for at the broker, for some hundredths of a second. A fetch that is answered with the first
record costs a worker 3 to 4 ms of CPU for that record: a hundred a second took 0.4 of a core."""
DEAD_LETTER_BYTES: Final = 16 << 20
"""Greatest dead letter: any record that a broker takes by default fits, with what is written beside it."""


@dataclass(frozen=True, slots=True)
class TopicSpec:
    """How a topic must be configured."""

    name: str
    config: tuple[tuple[str, str], ...]
    co_partitioned: bool
    """True when it must have as many partitions as the events topic; else it is made with one."""
    meaning: str


@dataclass(frozen=True, slots=True)
class Topics:
    """Names of all topics, under one prefix."""

    prefix: str = "kpi."

    @property
    def events(self) -> str:
        """Canonical events and retractions."""
        return self.prefix + "events"

    @property
    def panes(self) -> str:
        """Changelog of the panes, and the roll-up stream that the sink reads."""
        return self.prefix + "panes"

    @property
    def readings(self) -> str:
        """Live numbers of agents, teams and tenants."""
        return self.prefix + "readings"

    @property
    def team_panes(self) -> str:
        """Sums of panes by tenant, for team numbers."""
        return self.prefix + "team-panes"

    @property
    def alerts(self) -> str:
        """Transitions of alerts."""
        return self.prefix + "alerts"

    @property
    def results(self) -> str:
        """How targets closed at the end of their periods."""
        return self.prefix + "results"

    @property
    def notifications(self) -> str:
        """What receivers were told, and are still to be told."""
        return self.prefix + "notifications"

    @property
    def alert_acks(self) -> str:
        """What people have said of alerts."""
        return self.prefix + "alert-acks"

    @property
    def dead_letters(self) -> str:
        """Refused records with their reason and original bytes."""
        return self.prefix + "dead-letters"

    @property
    def settings(self) -> str:
        """What all roles must agree on: pane size, partition count, settings versions."""
        return self.prefix + "settings"

    def specs(self, events_retention_ms: int = 14 * 24 * _HOUR_MS) -> tuple[TopicSpec, ...]:
        """All topics as they must be; events are kept for `events_retention_ms`.

        The broker stamps every record: it refuses one whose writer's clock is an hour ahead, and a writer whose clock
        is days behind would see its records deleted at once.
        """
        stamped = ("message.timestamp.type", "LogAppendTime")
        fits = ("max.message.bytes", str(MESSAGE_BYTES))
        compacted = (
            fits,
            ("cleanup.policy", "compact"),
            stamped,
            ("min.compaction.lag.ms", "60000"),
            ("max.compaction.lag.ms", "600000"),
            ("segment.ms", "600000"),
            ("min.cleanable.dirty.ratio", "0.1"),
        )
        fading = (fits, ("cleanup.policy", "compact,delete"), stamped, _kept(72), ("segment.ms", "600000"))
        events = (
            fits,
            ("cleanup.policy", "delete"),
            stamped,
            ("retention.ms", str(events_retention_ms)),
        )
        alerts = (fits, ("cleanup.policy", "delete"), stamped, _kept(90 * 24))
        size = ("max.message.bytes", str(DEAD_LETTER_BYTES))
        letters = (("cleanup.policy", "delete"), stamped, _kept(30 * 24), size)
        return (
            TopicSpec(self.events, events, True, "canonical events and retractions"),
            TopicSpec(self.panes, compacted, True, "changelog of the panes, and the roll-up stream"),
            TopicSpec(self.readings, fading, True, "live numbers"),
            TopicSpec(self.team_panes, fading, True, "sums of panes by tenant"),
            TopicSpec(self.alerts, alerts, True, "transitions of alerts"),
            TopicSpec(self.results, alerts, True, "how targets closed at the end of their periods"),
            TopicSpec(self.notifications, compacted, False, "what receivers were told, and are still to be told"),
            TopicSpec(self.alert_acks, compacted, False, "what people have said of alerts"),
            TopicSpec(self.dead_letters, letters, False, "refused records"),
            TopicSpec(self.settings, (fits, ("cleanup.policy", "compact"), stamped), False, _AGREED),
        )


_AGREED: Final = "what all roles agree on: pane size, partition count, ids of topics, and the versions of the settings"


def _kept(hours: int) -> tuple[str, str]:
    return ("retention.ms", str(hours * _HOUR_MS))


def murmur2(data: bytes) -> int:
    """Kafka's murmur2, unsigned 32 bits, seed 0x9747b28c. Source: org.apache.kafka.common.utils.Utils.murmur2."""
    length = len(data)
    mask, m = 0xFFFFFFFF, 0x5BD1E995
    h = (0x9747B28C ^ length) & mask
    for i in range(0, length - 3, 4):
        k = int.from_bytes(data[i : i + 4], "little") * m & mask
        k = (k ^ (k >> 24)) * m & mask
        h = (h * m & mask) ^ k
    tail = data[length & ~3 :]
    if tail:
        h = (h ^ int.from_bytes(tail, "little")) * m & mask
    h = (h ^ (h >> 13)) * m & mask
    return h ^ (h >> 15)


def partition_of(key: bytes, partitions: int) -> int:
    """Partition of a key as Java's default partitioner (and aiokafka's) chooses it."""
    return (murmur2(key) & 0x7FFFFFFF) % partitions
