"""``prediction-worker formats`` and ``schema``: what a message may hold."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from worker import __version__
from worker.cli.running import fail, load_mappings, load_settings, print_json

if TYPE_CHECKING:
    from worker.formats import Catalogue


_FILES = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.group()
def formats() -> None:
    """List the formats of payloads, and test mappings (formats that are data)."""


@formats.command(name="list")
@click.option("--mapping", type=_FILES, help="A file of mappings to list, too.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_formats(mapping: Path | None, as_json: bool) -> None:
    """List every format: built in, of other packages, mappings that are shipped, and your own.

    Exits 1 when a format of another package could not be loaded.
    """
    from worker.formats.registry import plugins

    rows = _rows(load_mappings(mapping) if mapping else _configured())
    problems = plugins().problems
    if as_json:
        print_json({"formats": rows, "problems": problems})
    else:
        width = max(len(row["name"]) for row in rows)
        click.echo("\n".join(f"{row['name']:<{width}}  {row['origin']:<8}  {row['title']}" for row in rows))
        click.echo(f"\n{len(rows)} formats")
    for name, problem in problems.items():
        click.echo(f"not loaded: {name}: {problem}", err=True)
    if problems:
        raise SystemExit(1)


@formats.command()
@click.argument("files", nargs=-1, type=_FILES)
@click.option("--only", metavar="WORD", help="Mappings whose name holds the word.")
def test(files: tuple[Path, ...], only: str | None) -> None:
    """Run the tests that stand beside the mappings in FILES; without FILES those that are shipped and your own.

    A test says of a payload what must be read from it (expect), or what its refusal must say (refused). Exits 1 when
    one fails, and for a mapping without a test.
    """
    from worker.formats.mappings import SHIPPED, MappingError, shipped
    from worker.formats.mappings.examples import read_examples, run_tests

    catalogue = shipped() if files else _configured()
    for file in files:
        catalogue = catalogue.with_mappings(load_mappings(file).mappings)
    names = [name for name in catalogue.mappings if not files or name not in shipped().mappings]
    beside = (
        {} if files else {key: one for path in SHIPPED.glob("*.tests.toml") for key, one in read_examples(path).items()}
    )
    failed = count = 0
    try:
        for one in run_tests(catalogue, [name for name in names if not only or only in name], beside):
            count, failed = count + 1, failed + bool(one.problem)
            click.echo(
                f"FAILED  {one.mapping}, {one.name}: {one.problem}"
                if one.problem
                else f"ok      {one.mapping}, {one.name}"
            )
    except MappingError as error:
        fail(str(error))
    click.echo(f"{count - failed} of {count} passed")
    if failed or not count:
        raise SystemExit(1)


def _configured() -> Catalogue:
    """The mappings that the settings' projects file knows, else those that are shipped."""
    from worker.formats.mappings import shipped
    from worker.wiring import projects_of

    return projects_of(load_settings()).of("*").mappings or shipped()


def _rows(catalogue: Catalogue) -> list[dict[str, Any]]:
    from worker.formats import FAMILIES, formats
    from worker.formats.mappings import shipped

    def origin(name: str) -> str:
        if name in FAMILIES:
            return "built in"
        if name in shipped().mappings:
            return "mapping"
        return "yours" if name in catalogue.mappings else "plugin"

    return [{"name": name, "origin": origin(name), "title": one.title} for name, one in formats(catalogue).items()]


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
