"""Whole: a broker that is away leaves it unknown whether all is here, and ends nothing."""

import asyncio

from kpistream.log.completeness import Way
from kpistream.stream.whole import Whole


def test_broker_that_is_away_leaves_it_unknown_and_ends_nothing() -> None:
    async def ask() -> tuple[list[BaseException], int | None]:
        failed: list[BaseException] = []
        whole = Whole({"bootstrap_servers": "127.0.0.1:9"}, Way("e", "g", "t", ""), 1, failed.append)
        whole.find_out(100_000)
        assert whole.asking is not None
        await asyncio.wait([whole.asking])
        whole.asking.result()
        await whole.stop()
        return failed, whole.to_ms(0, 0)

    assert asyncio.run(ask()) == ([], None)
