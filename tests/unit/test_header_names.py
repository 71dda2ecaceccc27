"""Header names that are no text: a consumer of this process reads such a record, and those around it."""

import struct

from aiokafka.consumer import fetcher
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.structs import TopicPartition

from kpistream.log import header_names
from tests.live.raw_produce import batch


def numbered(records: bytes, offset: int) -> bytes:
    return struct.pack(">q", offset) + records[8:]


def fetched(held: bytes, start: int = 0) -> list[fetcher.ConsumerRecord]:
    """What a consumer makes of the bytes of a fetch."""
    records = fetcher.MemoryRecords(held)
    return list(fetcher.PartitionRecords(TopicPartition("t", 0), records, [], start, None, None, True, 0))


def sound(offset: int, count: int, codec: int = 0) -> bytes:
    builder = DefaultRecordBatchBuilder(2, codec, 0, -1, -1, -1, 1 << 20)
    for number in range(count):
        builder.append(number, 1_000, None, b"%d" % (offset + number), [("trace", b"t")])
    return numbered(bytes(builder.build()), offset)


def test_bytes_of_a_name_that_are_no_text_are_shown_and_nothing_is_lost():
    bad = numbered(batch(b"k", b"bad", [(b"\xff\xfea", b"1"), (b"trace", None)]), 3)

    records = fetched(sound(0, 3, codec=4) + bad + sound(4, 2))

    assert [record.offset for record in records] == [0, 1, 2, 3, 4, 5]
    assert [record.value for record in records] == [b"0", b"1", b"2", b"bad", b"4", b"5"]
    assert records[3].headers == ((r"\xff\xfea", b"1"), ("trace", None))
    assert records[5].headers == (("trace", b"t"),)
    assert records[3].key == b"k"


def test_reading_again_hands_out_nothing_twice():
    bad = numbered(batch(None, b"bad", [(b"\xc3(", b"")]), 3)

    assert [record.offset for record in fetched(sound(0, 3) + bad + bad[:40], start=2)] == [2, 3]


def test_sound_records_are_read_by_the_fast_reader():
    assert fetcher.PartitionRecords is header_names.PartitionRecords
    records = fetcher.PartitionRecords(
        TopicPartition("t", 0), fetcher.MemoryRecords(sound(0, 2)), [], 0, None, None, True, 0
    )

    assert len(list(records)) == 2
    assert type(records._records) is header_names.Records
