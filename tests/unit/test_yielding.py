"""Yielding: what is loaded waits for workers that follow, and for nobody else."""

import asyncio
from collections.abc import Iterable

from kpistream.yielding import Yielding


class Group:
    """What a group has committed of partition 0, each time somebody asks; the last answer stays."""

    def __init__(self, offsets: Iterable[int]) -> None:
        self._left = list(offsets)
        self.asked = 0

    async def committed(self) -> dict[int, int]:
        self.asked += 1
        return {0: self._left.pop(0) if len(self._left) > 1 else self._left[0]}


def waited(group: Group, end: int, stalled_s: float) -> int:
    """How often the group was asked until there was room."""

    async def run() -> None:
        yielding = Yielding(group.committed, lag_limit=100, stalled_s=stalled_s)
        yielding.appended({0: end})
        await asyncio.wait_for(yielding.room(), 60)

    asyncio.run(run())
    return group.asked


def test_there_is_room_while_workers_follow():
    assert waited(Group([900]), end=1000, stalled_s=3600) == 1


def test_a_loader_waits_until_the_lag_is_small():
    assert waited(Group([0, 300, 899, 900]), end=1000, stalled_s=3600) == 4


def test_nobody_is_waited_for_who_makes_no_progress():
    group = Group([5])

    assert waited(group, end=1_000_000, stalled_s=0.3) > 1
