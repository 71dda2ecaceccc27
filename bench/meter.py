"""Meter: what one engine's process has used between its first record and the last one being durable."""

import json
import resource
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Job:
    """What an engine is asked to do; given to its process as JSON."""

    bootstrap: str
    events: str
    """Topic of the events."""
    prefix: str
    """Of the topics and groups that belong to this run alone."""
    ends: dict[int, int]
    """End offset of each partition: the run is over when everything before is durable and committed."""

    def to_json(self) -> str:
        """The job as its process reads it."""
        return json.dumps(asdict(self))


def job_of_process() -> Job:
    """The job that this process was started with."""
    content = json.loads(sys.argv[1])
    content["ends"] = {int(partition): end for partition, end in content["ends"].items()}
    return Job(**content)


class Meter:
    """A stop-watch over this process: wall clock, CPU of all its threads, peak memory."""

    def __init__(self) -> None:
        self._began_s = self._began_cpu_s = 0.0
        self._before = 0

    @property
    def running(self) -> bool:
        """True once the first records were handled."""
        return self._began_s > 0

    def begin(self, records: int) -> None:
        """Start with the first records handled already; they do not count."""
        if not self.running:
            self._began_s, self._began_cpu_s, self._before = time.perf_counter(), _cpu_s(), records

    def end(self, records: int) -> None:
        """Everything is durable: print the result for the process that waits for it."""
        seconds, cpu_s = time.perf_counter() - self._began_s, _cpu_s() - self._began_cpu_s
        result = {"records": records - self._before, "seconds": seconds, "cpu_seconds": cpu_s, "rss_mb": _peak_rss_mb()}
        print("RESULT " + json.dumps(result), flush=True)


def _cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def _peak_rss_mb() -> float:
    """From /proc where there is one: a child's ru_maxrss begins with its parent's."""
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) / 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1 << 20 if sys.platform == "darwin" else 1 << 10)
