"""The files of the repository as git knows them: tracked ones, and new ones that are not ignored."""

import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
SOURCE: Final = ROOT / "src" / "kpistream"


@cache
def tracked() -> tuple[Path, ...]:
    """All files under version control that are there."""
    run = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True, text=True)
    return tuple(path for name in run.stdout.split("\0") if name and (path := ROOT / name).is_file())


@cache
def modules() -> tuple[Path, ...]:
    """All Python modules of the package."""
    return tuple(sorted(SOURCE.rglob("*.py")))


def shown(path: Path) -> str:
    """The path as seen from the root of the repository."""
    return path.relative_to(ROOT).as_posix()


def promtool() -> str | None:
    """The program: beside this Python, where `make live-tools` puts it, or on the path."""
    return _program("promtool")


def alertmanager() -> str | None:
    """Prometheus' Alertmanager, where `make live-tools` puts it, or on the path."""
    return _program("prometheus-alertmanager")


def _program(name: str) -> str | None:
    return shutil.which(name, path=os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", ""))))
