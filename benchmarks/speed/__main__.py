"""The command ``python -m benchmarks.speed``; a whole run puts its results into docs/benchmarks."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path

import click

from benchmarks import RESULTS
from worker.cli.running import fail, print_json

EXTRAS = ("graphql", "psutil", "starlette", "uvicorn")
PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")


@click.command()
@click.option("--quick", is_flag=True, help="A short run: fewer predictions, one repetition.")
@click.option("--section", "sections", multiple=True, help="Measure only this section, such as races; repeatable.")
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON; progress stays on standard error.")
@click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    help="A folder for the tables, the JSON and the pictures.",
)
def bench(quick: bool, sections: tuple[str, ...], as_json: bool, output: Path | None) -> None:
    """Measure this worker on this machine, beside the Kili SDK and a bare loop; no network, nothing left over.

    Redis and Kili are local processes. Settings in the environment (WORKER_…) apply to the workers that are measured,
    and the result names them. The SDK takes part where it is installed.
    """
    missing = [name for name in EXTRAS if importlib.util.find_spec(name) is None]
    if missing:
        fail(f"{missing[0]} is missing; install what the benchmarks need: make .venv/.dev")
    for name in (*PROXIES, *map(str.lower, PROXIES)):
        os.environ.pop(name, None)
    _run(quick, sections, as_json, output)


def _run(quick: bool, sections: tuple[str, ...], as_json: bool, output: Path | None) -> None:
    from benchmarks.speed import report
    from benchmarks.speed.figures import Figures
    from benchmarks.speed.plan import QUICK, WHOLE
    from benchmarks.speed.predictions import WrongState
    from benchmarks.speed.processes import ChildFailed
    from benchmarks.speed.suite import SECTIONS, run

    plan = QUICK if quick else WHOLE
    unknown = sorted(set(sections) - set(SECTIONS))
    if unknown:
        fail(f"no section {unknown[0]}; there are {', '.join(SECTIONS)}")
    if output is not None:
        output.mkdir(parents=True, exist_ok=True)
    try:
        figures = Figures(run(plan, lambda line: click.echo(line, err=True), sections), plan)
    except (WrongState, TimeoutError, ChildFailed) as error:
        fail(f"the bench cannot go on: {error}")
    if as_json:
        print_json(report.content(figures))
    else:
        click.echo(f"\n{report.text(figures)}")
    if output is not None:
        for path in report.write(figures, output):
            click.echo(f"written: {path}", err=True)


if __name__ == "__main__":
    for name in [name for name in os.environ if name.startswith("WORKER_")]:
        del os.environ[name]
    arguments = sys.argv[1:]
    bench([*arguments, *([] if "--quick" in arguments else ["--output", str(RESULTS)])])
