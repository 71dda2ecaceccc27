"""Writes the pages of this folder that are made from the code. A test holds that both agree.

Run it with `make reference`.
"""

import importlib.util
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import click
from prometheus_client import CollectorRegistry
from prometheus_client.metrics import MetricWrapperBase

from kpistream.cli import cli
from kpistream.config import Config
from kpistream.core.alert_pages import alerts_page
from kpistream.core.event_pages import events_page
from kpistream.core.pages import kpis_page
from kpistream.log.topics import Topics
from kpistream.metrics import NotifyMetrics, ReviewMetrics, SinkMetrics, WorkerMetrics

_HEAD = "<!-- made by `make reference`; do not edit -->\n"


def pages() -> dict[str, str]:
    """Text of every generated page, by its path below `docs/reference/`."""
    return {
        "events.md": events_page(),
        "kpis.md": kpis_page(),
        "alerts.md": alerts_page(),
        "cli.md": cli_page(),
        "configuration.md": configuration_page(),
        "metrics.md": metrics_page(),
        "topics.md": topics_page(),
        "faults.md": _beside("faults").faults_page(_HEAD),
    }


def _beside(name: str) -> Any:
    """The module of this folder, which is no package."""
    spec = importlib.util.spec_from_file_location(f"reference_{name}", Path(__file__).with_name(f"{name}.py"))
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def cli_page() -> str:
    """Help of every command, as the command line prints it."""
    parts = [_HEAD, "# Command line\n"]
    for path, command in _commands("kpistream", cli):
        context = click.Context(command, info_name=path, max_content_width=100, terminal_width=100)
        parts.append(f"## {path}\n\n```\n{command.get_help(context)}\n```\n")
    return "\n".join(parts)


def _commands(path: str, command: click.Command) -> Iterator[tuple[str, click.Command]]:
    yield path, command
    if isinstance(command, click.Group):
        for name in command.list_commands(click.Context(command)):
            yield from _commands(f"{path} {name}", command.commands[name])


def configuration_page() -> str:
    """Every setting with its variable, default and meaning."""
    rows = [
        f"| `KPISTREAM_{each.name.upper()}` | `{each.default!r}` | {each.metadata['help']} |" for each in fields(Config)
    ]
    return "\n".join(
        [
            _HEAD,
            "# Configuration\n",
            "Settings come from environment variables; options of the command line win. A variable with `_FILE` behind "
            "its name names a file that holds the value, for secrets.\n",
            "| variable | default | meaning |",
            "| --- | --- | --- |",
            *rows,
            "",
        ]
    )


def metrics_page() -> str:
    """Every Prometheus metric of every role."""
    parts = [_HEAD, "# Metrics\n", "Each role serves them at `/metrics` on its metrics port.\n"]
    makers = {"worker": WorkerMetrics, "sink": SinkMetrics, "review": ReviewMetrics, "notify": NotifyMetrics}
    for role, make in makers.items():
        registry = CollectorRegistry()
        metrics = make(registry)
        labels = {m._name: m._labelnames for m in vars(metrics).values() if isinstance(m, MetricWrapperBase)}
        parts += [f"## {role}\n", "| metric | type | labels | meaning |", "| --- | --- | --- | --- |"]
        for family in registry.collect():
            name = family.name + ("_total" if family.type == "counter" else "")
            listed = ", ".join(labels.get(family.name, ())) or "-"
            parts.append(f"| `{name}` | {family.type} | {listed} | {family.documentation} |")
        parts.append("")
    return "\n".join(parts)


def topics_page() -> str:
    """Every topic with what it must be configured to."""
    parts = [
        _HEAD,
        "# Topics\n",
        "`kpistream topics apply` makes them and `kpistream topics verify` checks them. `as events` means: as many "
        "partitions as the events topic, which may never change. All have `unclean.leader.election.enable=false`, and "
        "`min.insync.replicas=2` where there is more than one replica.\n",
        "| topic | partitions | settings | holds |",
        "| --- | --- | --- | --- |",
    ]
    for spec in Topics().specs():
        settings = ", ".join(f"`{key}={value}`" for key, value in spec.config)
        parts.append(f"| `{spec.name}` | {'as events' if spec.co_partitioned else '1'} | {settings} | {spec.meaning} |")
    return "\n".join([*parts, ""])


if __name__ == "__main__":
    for name, text in pages().items():
        (Path(__file__).parent / name).write_text(text, encoding="utf-8")
