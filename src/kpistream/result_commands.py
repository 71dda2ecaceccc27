"""Result commands: what `kpistream report results` does, once its options are read."""

import json
from typing import Any

import click

from kpistream import service
from kpistream.commands import instant_ms
from kpistream.history.queries import Span
from kpistream.history.result_reports import result_rows, result_table
from kpistream.history.store import open_store


def results_command(*, store: str | None, target: str | None, as_json: bool, **options: Any) -> None:
    """`kpistream report results`."""
    location = service.load_config(store=store).store
    if not location:
        raise click.UsageError("say where history is: --store URL|DIR")
    zone = options["zone"]
    span = Span(instant_ms(options["from_"], zone), instant_ms(options["to"], zone), options["tenant"])
    with open_store(location) as history:
        rows = result_rows(history, span, target)
    if as_json:
        click.echo(json.dumps([row.as_json() for row in rows], ensure_ascii=False, indent=2))
    elif rows:
        click.echo(result_table(rows))
    else:
        click.echo("history holds no results of this span: kpistream review writes them", err=True)
