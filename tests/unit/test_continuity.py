"""What roles say when the log is not what it was, word for word as the how-to page shows it."""

from pathlib import Path

import pytest
from aiokafka import TopicPartition

from kpistream.errors import ConfigError
from kpistream.log.admin import _config_fault
from kpistream.log.continuity import LogWatch, Reader, changed_count, made_again
from kpistream.log.metadata import TopicFacts
from kpistream.log.publisher import too_large
from kpistream.log.topics import MESSAGE_BYTES, Topics

PAGE = Path(__file__).resolve().parents[2] / "docs" / "how-to" / "run-on-kafka.md"
EVENTS = TopicPartition("kpi.events", 3)
READER = Reader("kpistream-worker")


def page() -> str:
    return " ".join(PAGE.read_text(encoding="utf-8").split())


def fact(fault: str | None) -> str:
    assert fault is not None
    return fault.splitlines()[0]


def test_offset_before_the_oldest_record_is_lost_to_retention() -> None:
    fault = READER.fault(EVENTS, 812_004, 955_310, 1_000_000)

    assert fact(fault) == ("kpi.events[3]: offset 812004 is gone, oldest is 955310: 143306 records lost to retention")
    assert fault is not None and "\nhint: keep the topic longer than group 'kpistream-worker' is ever behind" in fault
    assert READER.reset("kpi.events", 3) in fault


@pytest.mark.parametrize("offset", [10, 15, 20])
def test_offset_that_the_log_holds_or_ends_at_is_no_fault(offset: int) -> None:
    assert READER.fault(EVENTS, offset, 10, 20) is None


def test_every_text_of_a_refusal_is_on_the_page() -> None:
    shown = page()
    texts = [
        fact(READER.fault(EVENTS, 812_004, 955_310, 955_400)),
        fact(READER.fault(EVENTS, 955_400, 0, 812)),
        fact(made_again("kpi.panes", "B", "A", "kpi.settings")),
        fact(changed_count("kpi.events", 5, 4)),
        fact(changed_count("kpi.events", 0, 4)),
        READER.reset("kpi.events", 3),
        fact(too_large("kpi.panes", 3, 812)),
        _config_fault("kpi.panes", "max.message.bytes", str(MESSAGE_BYTES), "500000") or "",
    ]

    assert [text for text in texts if text not in shown] == []


def facts(**other: TopicFacts) -> dict[str, TopicFacts]:
    topics = Topics()
    names = (topics.events, topics.panes, topics.team_panes, topics.alerts)
    return {name: other.get(name.removeprefix("kpi."), TopicFacts(f"id of {name}", 4)) for name in names}


def watch() -> LogWatch:
    return LogWatch({}, Topics(), 4)


def test_same_topics_are_looked_at_in_silence() -> None:
    looking = watch()
    for _ in range(10):
        looking.compare(facts())


def test_another_id_is_named_with_the_first_one_seen() -> None:
    looking = watch()
    looking.compare(facts())

    with pytest.raises(ConfigError) as caught:
        looking.compare(facts(events=TopicFacts("another", 4)))

    assert "topic 'kpi.events' was deleted and made again: id another here, id of kpi.events on" in str(caught.value)


def test_brokers_without_ids_are_compared_by_partitions_only() -> None:
    looking = watch()
    looking.compare(facts(events=TopicFacts("", 4)))

    with pytest.raises(ConfigError, match="5 partitions, 4 when the roles began"):
        looking.compare(facts(events=TopicFacts("", 5)))


def test_topic_that_a_broker_does_not_know_yet_is_missing_only_when_it_stays_so() -> None:
    looking = watch()
    without = {name: each for name, each in facts().items() if name != "kpi.panes"}
    looking.compare(without)
    looking.compare(without)
    looking.compare(facts())
    looking.compare(without)
    looking.compare(without)

    with pytest.raises(ConfigError, match=r"topic 'kpi\.panes' is missing: it was there when this process began"):
        looking.compare(without)
