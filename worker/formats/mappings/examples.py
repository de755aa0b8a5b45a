"""Run the tests that stand beside mappings: what is read from a payload against what must be."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from worker.contract.output import (
    Answer,
    Classification,
    DetectedObject,
    Detection,
    Either,
    Entities,
    Frames,
    ModelOutput,
    Nothing,
    OutputError,
    Several,
    Transcription,
)
from worker.formats.mappings.catalogue import Catalogue
from worker.formats.mappings.mapping import MappingError, MappingExample, parse_examples
from worker.formats.options import ReadOptions
from worker.formats.reader import read_payload

NEAR = 0.001
"""How far numbers may differ."""


@dataclass(frozen=True, slots=True)
class ExampleResult:
    """One test of a mapping; ``problem`` is empty when it passed."""

    mapping: str
    name: str
    problem: str


def run_tests(
    catalogue: Catalogue, names: Sequence[str], beside: Mapping[str, Sequence[MappingExample]]
) -> Iterator[ExampleResult]:
    """Run the tests of these mappings: their own, and those that ``beside`` holds."""
    for name in names:
        examples = (*catalogue.mappings[name].tests, *beside.get(name, ()))
        if not examples:
            yield ExampleResult(name, "", "has no test: add [[formats." + name + ".tests]] with payload and expect")
        for i, example in enumerate(examples):
            yield ExampleResult(name, example.name or f"test {i + 1}", _problem(name, example, catalogue))


def read_examples(path: Path) -> dict[str, tuple[MappingExample, ...]]:
    """Read a file of tests alone, ``[[formats.NAME.tests]]``; raises MappingError."""
    tables = tomllib.loads(path.read_text("utf-8")).get("formats", {})
    for name, table in tables.items():
        if table.keys() != {"tests"}:
            raise MappingError(name, "", f"{path.name} holds tests alone")
    return {name: parse_examples(name, table["tests"]) for name, table in tables.items()}


def _problem(name: str, example: MappingExample, catalogue: Catalogue) -> str:
    """What is wrong; the payload must be recognised without naming the format."""
    try:
        reading = read_payload(example.payload, options_of(example, catalogue))
    except OutputError as error:
        if example.refused and example.refused.casefold() in str(error).casefold():
            return ""
        return f"refused: {error}"
    if example.refused:
        return f"was read, but must be refused with {example.refused!r}"
    in_rows = [output.evidence.get("mapping") for output in reading.outputs]
    if name not in (*reading.format.split("/"), *in_rows):
        return f"was read as {reading.format}"
    found = [summary(output) for output in reading.outputs]
    expected = example.expect if isinstance(example.expect, list) else [example.expect]
    return difference(found, expected, "")


def options_of(example: MappingExample, catalogue: Catalogue) -> ReadOptions:
    """An example's options; raises MappingError for one that there is not."""
    known = {one.name for one in fields(ReadOptions)}
    unknown = example.options.keys() - known
    if unknown:
        raise MappingError("*", "tests.options", f"there is no option {min(unknown)}")
    options = dict(example.options)
    if "image_size" in options:
        options["image_size"] = tuple(options["image_size"])
    return ReadOptions(**options, mappings=catalogue)


def summary(output: ModelOutput) -> dict[str, Any]:
    """An output in the notation of tests: one answer, and ``external_id`` and ``job`` where they are set."""
    fields = {"external_id": output.external_id, "job": output.job}
    return _answer(output.answer) | {key: value for key, value in fields.items() if value}


def _answer(answer: Answer) -> dict[str, Any]:
    match answer:
        case Classification(scores):
            return {"scores": {one.label: one.score for one in scores}}
        case Detection(objects):
            return {"objects": [_object(one) for one in objects]}
        case Entities(entities):
            keys = ("label", "begin", "end", "text", "score")
            return {"entities": [{key: getattr(one, key) for key in keys} for one in entities]}
        case Transcription(text, score):
            return {"text": text, "score": score}
        case Frames(frames):
            return {"frames": [{"index": frame.index} | _answer(frame.answer) for frame in frames]}
        case Several(answers):
            return {"jobs": {name: _answer(one) for name, one in answers.items()}}
        case Either(answers):
            return _answer(answers[0]) | {"either": [_answer(one) for one in answers]}
        case Nothing():
            return {"nothing": True}
    return {"json_response": answer.json_response}


def _object(one: DetectedObject) -> dict[str, Any]:
    points = [point for ring in one.shape.rings for point in ring]
    xs, ys = [x for x, _ in points], [y for _, y in points]
    fields: dict[str, Any] = {"label": one.label, "score": one.score, "tool": one.shape.tool}
    fields["box"] = [min(xs), min(ys), max(xs), max(ys)]
    fields["points"] = dict(zip(one.shape.point_names, map(list, points), strict=False)) or [list(p) for p in points]
    return fields


def difference(found: Any, expected: Any, at: str) -> str:
    """Where what was found differs from what is expected; keys that are not expected are not looked at."""
    if isinstance(expected, Mapping) and isinstance(found, Mapping):
        return _differing_object(found, expected, at)
    if isinstance(expected, list) and isinstance(found, list) and len(expected) == len(found):
        pairs = zip(found, expected, strict=True)
        return next((text for i, (a, b) in enumerate(pairs) if (text := difference(a, b, f"{at}[{i}]"))), "")
    if _same(found, expected):
        return ""
    return f"{at or 'answer'}: expected {expected!r}, found {found!r}"


def _differing_object(found: Mapping[str, Any], expected: Mapping[str, Any], at: str) -> str:
    if at.endswith(".scores") and found.keys() != expected.keys():
        return f"{at}: expected {list(expected)}, found {list(found)}"
    for key, value in expected.items():
        if key not in found:
            return f"{at}.{key}: missing; there is {', '.join(found) or 'nothing'}"
        if text := difference(found[key], value, f"{at}.{key}"):
            return text
    return ""


def _same(found: Any, expected: Any) -> bool:
    numbers = [isinstance(value, int | float) and not isinstance(value, bool) for value in (found, expected)]
    return math.isclose(found, expected, rel_tol=0, abs_tol=NEAR) if all(numbers) else bool(found == expected)
