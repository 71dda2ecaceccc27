"""Strikes on topics and groups: what an administrator, or retention, does to a log that is in use.

Those that must end in a refusal are judged by it: exit code 2, the text, nothing acknowledged, and no number that
the log does not bear out.
"""

import time
from contextlib import ExitStack
from typing import Final

from tests.faults.administration import Administrator
from tests.faults.scene import Scene
from tests.faults.strikes import strike
from tests.live.floor import Floor
from tests.live.system import PANE_MS

_FITS: Final = 1_048_588
_REFUSED: Final = 2


@strike("group-offsets-lost")
def group_offsets_lost(scene: Scene) -> None:
    """What a group has committed is deleted while no member lives: it begins at the oldest record."""
    kind = scene.random.choice(("worker", "sink"))
    group = scene.system.worker_group if kind == "worker" else scene.system.sink_group
    with ExitStack() as held:
        for member in scene.of(kind):
            held.enter_context(scene.holding(member))
            scene.stop(member)
        Administrator(scene.system).forget_groups(group)


@strike("changelog-refuses")
def changelog_refuses(scene: Scene) -> None:
    """A topic that workers write to takes no message for a while: they stop, and come back when it does."""
    name = scene.random.choice(("panes", "team-panes"))
    before = len(scene.ended)
    scene.system.allow_bytes(name, 100)
    try:
        scene.until("a worker stops", lambda: len(scene.ended) > before)
    finally:
        scene.system.allow_bytes(name, _FITS)


@strike("pane-larger-than-a-message")
def pane_larger_than_a_message(scene: Scene) -> None:
    """Sixteen thousand events of one agent in one pane, then kill -9 of a worker: it comes back from chunks."""
    at_ms = int(time.time() * 1000) // PANE_MS * PANE_MS - 1
    seed = scene.random.randrange(10**6, 10**7)
    floor = Floor(at_ms, seed=seed, agents=1, history_ms=PANE_MS // 2, late_share=0, crew=f"big{seed}")
    scene.system.produce(floor.fresh(16_000))
    scene.calm()
    scene.kill(scene.one("worker"))
    scene.system.produce(floor.fresh(10))


def _refused(scene: Scene, kind: str, *texts: str) -> str:
    """What a process of this kind said as it ended with 2."""

    def said() -> list[str]:
        logs = (log.read_text(errors="replace") for log in scene.system.directory.glob(f"{kind}-*.log"))
        lines = (line for log in logs for line in log.splitlines() if line.startswith("error: "))
        return [line for line in lines if any(text in line for text in texts)]

    scene.until(f"{kind} refuses: {texts[0]}", lambda: bool(said()))
    scene.until("its end", lambda: any(f"{kind}-" in end and end.endswith(f"exit {_REFUSED}") for end in scene.ended))
    return said()[0]


def _lost_to_retention(scene: Scene) -> str:
    return "; ".join(_refused(scene, kind, "records lost to retention") for kind in ("worker", "sink"))


@strike("retention-overtakes", alone=True, judge=_lost_to_retention)
def retention_overtakes(scene: Scene) -> None:
    """Records are deleted before anybody has read them: worker and sink refuse to go on."""
    with ExitStack() as held:
        for member in (*scene.workers, *scene.sinks):
            held.enter_context(scene.holding(member))
            scene.stop(member)
        _delete_unread(scene)


@strike("retention-overtakes-the-sleeping", alone=True, judge=_lost_to_retention)
def retention_overtakes_the_sleeping(scene: Scene) -> None:
    """Records are deleted while all members are frozen, for less than a session: the fetch that runs finds out."""
    members = (*scene.workers, *scene.sinks)
    with ExitStack() as held:
        for member in members:
            held.enter_context(scene.holding(member))
            member.role.pause()
        _delete_unread(scene)
        for member in members:
            member.role.resume()


def _delete_unread(scene: Scene) -> None:
    scene.flow(600)
    partition = scene.random.randrange(scene.system.partitions)
    oldest = scene.system.ends("events")[partition] - 1
    Administrator(scene.system).delete_before("events", partition, oldest)
    scene.note(f"events[{partition}] begins at {oldest}")


_MADE_AGAIN: Final = ("was deleted and made again", "the topic was made again", "is missing", "partitions, 4 when")


def _made_again(scene: Scene) -> str:
    return _refused(scene, "worker", *_MADE_AGAIN)


@strike("topic-made-again", alone=True, judge=_made_again)
def topic_made_again(scene: Scene) -> None:
    """A topic that carries state is deleted and made again under roles that run: the workers refuse."""
    Administrator(scene.system).make_again(scene.random.choice(("panes", "team-panes")))


@strike("partitions-added", alone=True, judge=_made_again)
def partitions_added(scene: Scene) -> None:
    """A partition is added under roles that run: they refuse."""
    Administrator(scene.system).add_partition(scene.random.choice(("events", "panes")))
