"""Which settings of a topic could lose what the broker has confirmed."""

import asyncio
from typing import Any

from kpistream.log.admin import _durability_faults, partition_counts, settled_faults
from kpistream.log.topics import TopicSpec


def test_one_confirmed_copy_of_three_is_not_enough() -> None:
    configs = {"kpi.events": {"min.insync.replicas": "1", "unclean.leader.election.enable": "false"}}

    assert _durability_faults("kpi.events", 3, configs) == [
        "topic 'kpi.events': min.insync.replicas is 1, must be 2 with 3 replicas: "
        "accepted events could be lost with a broker"
    ]


def test_more_confirmed_copies_than_needed_are_fine() -> None:
    configs = {"kpi.events": {"min.insync.replicas": "3", "unclean.leader.election.enable": "false"}}

    assert _durability_faults("kpi.events", 3, configs) == []


def test_a_replica_that_lags_may_not_be_elected() -> None:
    configs = {"kpi.events": {"min.insync.replicas": "1", "unclean.leader.election.enable": "true"}}

    assert _durability_faults("kpi.events", 1, configs) == [
        "topic 'kpi.events': unclean.leader.election.enable is true, must be false with 1 replicas: "
        "accepted events could be lost with a broker"
    ]


def test_a_broker_that_tells_no_settings_is_not_accused() -> None:
    assert _durability_faults("kpi.events", 1, {}) == []


class Brokers:
    """A cluster of which each broker that is asked may be the last to hear of a new topic."""

    def __init__(self, *partitions: int) -> None:
        self._partitions = list(partitions)

    async def list_topics(self) -> list[str]:
        return ["kpi.events"]

    async def describe_topics(self, names: list[str]) -> list[dict[str, Any]]:
        count = self._partitions.pop(0)
        return [{"topic": name, "partitions": [{"replicas": [1, 2, 3]}] * count} for name in names]

    async def describe_configs(self, resources: Any) -> list[Any]:
        return []


def test_a_topic_that_a_broker_has_not_heard_of_yet_is_waited_for() -> None:
    spec = TopicSpec("kpi.events", (), True, "events")

    assert asyncio.run(partition_counts(Brokers(0))) == {}  # type: ignore[arg-type]
    assert asyncio.run(settled_faults(Brokers(0, 4, 0, 4, 4), (spec,))) == []  # type: ignore[arg-type]
