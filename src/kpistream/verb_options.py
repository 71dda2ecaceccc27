"""Verb options: what many verbs of the command line take alike."""

import click

broker = click.option("--broker", metavar="HOST:PORT", help="Kafka bootstrap servers.")
store = click.option("--store", metavar="URL|DIR", help="ClickHouse URL, or directory of the embedded engine.")
