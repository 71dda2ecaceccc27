"""Strikes on the network between roles and broker: cut, half-open, slow, and answers that never arrive.

Played on a stage of its own, where a proxy stands between. Tests and traffic reach the broker directly.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tests.faults import proxy as wire
from tests.faults.proxy import Proxied
from tests.faults.scene import Scene
from tests.faults.strikes import stage, strike

PROXIED: Final = "proxied"
_SESSION_S: Final = 6
_LOST: Final = (wire.PRODUCE, wire.OFFSET_COMMIT, wire.FETCH, wire.HEARTBEAT)
_LOST_AT_JOIN: Final = (wire.JOIN_GROUP, wire.SYNC_GROUP, wire.OFFSET_FETCH)


@stage(PROXIED)
@contextmanager
def proxied_broker(directory: Path) -> Iterator[Proxied]:
    """One Apache Kafka behind a proxy."""
    with Proxied() as broker:
        yield broker


@strike("connections-cut", stage=PROXIED)
def connections_cut(scene: Scene) -> None:
    """Every connection of every role reset, several times."""
    for _ in range(scene.random.randrange(1, 6)):
        scene.kafka.proxy.cut()
        scene.flow(scene.random.randrange(50, 600))


@strike("broker-refused", stage=PROXIED)
def broker_refused(scene: Scene) -> None:
    """Connections refused for longer than a session."""
    scene.kafka.proxy.refuse()
    time.sleep(scene.random.uniform(1, 3 * _SESSION_S))  # the fault itself
    scene.kafka.proxy.accept()


@strike("broker-silent", stage=PROXIED)
def broker_silent(scene: Scene) -> None:
    """Half-open: requests arrive, no answer comes back, connections stay."""
    with scene.kafka.proxy.ruled(silent_down=True):
        time.sleep(scene.random.uniform(1, 3 * _SESSION_S))  # the fault itself


@strike("roles-silent", stage=PROXIED)
def roles_silent(scene: Scene) -> None:
    """Half-open the other way: connections are taken, no request arrives."""
    with scene.kafka.proxy.ruled(silent_up=True):
        time.sleep(scene.random.uniform(1, 3 * _SESSION_S))  # the fault itself


@strike("network-slow", stage=PROXIED)
def network_slow(scene: Scene) -> None:
    """Every request and answer late, and few bytes a second."""
    delay_s, rate = scene.random.uniform(0.01, 0.3), scene.random.choice((0, 100_000, 500_000))
    with scene.kafka.proxy.ruled(delay_s=delay_s, bytes_per_s=rate):
        scene.flow(1500)


@strike("answers-lost", stage=PROXIED)
def answers_lost(scene: Scene) -> None:
    """Answers lost after the broker has done what was asked, connections closed: produce, commit, fetch, heartbeat."""
    _lose(scene, scene.kafka.proxy.swallow, _LOST)


@strike("answers-halved", stage=PROXIED)
def answers_halved(scene: Scene) -> None:
    """Connections reset in the middle of an answer."""
    _lose(scene, scene.kafka.proxy.halve, _LOST)


@strike("answers-lost-at-join", stage=PROXIED)
def answers_lost_at_join(scene: Scene) -> None:
    """Answers to JoinGroup, SyncGroup and OffsetFetch lost while the group changes."""
    for api in _LOST_AT_JOIN:
        scene.kafka.proxy.swallow(api, scene.random.randrange(1, 4))
    scene.kill(scene.one("worker"))
    scene.until("answers lost", lambda: scene.kafka.proxy.waiting == 0)


def _lose(scene: Scene, lose: object, apis: tuple[int, ...]) -> None:
    assert callable(lose)
    for api in scene.random.sample(apis, scene.random.randrange(1, len(apis) + 1)):
        lose(api, scene.random.randrange(1, 6))
    scene.until("answers lost", lambda: scene.kafka.proxy.waiting == 0)
    scene.note(f"answers lost so far on this stage: {scene.kafka.proxy.lost}")
