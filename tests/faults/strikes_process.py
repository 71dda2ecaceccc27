"""Strikes on processes: killed, frozen, stopped, started again, too many or too few of them."""

from tests.faults.scene import Scene
from tests.faults.strikes import strike

SESSION_S = 6


@strike("worker-killed")
def worker_killed(scene: Scene) -> None:
    """kill -9 of a worker."""
    scene.kill(scene.one("worker"))


@strike("sink-killed")
def sink_killed(scene: Scene) -> None:
    """kill -9 of a sink."""
    scene.kill(scene.one("sink"))
