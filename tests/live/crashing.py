"""A role that goes wrong at a chosen point, for the live tests: `python -m tests.live.crashing POINT ROLE [FILE]`.

Everything else is the real process. Points of the worker at which it ends at once, as after kill -9: `start`,
`assigned`, `recovered`, `joined`, `published`, `acknowledged`, `committed`; of notify: `sealed`, `delivered`. `blocked`
blocks the event loop once FILE is there; `held` holds recovery back until FILE is there.
"""

import asyncio
import os
import sys
import time
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any, Final

from kpistream import cli, service
from kpistream.log.publisher import Publisher
from kpistream.log.records import Outgoing
from kpistream.notify.webhook import WebhookChannel
from kpistream.stream.agents import Worker
from kpistream.stream.decode import Decoder
from kpistream.stream.state import PaneStore

CODE: Final = 99
POINTS: Final = ("start", "assigned", "recovered", "joined", "published", "acknowledged", "committed")


def crash(*_: Any) -> None:
    """End as if killed."""
    os._exit(CODE)


def crash_after(owner: type, name: str, when: Callable[..., bool] = lambda *_: True) -> None:
    """Let `owner.name` do its work, and end the process before anybody hears of it."""
    real = getattr(owner, name)

    def called(*arguments: Any) -> Any:
        result = real(*arguments)
        if asyncio.iscoroutine(result):
            return _awaited(result, arguments)
        if when(*arguments):
            crash()
        return result

    async def _awaited(work: Coroutine[Any, Any, Any], arguments: tuple[Any, ...]) -> Any:
        result = await work
        if when(*arguments):
            crash()
        return result

    setattr(owner, name, called)


def _seals(_: Publisher, topic: str, __: int, records: Sequence[Outgoing], *___: Any) -> bool:
    return topic.endswith("notifications") and any(b'"sealed"' in (record.value or b"") for record in records)


def plant(point: str, trigger: Path) -> None:
    """Make the process go wrong at `point`."""
    plants: dict[str, Callable[[], None]] = {
        "start": lambda: setattr(Worker, "run", crash),
        "assigned": lambda: crash_after(PaneStore, "on_rebalance"),
        "recovered": lambda: crash_after(PaneStore, "on_recovery_completed"),
        "sealed": lambda: crash_after(Publisher, "publish", _seals),
        "delivered": lambda: crash_after(WebhookChannel, "send"),
        "joined": lambda: crash_after(Decoder, "take"),
        "published": lambda: crash_after(Publisher, "publish", lambda _, topic, *__: topic.endswith("panes")),
        "acknowledged": lambda: crash_after(Worker, "_acknowledge"),
        "committed": lambda: crash_after(Worker, "committed"),
        "held": lambda: _hold(trigger),
        "blocked": lambda: _block(trigger),
    }
    plants[point]()


def _hold(trigger: Path) -> None:
    real = PaneStore.on_recovery_completed

    async def held(self: PaneStore, *arguments: Any) -> None:
        while not trigger.exists():
            await asyncio.sleep(0.05)
        await real(self, *arguments)

    PaneStore.on_recovery_completed = held  # type: ignore[method-assign]


def _block(trigger: Path) -> None:
    def blocking(real: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., Coroutine[Any, Any, None]]:
        async def run(*arguments: Any) -> None:
            work = asyncio.ensure_future(real(*arguments))
            while not trigger.exists():
                await asyncio.sleep(0.05)
            wait_for_ever()
            await work

        return run

    service.run_worker = blocking(service.run_worker)
    service.run_sink = blocking(service.run_sink)


def wait_for_ever() -> None:
    """Block the thread."""
    while True:
        time.sleep(1)


if __name__ == "__main__":
    plant(sys.argv[1], Path(sys.argv[3] if len(sys.argv) > 3 else os.devnull))
    sys.argv = ["kpistream", sys.argv[2]]
    cli.main()
