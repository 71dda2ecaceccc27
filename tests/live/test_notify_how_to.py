"""The page on telling people, step by step as it stands, on a real Apache Kafka."""

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.live.broker import Broker, free_ports
from tests.live.system import KPISTREAM, ROOT, System

PAGE = (ROOT / "docs" / "how-to" / "notifications.md").read_text("utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.S | re.M)


def commands() -> list[tuple[str, list[str]]]:
    """Each command of the page, with what it prints."""
    out: list[tuple[str, list[str]]] = []
    for line in PAGE.splitlines():
        if line.startswith("    $ "):
            out.append((line[6:], []))
        elif line.startswith("    ") and out:
            out[-1][1].append(line[4:])
        elif line.strip():
            out.append(("", []))
    return [each for each in out if each[0].startswith("kpistream")]


def test_every_step_of_the_page(kafka: Broker, tmp_path: Path) -> None:
    port = str(free_ports(1)[0])
    receiver, make_calls = blocks("python")
    (tmp_path / "settings").mkdir()
    (tmp_path / "settings" / "settings.yaml").write_text(blocks("yaml")[0].replace("8099", port))
    (tmp_path / "receiver.py").write_text(receiver)
    os.environ["DESK_SECRET"] = "correct-horse-battery"
    output = tmp_path / "received"
    with output.open("wb") as file:
        server = subprocess.Popen([sys.executable, str(tmp_path / "receiver.py"), port], stdout=file)
    try:
        with System(kafka, tmp_path, settings=tmp_path / "settings") as system:
            worker, notify = system.worker(), system.notify()
            subprocess.run([sys.executable, "-c", make_calls], cwd=tmp_path, check=True)
            steps = commands()
            assert [step.split()[1] for step, _ in steps] == [
                *("check", "check", "worker", "notify", "load"),
                *("alerts", "alerts", "alerts", "alerts"),
            ]
            for step, printed in steps:
                words = step.split()
                if words[1] in ("worker", "notify"):
                    continue
                done = subprocess.run(
                    ["bash", "-c", step.replace("kpistream", KPISTREAM, 1)],
                    cwd=ROOT if "deploy/settings" in step else tmp_path,
                    env=system.environment(),
                    capture_output=True,
                    text=True,
                    timeout=120,
                )
                assert done.returncode == 0, (step, done.stdout, done.stderr)
                if words[1] == "load":
                    system.until("the message", lambda: "Acknowledge: " in output.read_text(), worker, notify)
                else:
                    assert done.stdout.splitlines() == printed, step
            worker.stop()
            notify.stop()
    finally:
        server.kill()
        server.wait()
        del os.environ["DESK_SECRET"]
    shown = PAGE.partition("The receiver prints:\n\n")[2].partition("\n\n## 5")[0]
    cut = ("Window", "Since", "Next", "How it is counted", "Owner of the target")
    lines = [re.sub(r"(call-\d+), \d\d:\d\d$", r"\1, 11:50", line) for line in output.read_text().splitlines()]
    received = [line for line in lines if line.partition(":")[0] not in cut]
    assert [line[4:] for line in shown.splitlines() if line != "    ..."] == received
