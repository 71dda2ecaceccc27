"""Machine: on what the numbers were made, in one line."""

import os
import platform
from importlib.metadata import version
from pathlib import Path


def description() -> str:
    """Processor, cores, memory, kernel, Python and the versions of the libraries that count."""
    libraries = ", ".join(
        f"{name} {version(name)}" for name in ("faust-streaming", "aiokafka", "confluent-kafka", "msgspec")
    )
    return (
        f"{_processor()}, {os.cpu_count()} cores, {_memory_gb():.0f} GB; {platform.system()} {platform.release()}, "
        f"Python {platform.python_version()}, {libraries}; the broker runs on the same machine"
    )


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _memory_gb() -> float:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
