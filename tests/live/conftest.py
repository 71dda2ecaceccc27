"""The broker of the live tests: one for the session, running again at the start of every test."""

from collections.abc import Iterator

import pytest

from tests.live.broker import Broker


@pytest.fixture(scope="session")
def _kafka_of_session() -> Iterator[Broker]:
    with Broker() as broker:
        yield broker


@pytest.fixture
def kafka(_kafka_of_session: Broker) -> Broker:
    """A running Apache Kafka. A test may stop or kill it; topics of other tests may be on it."""
    _kafka_of_session.start()
    return _kafka_of_session
