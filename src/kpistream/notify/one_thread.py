"""One thread: runs what blocks, for one receiver, beside everything else.

The thread is a daemon: a mail server that says nothing does not keep the process from ending, as the threads of
`concurrent.futures` would, which Python joins at exit.
"""

import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future
from queue import SimpleQueue
from typing import Any, NamedTuple


class _Work(NamedTuple):
    future: Future[Any]
    call: Callable[[], Any]


class OneThread(Executor):
    """Does one thing after the other."""

    def __init__(self, name: str) -> None:
        self._queue: SimpleQueue[_Work | None] = SimpleQueue()
        threading.Thread(target=self._turn, name=name, daemon=True).start()

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """The result that will come; what is cancelled before its turn is not begun."""
        future: Future[Any] = Future()
        self._queue.put(_Work(future, lambda: fn(*args, **kwargs)))
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End once everything before is done; never waits."""
        self._queue.put(None)

    def _turn(self) -> None:
        while (work := self._queue.get()) is not None:
            if not work.future.set_running_or_notify_cancel():
                continue
            try:
                work.future.set_result(work.call())
            except BaseException as error:
                work.future.set_exception(error)
