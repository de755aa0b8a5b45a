"""``prediction-worker explain``."""

from __future__ import annotations

import json
from typing import IO, Any

import click

from worker.cli.loading import load_settings, print_json


@click.command()
@click.argument("file", type=click.File("rb"))
@click.option(
    "--interface", type=click.File("rb"), help="A project's jsonInterface as JSON, to show the json_response."
)
@click.option("--input-type", default="IMAGE", help="The project's input type, with --interface.")
def explain(file: IO[bytes], interface: IO[bytes] | None, input_type: str) -> None:
    """Show what would become of the message in FILE: what was read, the json_response, the decision. Sends nothing."""
    from worker.explaining import explain_message

    given = json.load(interface) if interface else None
    found: dict[str, Any] = explain_message(load_settings(), file.read(), given, input_type)
    print_json(found)
    if "refused" in found:
        raise SystemExit(1)
