"""Command line: verbs for platform engineers, operators and supervisors.

Tables go to stdout, talk to stderr, `--json` for machines. Exit 0: fine; 1: a problem was found; 2: wrong
usage. Every command takes its settings from `KPISTREAM_*` variables; options win.
"""

import asyncio
import logging
import os
import sys
from collections.abc import Coroutine
from importlib.metadata import version
from pathlib import Path
from typing import Any

import click

from kpistream import config as configuration
from kpistream.errors import ConfigError, EventRejected, KpistreamError, SinkUnavailable

_LOG_FORMAT = "%(asctime)s %(levelname)s %(name)s %(message)s"


def main() -> None:
    """Entry point of the `kpistream` command."""
    try:
        code = cli.main(standalone_mode=False)
    except click.exceptions.Exit as stop:
        code = stop.exit_code
    except click.ClickException as error:
        error.show()
        code = 2
    except click.Abort:
        code = 130
    except ConfigError as error:
        for fault in error.faults:
            click.echo(f"error: {fault}", err=True)
        code = 2
    except (EventRejected, SinkUnavailable, KpistreamError) as error:
        click.echo(f"error: {error}", err=True)
        code = 1
    sys.stdout.flush()
    sys.exit(code or 0)


class _Ordered(click.Group):
    """Commands in the order of their definition: the order in which a newcomer meets them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names in order of definition."""
        return list(self.commands)


@click.group(cls=_Ordered, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(version("kpistream"), prog_name="kpistream")
@click.option("--verbose", "-v", is_flag=True, help="Log what happens in each batch.")
def cli(verbose: bool) -> None:
    """Live, exact, explainable KPIs per agent from call, deal and survey events."""
    logging.basicConfig(level=logging.DEBUG if verbose else logging.INFO, format=_LOG_FORMAT, stream=sys.stderr)
    if not verbose:
        for noisy in ("faust", "mode", "aiokafka", "asyncio"):
            logging.getLogger(noisy).setLevel(logging.WARNING)


def _config(**overrides: Any) -> configuration.Config:
    return configuration.load(os.environ, **overrides)


def _run(work: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(work)


_broker = click.option("--broker", metavar="HOST:PORT", help="Kafka bootstrap servers.")
_store = click.option("--store", metavar="URL|DIR", help="ClickHouse URL, or directory of the embedded engine.")
