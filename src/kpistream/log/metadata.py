"""Metadata: what brokers say about topics, their ids included, which aiokafka does not ask for.

The request is version 10 of Metadata, the first with ids (Kafka 2.8); it never makes a topic. Delete this file
when aiokafka's own `describe_topics` tells ids (aiokafka/protocol/metadata.py ends with version 5).
"""

import uuid
from collections.abc import Iterable, Mapping
from io import BytesIO
from typing import Any, Final, NamedTuple

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import Boolean, CompactArray, CompactString, Int16, Int32, Schema, TaggedFields

_NO_ID: Final = bytes(16)


class TopicFacts(NamedTuple):
    """A topic as the brokers know it."""

    topic_id: str
    """Names this topic and no other, of the same name or not; empty when the brokers know no ids."""
    partitions: int


class _Uuid:
    @classmethod
    def encode(cls, value: bytes) -> bytes:
        return value

    @classmethod
    def decode(cls, data: BytesIO) -> bytes:
        return data.read(16)


class _Response(Response):  # type: ignore[misc]
    API_KEY = 3
    API_VERSION = 10
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "brokers",
            CompactArray(
                ("node_id", Int32),
                ("host", CompactString("utf-8")),
                ("port", Int32),
                ("rack", CompactString("utf-8")),
                ("tags", TaggedFields),
            ),
        ),
        ("cluster_id", CompactString("utf-8")),
        ("controller_id", Int32),
        (
            "topics",
            CompactArray(
                ("error_code", Int16),
                ("name", CompactString("utf-8")),
                ("topic_id", _Uuid),
                ("is_internal", Boolean),
                (
                    "partitions",
                    CompactArray(
                        ("error_code", Int16),
                        ("partition_index", Int32),
                        ("leader_id", Int32),
                        ("leader_epoch", Int32),
                        ("replica_nodes", CompactArray(Int32)),
                        ("isr_nodes", CompactArray(Int32)),
                        ("offline_replicas", CompactArray(Int32)),
                        ("tags", TaggedFields),
                    ),
                ),
                ("authorized_operations", Int32),
                ("tags", TaggedFields),
            ),
        ),
        ("cluster_authorized_operations", Int32),
        ("tags", TaggedFields),
    )


class _RequestV10(RequestStruct):  # type: ignore[misc]
    FLEXIBLE_VERSION = True
    API_KEY = 3
    API_VERSION = 10
    RESPONSE_TYPE = _Response
    SCHEMA = Schema(
        ("topics", CompactArray(("topic_id", _Uuid), ("name", CompactString("utf-8")), ("tags", TaggedFields))),
        ("allow_auto_topic_creation", Boolean),
        ("include_cluster_authorized_operations", Boolean),
        ("include_topic_authorized_operations", Boolean),
        ("tags", TaggedFields),
    )


class _Metadata(Request[_RequestV10]):  # type: ignore[misc]
    API_KEY = 3

    def __init__(self, names: Iterable[str]) -> None:
        self._names = list(names)

    def build(self, request_struct_class: type[_RequestV10]) -> _RequestV10:
        return request_struct_class([(_NO_ID, name, {}) for name in self._names], False, False, False, {})


async def describe(connection: Mapping[str, Any], names: Iterable[str]) -> dict[str, TopicFacts]:
    """Those of the topics that are there. Raises KafkaError or OSError when no broker answers."""
    admin = AIOKafkaAdminClient(**connection, request_timeout_ms=15_000)
    try:
        await admin.start()
        try:
            answer = await admin._send_request(_Metadata(names))
        except NotImplementedError:  # the brokers' Metadata is older than version 10
            described = await admin.describe_topics(list(names))
            return {
                topic["topic"]: TopicFacts("", len(topic["partitions"]))
                for topic in described
                if not topic["error_code"]
            }
    finally:
        await admin.close()
    return {
        name: TopicFacts("" if topic_id == _NO_ID else str(uuid.UUID(bytes=topic_id)), len(partitions))
        for error_code, name, topic_id, _, partitions, *_ in answer.topics
        if not error_code and partitions
    }
