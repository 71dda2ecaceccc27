"""Parts: the measurements of the bench by name, where each keeps its numbers, and how each is shown.

A part's file holds the machine, the options and what was measured; the tables of docs/explanation/performance.md are
made from it (`page.py`), and by nothing else.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from bench import alerts, backfill, backlog, latency, machine, quix, recovery, restart, soak, throughput, workers

ROOT: Final = Path(__file__).resolve().parent


@dataclass(frozen=True, slots=True)
class Part:
    """One measurement."""

    name: str
    shown: Callable[[Any], list[str]]
    """Lines of Markdown for what was measured."""

    @property
    def path(self) -> Path:
        """Where its numbers are."""
        return ROOT / f"results-{self.name}.json"

    def write(self, options: dict[str, Any], measured: Any, path: Path | None = None) -> None:
        """Keep the numbers."""
        report = {"machine": machine.description(), "options": options, "measured": measured}
        (path or self.path).write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")

    def read(self) -> dict[str, Any]:
        """The numbers that were kept."""
        return dict(json.loads(self.path.read_text(encoding="utf-8")))


PARTS: Final = {
    part.name: part
    for part in (
        Part("throughput", throughput.shown),
        Part("latency", latency.shown),
        Part("alerts", alerts.shown),
        Part("recovery", recovery.shown),
        Part("restart", restart.shown),
        Part("workers", workers.shown),
        Part("backlog", backlog.shown),
        Part("soak", soak.shown),
        Part("backfill", backfill.shown),
        Part("quix", quix.shown),
    )
}
