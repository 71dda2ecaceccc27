"""Following: a role and what follows the settings for it live and end together."""

import asyncio

import pytest

from kpistream.errors import ConfigError
from kpistream.following import beside


async def forever() -> None:
    await asyncio.Event().wait()


async def nothing() -> None:
    await asyncio.sleep(0)


async def fails() -> None:
    await asyncio.sleep(0)
    raise ConfigError("kpi.settings: offset 7 is gone")


def test_role_that_ends_ends_what_follows_for_it() -> None:
    async def both() -> int:
        await beside(nothing(), forever())
        return len(asyncio.all_tasks())

    assert asyncio.run(both()) == 1


def test_failure_of_either_ends_both() -> None:
    async def both(first: bool) -> int:
        with pytest.raises(ConfigError, match="offset 7 is gone"):
            await (beside(fails(), forever()) if first else beside(forever(), fails()))
        return len(asyncio.all_tasks())

    assert [asyncio.run(both(first)) for first in (True, False)] == [1, 1]
