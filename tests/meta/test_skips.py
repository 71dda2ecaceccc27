"""What cannot run says so loudly, and fails where it must run."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def run_without_java(tmp_path: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "tests/live/test_broker.py", "-p", "no:cacheprovider"]
    clean = {name: value for name, value in os.environ.items() if name not in ("CI", "PYTEST_ADDOPTS")}
    return subprocess.run(
        command,
        cwd=ROOT,
        env={**clean, "PATH": str(tmp_path), **environment},
        capture_output=True,
        text=True,
        timeout=300,
    )


def test_without_java_the_run_passes_and_ends_with_a_list_and_the_command(tmp_path: Path) -> None:
    run = run_without_java(tmp_path)

    assert run.returncode == 0, run.stdout
    assert "2 TESTS DID NOT RUN" in run.stdout
    assert "make live-tools" in run.stdout
    assert "tests/live/test_broker.py::test_killed_broker_comes_back" in run.stdout


def test_under_ci_a_skipped_live_test_is_a_failure(tmp_path: Path) -> None:
    run = run_without_java(tmp_path, CI="true")

    assert run.returncode == 1, run.stdout
    assert "2 errors" in run.stdout
    assert "skipped under CI=true" in run.stdout
