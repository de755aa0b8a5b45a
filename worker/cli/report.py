"""``prediction-worker report``."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import click
import redis

from worker.cli.running import OutputFile, OutputPlace, fail, load_settings, print_json, start_logging, traced
from worker.feedback.messages import Links
from worker.feedback.reading import KiliReader
from worker.feedback.report_data import disagreements
from worker.feedback.service import Feedback, Observers
from worker.kili import KiliError
from worker.kili.interfaces import interface_of
from worker.projects.configuration import review_gaps, review_text
from worker.reports.gallery import Exhibit, export_rows, fetch_exhibits, varied
from worker.reports.page import INDEX, folder, page
from worker.reports.text import text
from worker.settings.tree import Settings
from worker.wiring import access_of, budget_of, feedback_of, file_rules_of, kili_of, named_projects, spool_of

LISTED = 200
FILE = OutputFile()
PLACE = OutputPlace()


@dataclass(frozen=True, slots=True)
class Opened:
    """A project's feedback with what it reads from."""

    settings: Settings
    title: str
    reader: KiliReader
    feedback: Feedback


@click.command()
@click.option("--project", help="Project id; the default project, or the only one known, if left out.")
@click.option("--days", type=click.FloatRange(min=0, min_open=True), help="How far back the report looks.")
@click.option("--json", "as_json", is_flag=True, help="Print the report data as JSON.")
@click.option(
    "--html", type=PLACE, help="Write one self-contained page; into a folder (PATH/) one for each model version."
)
@click.option("--export", type=click.File("w", encoding="utf-8"), help="Write answered predictions as JSON Lines.")
@click.option("--gallery", type=click.IntRange(0), default=40, show_default=True, help="Disagreements shown.")
@click.option("--acknowledge", metavar="ALARM", help="Accept an alarm: its detector starts again from now.")
@click.option("--rebuild", is_flag=True, help="Remove what was collected and read it from Kili again.")
@click.option("--collect/--no-collect", default=True, help="First read the new labels from Kili.")
def report(
    project: str | None,
    days: float | None,
    as_json: bool,
    html: Path | None,
    export: IO[str] | None,
    gallery: int,
    acknowledge: str | None,
    rebuild: bool,
    collect: bool,
) -> None:
    """Show how often the model agrees with the humans on live traffic, where it does not, and whether it drifts."""
    with opened(project) as found, readable_errors():
        if acknowledge is not None:
            _acknowledge(found.feedback, acknowledge)
        if rebuild or collect:
            _collect(found.feedback, rebuild=rebuild)
        report_data = found.feedback.report_data(days)
        _print(found, report_data, as_json=as_json)
        if html is not None:
            _write(html, report_data, found.title, found.feedback.links, _exhibits(found, gallery))
        if export is not None:
            _export(found, export)


def _write(place: Path, report_data: dict[str, Any], title: str, links: Links, shown: list[Exhibit]) -> None:
    if not place.is_dir():
        place.write_text(page(report_data, title, links, shown), "utf-8")
        click.echo(f"page written: {place}", err=True)
        return
    written = folder(report_data, title, links, shown)
    for name, content in written.items():
        (place / name).write_text(content, "utf-8")
    click.echo(f"{len(written)} pages written: {place / INDEX}", err=True)


@contextmanager
def opened(project: str | None) -> Iterator[Opened]:
    """Open the feedback of a project, named or found; errors end the command with words."""
    settings = load_settings()
    start_logging(settings)
    spool = spool_of(settings)
    with readable_errors(), traced(settings) as tracer:
        observers = Observers(evaluated=tracer.evaluated if settings.traces.enabled else None)
        budget = budget_of(settings, spool)
        name = project or settings.default_project or _only(named_projects(spool))
        kili = kili_of(settings, budget)
        reader = KiliReader(access_of(settings), budget=budget, files=file_rules_of(settings))
        try:
            found = kili.project_interface(name)
            interface = interface_of(found)
            feedback = feedback_of(settings, spool, name, reader, interface, observers=observers)
            yield Opened(settings, found.title or name, reader, feedback)
        finally:
            kili.close()
            reader.close()


@contextmanager
def readable_errors() -> Iterator[None]:
    """Turn the errors of Kili, Redis and the settings into words."""
    try:
        yield
    except KiliError as error:
        fail(f"Kili: {error}")
    except redis.RedisError as error:
        fail(f"Redis cannot be asked: {error}")
    except ValueError as error:
        fail(str(error))


def _only(projects: list[str]) -> str:
    if len(projects) != 1:
        raise ValueError(f"{len(projects)} projects are known: name one with --project")
    return projects[0]


def _acknowledge(feedback: Feedback, alarm: str) -> None:
    feedback.acknowledge(alarm)
    click.echo(f"acknowledged: {alarm}", err=True)


def _collect(feedback: Feedback, *, rebuild: bool) -> None:
    result = feedback.rebuild() if rebuild else feedback.collect()
    if not result.complete:
        click.echo("another process collects this project now; the figures are of what it has so far", err=True)


def _print(found: Opened, report_data: dict[str, Any], *, as_json: bool) -> None:
    rows = disagreements(found.feedback.store.records())
    if as_json:
        known = {"project": found.feedback.project, "title": found.title, **report_data}
        print_json({**known, "disagreements": rows[:LISTED]})
    else:
        click.echo(text(report_data, found.title, rows))
        _print_missing(found.settings, report_data)


def _print_missing(settings: Settings, report_data: dict[str, Any]) -> None:
    """Where agreement is unknown: which policy is in force, and what it takes to know."""
    if all(model["agreement"]["value"] is not None for model in report_data["models"]) and report_data["models"]:
        return
    click.echo(f"review: {review_text(settings.review)}")
    gaps = list(review_gaps(settings.review))
    for problem, fix in gaps:
        click.echo(f"WARNING {problem}; {fix}")
    if not gaps:
        click.echo("the agreement of live traffic is known once people have labeled assets of the audit sample")


def _exhibits(found: Opened, count: int) -> list[Exhibit]:
    rows = varied(disagreements(found.feedback.store.records()), count)
    assets = found.reader.assets(found.feedback.project, sorted({row["asset_id"] for row in rows}))
    return fetch_exhibits(rows, assets, access_of(found.settings))


def _export(found: Opened, file: IO[str]) -> None:
    rows = export_rows(found.feedback.store.records(), found.reader, found.feedback.project)
    count = 0
    for row in rows:
        file.write(json.dumps(row, ensure_ascii=False) + "\n")
        count += 1
    click.echo(f"{count} answered predictions written: {file.name}", err=True)
