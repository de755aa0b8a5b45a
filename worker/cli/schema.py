"""``prediction-worker schema``."""

from __future__ import annotations

import click

from worker import __version__
from worker.cli.loading import load_settings, print_json


@click.command()
@click.option("--asyncapi", is_flag=True, help="Print the AsyncAPI document instead of the JSON Schema.")
def schema(asyncapi: bool) -> None:
    """Print the message contract as JSON Schema, or as an AsyncAPI 3 document."""
    from worker.contract import asyncapi_document, json_schema

    if asyncapi:
        intake = load_settings().intake
        print_json(asyncapi_document(version=__version__, queue=intake.queue, inbox=intake.inbox))
    else:
        print_json(json_schema())
