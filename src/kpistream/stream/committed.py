"""Committed: Faust's consumer thread, reading only what producers have committed.

Records of an aborted transaction are no events. Marks of transactions take offsets and no record tells of them, so
the thread says from where to where each fetch has read.
"""

from typing import Any, Final

from aiokafka.errors import CommitFailedError
from faust.types import TP

from kpistream.log.topics import FETCH_MIN_BYTES
from kpistream.stream.fetching import RecordThread

FETCH_WAIT_MS: Final = 50
"""How long a fetch may wait at the broker for something to read. The broker answers what is asked on one connection in
order: a question about offsets, and a fetch of partitions that were left out of this one, wait as long."""

Step = tuple[int, int]
"""From where to where a fetch has read."""


class CommittedThread(RecordThread):
    """Faust's consumer thread, reading committed records only, with a short wait for a fetch."""

    def _create_worker_consumer(self, transport: Any) -> Any:
        # Faust ties the isolation level to its own transactions (faust/transport/drivers/aiokafka.py,
        # _create_worker_consumer); what counts here are the producers'. A setting upstream would let us delete this.
        consumer = super()._create_worker_consumer(transport)
        assert hasattr(consumer, "_isolation_level"), "aiokafka keeps its isolation level elsewhere now"
        consumer._isolation_level = "read_committed"
        # Fixed upstream, in the same place, at 1,500 ms.
        assert consumer._fetch_max_wait_ms > FETCH_WAIT_MS
        consumer._fetch_max_wait_ms, consumer._fetch_min_bytes = FETCH_WAIT_MS, FETCH_MIN_BYTES
        self._steps: dict[TP, Step] = {}
        return consumer

    async def on_start(self) -> None:
        """Start the consumer; from then on a commit belongs to one assignment."""
        await super().on_start()
        bind_commits(self._ensure_consumer()._coordinator)

    async def _fetch_records(self, consumer: Any, active_partitions: Any, *args: Any, **limits: Any) -> Any:
        """Records as ever; `take_steps` tells from where to where each partition was read meanwhile."""
        before = self._positions()
        try:
            return await super()._fetch_records(consumer, active_partitions, *args, **limits)
        finally:
            self._steps = {tp: (before[tp], after) for tp, after in self._positions().items() if tp in before}

    def verify_event_path(self, now: float, tp: TP) -> None:
        """Nothing: our watchdog looks at progress.

        Faust takes the partitions of a changelog for streams, and after five minutes logs an error for each that no
        stream reads (faust/transport/drivers/aiokafka.py, verify_event_path).
        """

    def take_steps(self) -> dict[TP, Step]:
        """From where to where the last fetch read each partition, told once: of no fetch there are no steps.

        Told twice, they would pass over records that were dropped and sought again in between.
        """
        steps, self._steps = self._steps, {}
        return steps

    def _positions(self) -> dict[TP, int]:
        subscribed = self._ensure_consumer()._subscription.subscription
        assignment = None if subscribed is None else subscribed.assignment
        if assignment is None:
            return {}
        states = ((tp, assignment.state_value(tp)) for tp in assignment.tps)
        return {TP(*tp): int(state.position) for tp, state in states if state.has_valid_position}


def bind_commits(coordinator: Any) -> None:
    """Let no commit be sent for an assignment that is over.

    aiokafka tries a commit again while the coordinator is away, in whatever generation it finds itself then
    (aiokafka/consumer/group_coordinator.py, commit_offsets): a late one would take the group's offset back behind what
    others have committed since.
    """
    send = coordinator._do_commit_offsets

    async def send_in_time(assignment: Any, offsets: Any) -> None:
        if not assignment.active:
            raise CommitFailedError("the group has already rebalanced")  # Faust knows these two words
        await send(assignment, offsets)

    coordinator._do_commit_offsets = send_in_time
