"""Strikes on ClickHouse: away, slow, read-only, full, and answers that are lost after the rows were written.

The store is the real engine behind HTTP (`tests/front`), which many seeds share: every strike leaves it well.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from tests.faults.scene import Scene
from tests.faults.strikes import strike

_CODES: Final = {"read only": 164, "memory limit": 241, "no space": 243, "too many parts": 252, "too many queries": 202}


@contextmanager
def _well_after(scene: Scene) -> Iterator[None]:
    try:
        yield
    finally:
        scene.front.start()
        scene.front.clear_faults()


@strike("store-down")
def store_down(scene: Scene) -> None:
    """ClickHouse killed, and back after a while."""
    with _well_after(scene):
        scene.front.kill()
        time.sleep(scene.random.uniform(1, 20))  # the fault itself


@strike("store-restarts")
def store_restarts(scene: Scene) -> None:
    """ClickHouse killed several times in a row, between any two inserts."""
    with _well_after(scene):
        for _ in range(scene.random.randrange(2, 6)):
            scene.front.kill()
            scene.front.start()
            scene.flow(scene.random.randrange(50, 300))


@strike("store-refuses")
def store_refuses(scene: Scene) -> None:
    """Every insert refused: read-only, out of memory or space, too many parts or queries."""
    word = scene.random.choice(sorted(_CODES))
    with _well_after(scene):
        scene.front.fail_all_inserts(_CODES[word])
        before, wanted = scene.front.faults_happened, scene.random.randrange(2, 12)
        scene.until(f"refused: {word}", lambda: scene.front.faults_happened >= before + wanted)
    scene.note(f"store: {word}, {wanted} times")


@strike("store-flickers")
def store_flickers(scene: Scene) -> None:
    """Some inserts refused, some written without an answer, some written late, in any order."""
    front, chance = scene.front, scene.random
    with _well_after(scene):
        for _ in range(chance.randrange(3, 10)):
            chance.choice(
                (
                    lambda: front.refuse_inserts(chance.randrange(1, 3)),
                    lambda: front.drop_answers(chance.randrange(1, 4)),
                    lambda: front.fail_inserts(1, chance.choice(sorted(_CODES.values()))),
                )
            )()
            scene.flow(chance.randrange(50, 200))
        scene.until("every planned fault", lambda: front.faults_left == 0)


@strike("store-answers-lost")
def store_answers_lost(scene: Scene) -> None:
    """Every insert is written and its connection dropped before the answer."""
    with _well_after(scene):
        scene.front.drop_all_answers()
        before, wanted = scene.front.inserts_written, scene.random.randrange(2, 10)
        scene.until("answers lost", lambda: scene.front.inserts_written >= before + wanted)


@strike("store-slow")
def store_slow(scene: Scene) -> None:
    """Every insert is answered late."""
    with _well_after(scene):
        scene.front.slow_all_inserts(scene.random.randrange(100, 5000))
        scene.flow(1500)


@strike("sink-killed-while-answers-are-lost")
def sink_killed_while_answers_are_lost(scene: Scene) -> None:
    """A sink dies after the store has written rows that it never heard of."""
    with _well_after(scene):
        scene.front.drop_all_answers()
        for _ in range(scene.random.randrange(1, 4)):
            before = scene.front.inserts_written
            scene.until("an insert", lambda before=before: scene.front.inserts_written > before)  # type: ignore[misc]
            scene.kill(scene.one("sink"))
