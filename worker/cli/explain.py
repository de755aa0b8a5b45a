"""``prediction-worker explain``."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

import click
from msgspec import structs

from worker.cli.running import fail, load_mappings, load_settings, print_json
from worker.contract import MessageError, Prediction, ReadingLimits, read_json, read_message
from worker.formats import Catalogue, OutputError
from worker.ontology import Interface, OntologyError, unknown_labels
from worker.projects.configuration import ProjectConfig
from worker.projects.outputs import ResultElsewhere, output_of, reading_of, rows_of
from worker.projects.responses import response_of
from worker.projects.results import ResultPlaces
from worker.review.decision import subject_of
from worker.settings.tree import Settings
from worker.wiring import policy_of, projects_of


def explain_message(
    settings: Settings, raw: bytes, interface: Interface | None, tried: Catalogue | None = None
) -> dict[str, Any]:
    """The format and why it was recognised, and per asset what was read, the json_response (when the interface is
    given), the confidence and the decision; ``result`` where the payload only points to it; or ``refused`` with field,
    problem and fix, and what was known by then. ``tried`` are mappings that are known beside the project's own.
    """
    found: dict[str, Any] = {}
    try:
        limits = ReadingLimits(settings.intake.max_message_bytes, settings.intake.max_depth)
        message = read_message(read_json(raw, limits))
        config = projects_of(settings).of(message.project_id or settings.default_project or "-")
        if tried is not None:
            config = config.with_mappings(
                tried if config.mappings is None else config.mappings.with_mappings(tried.mappings)
            )
        reading = reading_of(message, config)
        found |= {"format": reading.format, "why": reading.why, "predictions": []}
        for row in [message] if isinstance(message, Prediction) else rows_of(message, config):
            found["predictions"].append(about := {"external_id": row.external_id})
            _explain(settings, row, interface, config, about)
    except ResultElsewhere as elsewhere:
        found |= _elsewhere(settings, elsewhere)
    except (MessageError, OutputError, OntologyError) as error:
        if isinstance(error, OutputError) and error.format:
            found |= {"format": error.format, "why": error.why}
        found["refused"] = _refused(error)
    return found


def _elsewhere(settings: Settings, elsewhere: ResultElsewhere) -> dict[str, Any]:
    """Where the result would be read; nothing is read now."""
    try:
        address = ResultPlaces(settings.intake.result_places).address(elsewhere.location)
    except OutputError as error:
        return {"refused": _refused(error)}
    return {"result": {"location": elsewhere.location, "read_from": address}}


def _refused(error: MessageError | OutputError | OntologyError) -> dict[str, str]:
    return {"field": error.field, "problem": error.problem, "fix": error.fix}


def _explain(
    settings: Settings,
    prediction: Prediction,
    interface: Interface | None,
    config: ProjectConfig,
    about: dict[str, Any],
) -> None:
    output = output_of(prediction, config)
    project = prediction.project_id or settings.default_project or "-"
    subject = subject_of(prediction, output, project)
    about |= {"asset_id": subject.asset_id, "output": asdict(output), "confidence": subject.confidence}
    about["decision"] = structs.asdict(policy_of(settings).decide(subject))
    if interface is not None:
        about["json_response"] = response_of(prediction, interface, config)
        config = config.of_model(prediction.model.name, prediction.model.version)
        if (prediction.output.unknown_classes or config.unknown_classes) == "ignore":
            about["unknown_classes"] = unknown_labels(output, interface, config.categories)


MOST_ROWS = 20
"""Classes, objects, entities or frames that are shown of one output."""

_POINT = re.compile(r'{\s+"x": ([^,\s]+),\s+"y": ([^,\s]+)\s+}')


def explained_text(found: Mapping[str, Any]) -> str:
    """Write what ``explain_message`` found out, line by line."""
    return "\n".join(_lines(found)).strip("\n")


def _lines(found: Mapping[str, Any]) -> Iterator[str]:
    if "format" in found:
        yield f"format         {found['format']}"
        yield f"recognised as  {found['why']}"
    for prediction in found.get("predictions", ()):
        yield ""
        yield from _prediction(prediction)
    if "result" in found:
        result = found["result"]
        yield f"result         not sent along, it is at {result['location']}"
        yield f"read from      {result['read_from']}, when it is delivered"
    if "refused" in found:
        refused = found["refused"]
        yield from ("", f"REFUSED        {refused['field']}: {refused['problem']}", f"fix            {refused['fix']}")


def _prediction(prediction: Mapping[str, Any]) -> Iterator[str]:
    yield f"external_id    {prediction['external_id']}"
    if "output" not in prediction:
        return
    yield f"asset id       {prediction['asset_id']}"
    yield from _titled("output", _output(prediction["output"]))
    if prediction.get("unknown_classes"):
        names = [f"{name} ({count})" for name, count in prediction["unknown_classes"].items()]
        yield f"left out       classes without a category: {', '.join(names)}"
    if "json_response" in prediction:
        yield from _titled("json_response", _pretty(prediction["json_response"]))
    yield f"confidence     {_number(prediction['confidence'])}"
    decision = prediction["decision"]
    place = f"lane {decision['lane']}, priority {decision['priority']}"
    yield f"decision       {place}: {decision['reason']} ({decision['policy']}{_alone(decision)})"


def _alone(decision: Mapping[str, Any]) -> str:
    """A ranked decision depends on what else arrives, of which nothing is known here."""
    return ", as if it were the first prediction" if decision["percentile"] is not None else ""


def _titled(title: str, lines: Sequence[str]) -> Iterator[str]:
    for index, line in enumerate(lines):
        yield f"{title if index == 0 else '':<15}{line}"


def _output(output: Mapping[str, Any]) -> list[str]:
    lines = _answer(output["answer"])
    if output["job"]:
        lines[0] += f", for job {output['job']}"
    evidence = dict(output["evidence"])
    ignored = evidence.pop("ignored", [])
    if evidence:
        lines.append(f"beside it: {json.dumps(evidence, ensure_ascii=False)}")
    if ignored:
        lines.append(f"ignored: {', '.join(ignored)}")
    return lines


def _answer(answer: Mapping[str, Any]) -> list[str]:
    match answer:
        case {"kind": "classification", "scores": scores, "exclusive": exclusive}:
            choice = {True: " (one is right)", False: " (independent)", None: ""}[exclusive]
            return _table(f"classes{choice}", [f"{_number(one['score'])}  {one['label']}" for one in scores])
        case {"kind": "detection", "objects": objects}:
            return _table("objects", [_object(one) for one in objects])
        case {"kind": "entities", "entities": entities}:
            return _table("entities", [_entity(one) for one in entities])
        case {"kind": "transcription", "text": text, "score": score}:
            shown = text.replace("\n", "\\n")
            return ["text", f"  {_number(score)}  {shown}"]
        case {"kind": "frames", "frames": frames}:
            return _table("frames", [f"{one['index']}: {'; '.join(_answer(one['answer']))}" for one in frames])
        case {"kind": "nothing"}:
            return ["nothing was found"]
        case {"kind": "either", "answers": answers}:
            return [*_answer(answers[0]), "or, where the project asks for it:", *_answer(answers[1])]
        case {"kind": "several", "answers": answers}:
            return _table("jobs", [f"{name}: {'; '.join(_answer(one))}" for name, one in answers.items()])
        case _:
            return ["a json_response of Kili"]


def _table(what: str, rows: Sequence[str]) -> list[str]:
    more = [f"  … {len(rows) - MOST_ROWS} more"] if len(rows) > MOST_ROWS else []
    return [f"{what}: {len(rows)}", *(f"  {row}" for row in rows[:MOST_ROWS]), *more]


def _object(item: Mapping[str, Any]) -> str:
    points = [point for ring in item["shape"]["rings"] for point in ring]
    xs, ys = zip(*points, strict=True)
    corners = " ".join(f"{value:.3g}" for value in (min(xs), min(ys), max(xs), max(ys)))
    tool = f"{item['shape']['tool']} of {len(points)} points within {corners}"
    return f"{_number(item['score'])}  {item['label']}  {tool}"


def _entity(item: Mapping[str, Any]) -> str:
    return f"{_number(item['score'])}  {item['label']}  {item['begin']} to {item['end']} {item['text']!r}"


def _number(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.3f}"


def _pretty(response: Mapping[str, Any]) -> list[str]:
    text = json.dumps(response, indent=2, ensure_ascii=False)
    return _POINT.sub(r'{"x": \1, "y": \2}', text).splitlines()


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
