"""State: what is read for one assignment is never joined in another."""

import asyncio
import contextlib
from types import SimpleNamespace

import msgspec
from faust.types import TP

from kpistream.core.changelog import encode_pane
from kpistream.core.measures import CALLS
from kpistream.core.panes import Pane
from kpistream.core.partition import PartitionSettings
from kpistream.core.placing import rank_of
from kpistream.errors import EventRejected, Reason
from kpistream.log.records import dead_letter
from kpistream.stream.state import PaneStore, Shards


def made():
    store = object.__new__(PaneStore)
    store.shards = Shards(PartitionSettings("w"))
    store.events_topic, failures = "kpi.events", []
    store.failed = failures.append
    return store, failures


NO_FIELDS = SimpleNamespace()  # neither a call nor a deal: nothing to link


def batch(generation, offset):
    pane = Pane("acme/agent:ann", 300_000)
    pane.join(f"acme/pbx/call/{offset}", rank_of(1, 0, 1), (CALLS, 1))
    [(key, value)] = encode_pane(pane, 300_000, "other", 1)
    record = SimpleNamespace(offset=offset, key=key, value=value)
    return SimpleNamespace(message=SimpleNamespace(partition=0, generation_id=generation, value=[record]))


def assign(store, generation, partitions):
    tps = {TP("kpi.events", number) for number in partitions}
    asyncio.run(store.on_rebalance(tps, set(), tps, generation))


def test_batch_of_an_ended_assignment_leaves_no_trace():
    store, failures = made()
    assign(store, 1, [0])
    assign(store, 2, [])

    store.apply_changelog_batch([batch(1, 3)], None, None)
    assign(store, 3, [0])

    assert store.persisted_offset(TP("kpi.panes", 0)) == -1
    assert list(store.shards.shard(0).partition.live_panes()) == []
    assert failures == []


def test_kept_partition_keeps_its_panes_and_says_how_far_they_reach():
    store, _ = made()
    assign(store, 1, [0, 1])
    store.apply_changelog_batch([batch(1, 3)], None, None)

    assign(store, 2, [0])

    assert store.persisted_offset(TP("kpi.panes", 0)) == 3
    assert len(list(store.shards.shard(0).partition.live_panes())) == 1
    assert store.persisted_offset(TP("kpi.panes", 1)) == -1


def letter(reason):
    record = SimpleNamespace(topic="kpi.events", partition=0, offset=7, timestamp=1, key=b"k", value=b"v", headers=[])
    return dead_letter(record, EventRejected(reason, "a detail"))


def test_letter_of_a_conflict_outlives_a_rebalance_in_which_its_partition_stays():
    """The record that won is in memory: read again it is a duplicate, and nothing would speak of the conflict."""
    store, _ = made()
    assign(store, 1, [0])
    shard = store.shards.shard(0)
    shard.dead_letters = [letter(Reason.CONFLICT), letter(Reason.NOT_JSON)]

    assign(store, 2, [0])

    assert shard.dead_letters == [letter(Reason.CONFLICT)]
    assert not shard.unpublished, "nothing may be acknowledged before a record was read"
    shard.partition.advance(8, 1)
    assert shard.unpublished
    assign(store, 3, [])
    assert shard.dead_letters == []


def test_unreadable_record_is_reported_because_faust_swallows_it():
    store, failures = made()
    assign(store, 1, [0])
    bad = SimpleNamespace(offset=0, key=b"P/x", value=b"\x00")

    with contextlib.suppress(ValueError):
        store.apply_changelog_batch(
            [SimpleNamespace(message=SimpleNamespace(partition=0, generation_id=1, value=[bad]))], None, None
        )

    assert [type(error) for error in failures] == [msgspec.ValidationError]


def test_parts_of_a_key_are_its_live_events_the_newest_panes_first():
    shard = Shards(PartitionSettings("w")).shard(0)
    for number, (start_ms, retracts) in enumerate(((300_000, False), (600_000, False), (600_000, True))):
        event = SimpleNamespace(
            key="acme/agent:ann",
            start_ms=start_ms,
            identity=f"acme/pbx/call/{number}",
            rank=rank_of(1, 0, 1),
            contribution=() if retracts else (CALLS, 1),
            retracts=retracts,
            moved_from=None,
            fields=NO_FIELDS,
        )
        shard.partition.accept(event, number)

    newest_first = [("acme/pbx/call/1", 600_000, (CALLS, 1)), ("acme/pbx/call/0", 300_000, (CALLS, 1))]
    assert list(shard.parts("acme/agent:ann", [300_000, 600_000])) == newest_first
    for pane in shard.partition.live_panes():
        pane.seal()
    assert list(shard.parts("acme/agent:ann", [300_000, 600_000])) == newest_first
    assert all(pane.sealed for pane in shard.partition.live_panes()), "a look opens no pane"
    assert list(shard.parts("acme/agent:bob", [300_000])) == []


def test_no_more_events_are_looked_at_than_one_look_bears_and_panes_are_taken_whole(monkeypatch):
    monkeypatch.setattr("kpistream.stream.state.LOOKED_AT", 3)
    shard = Shards(PartitionSettings("w")).shard(0)
    for number in range(8):
        start_ms = 300_000 * (1 + number // 2)
        event = SimpleNamespace(
            key="acme/agent:ann",
            start_ms=start_ms,
            identity=f"acme/pbx/call/{number}",
            rank=rank_of(1, 0, 1),
            contribution=(CALLS, 1),
            retracts=False,
            moved_from=None,
            fields=NO_FIELDS,
        )
        shard.partition.accept(event, number)

    found = list(shard.parts("acme/agent:ann", [300_000, 600_000, 900_000, 1_200_000]))

    assert [part.name[-1] for part in found] == ["6", "7", "4", "5"]
