"""Reading to the end over a broker that is away for a moment: nothing is read twice, nothing is passed over."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import KafkaConnectionError, KafkaTimeoutError, TopicAuthorizationFailedError

from kpistream.log import tail


class Broker:
    """A topic of five records, two at a time; `faults` are raised by the calls of a client, None is none."""

    def __init__(self, *faults: Exception | None) -> None:
        self._faults = list(faults)
        self.clients = 0

    def __call__(self, **_: Any) -> "Client":
        self.clients += 1
        return Client(self)

    def called(self) -> None:
        fault = self._faults.pop(0) if self._faults else None
        if fault is not None:
            raise fault


class Client:
    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._at = 0

    async def start(self) -> None:
        self._broker.called()

    async def stop(self) -> None: ...

    def assign(self, _: list[TopicPartition]) -> None: ...

    def seek(self, _: TopicPartition, offset: int) -> None:
        self._at = offset

    async def end_offsets(self, tps: list[TopicPartition]) -> dict[TopicPartition, int]:
        return dict.fromkeys(tps, 5)

    async def position(self, _: TopicPartition) -> int:
        return self._at

    async def getmany(self, tp: TopicPartition, timeout_ms: int) -> dict[TopicPartition, list[Any]]:
        self._broker.called()
        first, self._at = self._at, min(5, self._at + 2)
        return {tp: [SimpleNamespace(offset=offset) for offset in range(first, self._at)]}


def read(monkeypatch: pytest.MonkeyPatch, broker: Broker, patience_s: float) -> list[int]:
    monkeypatch.setattr(tail, "AIOKafkaConsumer", broker)
    monkeypatch.setattr(tail, "_AGAIN_S", 0)
    found = asyncio.run(tail.read_on({}, "kpi.alerts", {3: 1}, patience_s=patience_s))
    return [record.offset for record in found[3]]


def test_reading_goes_on_where_it_was_when_the_broker_went_away(monkeypatch: pytest.MonkeyPatch) -> None:
    broker = Broker(KafkaConnectionError("not yet"), None, None, KafkaTimeoutError("40 s"), KafkaConnectionError())

    assert read(monkeypatch, broker, 60) == [1, 2, 3, 4]
    assert broker.clients == 4


def test_who_has_no_patience_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(KafkaConnectionError):
        read(monkeypatch, Broker(KafkaConnectionError("not there")), 0)


def test_what_waiting_does_not_mend_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(TopicAuthorizationFailedError):
        read(monkeypatch, Broker(TopicAuthorizationFailedError("kpi.alerts")), 60)
