"""Alert rules: they use metrics that exist, and promtool holds them against time series."""

import re
import subprocess
from pathlib import Path

import pytest
import yaml
from prometheus_client import CollectorRegistry

from kpistream.metrics import NotifyMetrics, ReviewMetrics, SinkMetrics, WorkerMetrics
from tests.meta.files import promtool

RULES = Path(__file__).resolve().parents[2] / "deploy" / "prometheus" / "rules"
FILES = sorted(path for path in RULES.glob("*.yml") if not path.name.endswith(".test.yml"))


def exported() -> set[str]:
    """Names that the roles export."""
    roles = [CollectorRegistry() for _ in range(4)]
    WorkerMetrics(roles[0]), SinkMetrics(roles[1]), ReviewMetrics(roles[2]), NotifyMetrics(roles[3])
    names = set()
    for family in (family for registry in roles for family in registry.collect()):
        ends = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count")}.get(family.type, ("",))
        names |= {family.name + end for end in ends}
    return names


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_rules_use_metrics_that_are_exported(path: Path) -> None:
    rules = [rule for group in yaml.safe_load(path.read_text())["groups"] for rule in group["rules"]]
    used = {name for rule in rules for name in re.findall(r"\bkpistream_\w+", rule["expr"])}

    assert used and used <= exported()
    assert all({"summary", "description"} <= rule["annotations"].keys() for rule in rules)


@pytest.mark.promtool
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_rules_fire_when_they_should_and_not_otherwise(path: Path) -> None:
    told = path.with_name(f"{path.stem}.test.yml")
    program = promtool()
    assert program is not None

    for command in (("check", "rules", str(path)), ("test", "rules", str(told))):
        done = subprocess.run([program, *command], cwd=path.parent, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
