"""``prediction-worker evaluate``."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

import click
import redis

from worker.cli.report import FILE, readable_errors
from worker.cli.running import fail, load_settings, print_json, start_logging
from worker.contract import MessageError, Prediction, ReadingLimits, read_json, read_message
from worker.delivery.bisect import DeliveryClients, send_each
from worker.feedback.messages import Links
from worker.feedback.reading import KiliReader, ReadAsset
from worker.formats import OutputError
from worker.kili import CallBudget, KiliClient, NewLabel, ProjectInterface
from worker.kili.interfaces import interface_of
from worker.ontology import Interface, OntologyError
from worker.projects.outputs import output_of, rows_of
from worker.projects.responses import response_of
from worker.reports.evaluation import Candidate, Examination, evaluation_of, text
from worker.reports.gallery import Exhibit, fetch_exhibits, varied
from worker.reports.page import page
from worker.review import own_confidence
from worker.settings.tree import Settings
from worker.wiring import access_of, budget_of, file_rules_of, kili_of, projects_of, spool_of

BATCH = 100
SHOWN = 40


@dataclass(slots=True)
class Given:
    """What a file holds: predictions by external id, and the lines that cannot be used, with why."""

    responses: dict[str, tuple[dict[str, Any], float | None]] = field(default_factory=dict)
    refused: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Evaluating:
    """One evaluation under way."""

    settings: Settings
    project: str
    model: str
    kili: KiliClient
    prober: KiliClient
    reader: KiliReader
    found: ProjectInterface
    interface: Interface


@click.command()
@click.argument("file", type=click.File("rb"))
@click.option("--project", required=True, help="Project id.")
@click.option("--model", required=True, metavar="NAME:VERSION", help="The model version that made the predictions.")
@click.option(
    "--upload/--no-upload", default=True, help="Write INFERENCE labels to Kili, or compute agreement here only."
)
@click.option("--wait", type=click.FloatRange(0), default=60.0, show_default=True, help="Seconds to wait for marks.")
@click.option("--fail-under", type=click.FloatRange(0, 1), help="Exit with 1 when the agreement is lower.")
@click.option("--strict", is_flag=True, help="Compare the lower bound of the interval with --fail-under.")
@click.option("--json", "as_json", is_flag=True, help="Print the report data as JSON.")
@click.option("--html", type=FILE, help="Write one self-contained page.")
def evaluate(
    file: IO[bytes],
    project: str,
    model: str,
    upload: bool,
    wait: float,
    fail_under: float | None,
    strict: bool,
    as_json: bool,
    html: Path | None,
) -> None:
    """Compare the predictions in FILE with assets that humans have already labeled.

    FILE has one prediction a line, as a message; project, model and time may be left out. Exits with 1
    when the agreement is below --fail-under, or when nothing can be evaluated.
    """
    settings = load_settings()
    start_logging(settings)
    with readable_errors():
        running = _begin(settings, project, model)
        given = _read(file, running)
        examined = Examination(project, model, running.interface, _located(running, given))
        assets = running.reader.assets(project, list(examined.candidates))
        if upload:
            given.refused += _upload(running, examined, {asset.id for asset in assets})
            assets = examined.await_marks(running.reader, patience=wait)
        result = evaluation_of(examined, assets)
        result["refused"] = given.refused
        if html is not None:
            html.write_text(_page(running, result, assets), "utf-8")
    print_json(result) if as_json else click.echo(text(result, len(given.refused)))
    for line in given.refused[:10]:
        click.echo(f"refused: {line}", err=True)
    _judge(result, fail_under, strict)


def _begin(settings: Settings, project: str, model: str) -> Evaluating:
    if model.count(":") < 1 or not all(model.rpartition(":")[::2]):
        raise click.UsageError(f"--model: {model!r} is not NAME:VERSION")
    budget = _budget(settings)
    kili = KiliClient(access_of(settings), budget=budget) if budget is None else kili_of(settings, budget)
    prober = kili if budget is None else kili_of(settings, budget, attempts=1)
    found = kili.project_interface(project)
    interface = interface_of(found)
    reader = KiliReader(access_of(settings), budget=budget, files=file_rules_of(settings))
    return Evaluating(settings, project, model, kili, prober, reader, found, interface)


def _budget(settings: Settings) -> CallBudget | None:
    """The fleet's call budget; none where there is no Redis to share it, as in the tests of a model."""
    spool = spool_of(settings)
    try:
        spool.redis.ping()
    except redis.RedisError:
        click.echo("no Redis: the calls of this command are not counted with the workers'", err=True)
        return None
    return budget_of(settings, spool)


def _read(file: IO[bytes], running: Evaluating) -> Given:
    given = Given()
    for number, line in enumerate(file, 1):
        if not line.strip():
            continue
        try:
            for one in _predictions(line, running):
                given.responses[one.external_id] = _response(one, running)
        except (MessageError, OutputError, OntologyError) as error:
            given.refused.append(f"line {number}: {error.field} {error.problem}; {error.fix}")
    return given


def _predictions(line: bytes, running: Evaluating) -> Iterator[Prediction]:
    limits = ReadingLimits(running.settings.intake.max_message_bytes, running.settings.intake.max_depth)
    value = read_json(line, limits)
    if isinstance(value, dict):
        name, _, version = running.model.rpartition(":")
        about = {"schema": "prediction/v1", "predicted_at": datetime.now(UTC).isoformat()}
        value = {**about, **value, "project_id": running.project, "model": {"name": name, "version": version}}
    message = read_message(value)
    config = projects_of(running.settings).of(running.project)
    yield from [message] if isinstance(message, Prediction) else rows_of(message, config)


def _response(one: Prediction, running: Evaluating) -> tuple[dict[str, Any], float | None]:
    config = projects_of(running.settings).of(running.project)
    confidence = one.confidence if one.confidence is not None else own_confidence(output_of(one, config))
    return response_of(one, running.interface, config), confidence


def _located(running: Evaluating, given: Given) -> dict[str, Candidate]:
    """Predictions by the id of their asset; one without an asset keeps its name as id, one with several is refused."""
    found = running.kili.find_assets(running.project, list(given.responses))
    ids = {name: assets[0].id for name, assets in found.items()}
    several = {name: len(assets) for name, assets in found.items() if len(assets) > 1}
    given.refused += [f"{name}: {count} assets have this external_id" for name, count in several.items()]
    return {
        ids.get(name, name): Candidate(ids.get(name, name), name, response, confidence)
        for name, (response, confidence) in given.responses.items()
        if name not in several
    }


def _upload(running: Evaluating, examined: Examination, there: set[str]) -> list[str]:
    """Write INFERENCE labels, in the place of the model version's earlier ones; what was refused, with why."""
    labels = [
        NewLabel(one.asset_id, json.dumps(one.response, separators=(",", ":")), running.model)
        for one in examined.candidates.values()
        if one.asset_id in there
    ]

    def send(part: Sequence[NewLabel], client: KiliClient) -> None:
        client.append_labels(running.project, part)

    clients = DeliveryClients(running.kili, running.prober, threading.Event())
    refused: list[str] = []
    for start in range(0, len(labels), BATCH):
        sent = send_each(labels[start : start + BATCH], send, clients)
        sent.check()
        refused += [f"asset {label.asset_id}: {error}" for label, error in sent.refused]
    return refused


def _page(running: Evaluating, result: dict[str, Any], assets: Sequence[ReadAsset]) -> str:
    about = f"How often {running.model} agrees with the humans on {len(assets)} assets of the project"
    links = Links.of(running.settings.kili_api_endpoint, running.project)
    title = running.found.title or running.project
    return page(result, f"{title}: {running.model}", links, _exhibits(running, result, assets), about=about)


def _exhibits(running: Evaluating, result: dict[str, Any], assets: Sequence[ReadAsset]) -> list[Exhibit]:
    rows = varied(result["disagreements"], SHOWN)
    wanted = {row["asset_id"] for row in rows}
    return fetch_exhibits(rows, [asset for asset in assets if asset.id in wanted], access_of(running.settings))


def _judge(result: dict[str, Any], fail_under: float | None, strict: bool) -> None:
    if not result["models"]:
        fail("nothing could be evaluated: no prediction is for an asset with a human label")
    row = result["models"][0]["agreement"]
    reached = row["low"] if strict else row["value"]
    if fail_under is not None and reached < fail_under:
        name = "the lower bound of the agreement" if strict else "the agreement"
        fail(f"{name} is {100 * reached:.1f} %, less than {100 * fail_under:g} %")
