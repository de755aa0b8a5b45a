"""``prediction-worker explain``."""

from __future__ import annotations

from pathlib import Path
from typing import IO

import click

from worker.cli.loading import fail, load_mappings, load_settings, print_json

STDIN = "<stdin>"


@click.command()
@click.argument("file", type=click.File("rb"))
@click.option(
    "--interface", type=click.File("rb"), help="A project's jsonInterface as JSON, to show the json_response."
)
@click.option("--input-type", default="IMAGE", show_default=True, help="The project's input type, with --interface.")
@click.option("--labeling-crs", help="The project's geospatialSettings.labelingCRSCode (PIXEL), with --interface.")
@click.option(
    "--mapping", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="A file of mappings to try."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def explain(
    file: IO[bytes],
    interface: IO[bytes] | None,
    input_type: str,
    labeling_crs: str | None,
    mapping: Path | None,
    as_json: bool,
) -> None:
    """Show how the message in FILE would be handled; send nothing.

    Prints the format and why it was recognised, what was read, the json_response, the confidence and the review
    decision; exits 1 when the message would become a dead letter.
    """
    from worker.cli.explained import explain_message, explained_text
    from worker.ontology import Interface, InterfaceError

    if interface is not None and all(getattr(one, "name", STDIN) == STDIN for one in (file, interface)):
        raise click.UsageError("FILE and --interface cannot both be standard input")
    try:
        known = Interface.parse(interface.read().decode(), input_type, labeling_crs) if interface else None
    except (InterfaceError, UnicodeDecodeError) as error:
        fail(f"--interface: {error}")
    except RecursionError:
        fail("--interface: nested too deeply")
    tried = load_mappings(mapping) if mapping else None
    found = explain_message(load_settings(), file.read(), known, tried)
    if as_json:
        print_json(found)
    else:
        click.echo(explained_text(found))
    if "refused" in found:
        raise SystemExit(1)
