"""Strikes: the register of everything that may go wrong while a system works, and the stages it goes wrong on.

A strike is a function of a scene: it breaks something and returns when it has been put right again, or when
the supervisor of the scene may do that. It never judges. Importing a `strikes_*` module registers its strikes;
`all_strikes` imports every one of them.
"""

import importlib
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from tests.faults.scene import Scene

BROKER: Final = "broker"
"""The stage of one Apache Kafka."""


@dataclass(frozen=True, slots=True)
class Strike:
    """Something that goes wrong."""

    name: str
    """Words with hyphens; stands in the table and on the command line."""
    title: str
    """What happens, in one line."""
    act: Callable[["Scene"], None]
    workers: int = 1
    """How many workers must run when it begins."""
    sinks: int = 1
    stage: str = BROKER
    """Where it can be played: a name of `stage`."""
    settings: Mapping[str, object] = field(default_factory=dict)
    """Settings that every role of the seed gets for its sake."""
    prepare: "Callable[[Scene], None] | None" = None
    """Called once the topics are made and before any role is started."""
    alone: bool = False
    """No other strike shares its seed."""
    judge: "Callable[[Scene], str] | None" = None
    """Judges the scene at its end instead of the usual verdict (nothing lost, ...): what it found, in words.
    Raises AssertionError when that is not what must be. For strikes that end in a refusal."""


_strikes: dict[str, Strike] = {}
_stages: dict[str, Callable[[Path], AbstractContextManager[Any]]] = {}


def strike(name: str, **needs: Any) -> Callable[[Callable[["Scene"], None]], Callable[["Scene"], None]]:
    """Register a function as a strike; the first line of its docstring is the title."""

    def register(act: Callable[["Scene"], None]) -> Callable[["Scene"], None]:
        assert name not in _strikes, f"two strikes named {name!r}"
        title = (act.__doc__ or "").strip().splitlines()[0].rstrip(".")
        _strikes[name] = Strike(name, title, act, **needs)
        return act

    return register


def stage(name: str) -> Callable[[Any], Any]:
    """Register a context manager that takes a directory and gives a running Kafka (as `Broker`) as a stage."""

    def register(make: Any) -> Any:
        assert name not in _stages, f"two stages named {name!r}"
        _stages[name] = make
        return make

    return register


def all_strikes() -> dict[str, Strike]:
    """Every strike of every `strikes_*` module, by name."""
    for path in sorted(Path(__file__).parent.glob("strikes_*.py")):
        importlib.import_module(f"tests.faults.{path.stem}")
    return dict(sorted(_strikes.items()))


def stages() -> dict[str, Callable[[Path], AbstractContextManager[Any]]]:
    """Every stage, by name."""
    all_strikes()
    return dict(_stages)
