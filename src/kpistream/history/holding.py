"""Holding: the sink reads no more of the pane topic while too many recompute marks wait for their facts.

After an outage, or while a year of old events arrives, marks are read much faster than the facts that they wait
for. Events are never held back, so the facts come and the marks are answered: reading goes on by itself.
"""

from collections.abc import Mapping

from aiokafka import AIOKafkaConsumer, TopicPartition

from kpistream.history.shards import Shard


def hold_back(consumer: AIOKafkaConsumer, panes_topic: str, shards: Mapping[int, Shard], limit: int) -> None:
    """Pause the pane partitions with more than `limit` waiting marks, and let the others go on."""
    paused, assigned = consumer.paused(), consumer.assignment()
    for number, shard in shards.items():
        tp = TopicPartition(panes_topic, number)
        if tp not in assigned:
            continue
        if shard.plan.waiting_marks > limit:
            consumer.pause(tp)
        elif tp in paused:
            consumer.resume(tp)
