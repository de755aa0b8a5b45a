"""Every golden case as Kili gets it: a json_response beside each input, which the official SDK reads as meant."""

from __future__ import annotations

import json
from copy import deepcopy
from typing import TYPE_CHECKING, Any

import pytest
from format_cases import golden_cases, options_of, same
from golden_projects import job_name, key_of, project_for

from worker.formats import read_payload
from worker.ontology import Interface, to_json_response
from worker.sandbox.responses.reading import read_interface
from worker.sandbox.responses.validation import check_json_response

if TYPE_CHECKING:
    from kili.utils.labels.parsing import ParsedLabel

CASES = golden_cases()
EVERY_CASE = pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case['family']}: {case['name']}")


@EVERY_CASE
def test_an_official_payload_becomes_the_json_response_beside_it(case: dict[str, Any]) -> None:
    raw, input_type = project_for(case)
    interface = Interface.parse(raw, input_type)
    outputs = read_payload(case["payload"], options_of(case)).outputs
    responses = [to_json_response(output, interface, text=case["options"].get("text")) for output in outputs]
    assert same(responses, case["json_responses"]), responses


@EVERY_CASE
def test_the_local_kili_takes_it(case: dict[str, Any]) -> None:
    raw, input_type = project_for(case)
    interface = read_interface(json.dumps(raw), input_type)
    for response in case["json_responses"]:
        check_json_response(json.dumps(response), interface, text=case["options"].get("text"))


@EVERY_CASE
def test_the_official_sdk_reads_what_the_model_said(case: dict[str, Any]) -> None:
    from kili.utils.labels.parsing import ParsedLabel

    raw, input_type = project_for(case)
    for expected, response in zip(case["expected"], case["json_responses"], strict=True):
        content: Any = {"jsonResponse": deepcopy(response)}
        label = ParsedLabel(content, json_interface=deepcopy(raw), input_type=input_type)  # type: ignore[arg-type]
        assert label.json_response == response
        if expected["kind"] != "kili":
            assert same(read_back(label, expected), said(expected)), read_back(label, expected)


def said(expected: dict[str, Any]) -> list[Any]:
    """What a neutral output says, element by element, in Kili's words."""
    match expected:
        case {"kind": "either", "answers": [first, *_]}:
            return said(first)
        case {"kind": "frames", "frames": frames}:
            return [said(answer) for _, answer in frames]
        case {"kind": "classification", "scores": scores, "exclusive": False}:
            return [[key_of(label), percent(score)] for label, score in scores if score is None or score >= 0.5]
        case {"kind": "classification", "scores": scores}:
            label, score = max(scores, key=lambda pair: pair[1] or 0.0)
            return [[key_of(label), percent(score)]]
        case {"kind": "detection", "objects": objects}:
            return [line for item in objects for line in drawn(item)]
        case {"kind": "entities", "entities": entities}:
            return [[key_of(label), percent(score), begin, end, text] for label, begin, end, text, score in entities]
        case _:
            return [expected["text"]]


def drawn(item: dict[str, Any]) -> list[Any]:
    """An object by its parts: what is called what, how sure, with which points."""
    head = [key_of(item["label"]), percent(item["score"]), item["tool"]]
    if "box" in item:
        left, top, right, bottom = item["box"]
        return [[*head, [[left, right], [top, bottom]]]]
    if item["tool"] == "rectangle":
        return [[*head, extent(item["rings"][0])]]
    if item["tool"] == "pose":
        seen = zip(item["point_names"], item["rings"][0], item["visible"], strict=True)
        return [[*head, [[key_of(name), point] for name, point, visible in seen if visible]]]
    parts: list[list[Any]] = []
    for ring in item["rings"]:
        parts = [*parts[:-1], [*parts[-1], ring]] if parts and is_hole(ring) else [*parts, [ring]]
    return [[*head, part] for part in parts]


def is_hole(ring: list[list[float]]) -> bool:
    return sum(a[0] * b[1] - b[0] * a[1] for a, b in zip(ring, [*ring[1:], ring[0]], strict=True)) < 0


def extent(ring: Any) -> list[Any]:
    xs, ys = zip(*ring, strict=True)
    return [[min(xs), max(xs)], [min(ys), max(ys)]]


def percent(score: float | None) -> int | None:
    return None if score is None else round(100 * score)


def read_back(label: ParsedLabel, expected: dict[str, Any]) -> list[Any]:
    """The same words, as far as the SDK tells them."""
    if expected["kind"] == "either":
        return read_back(label, expected["answers"][0])
    if expected["kind"] == "frames":
        kind = expected["frames"][0][1]["kind"]
        return [read_job(frame, kind) for frame in label.jobs[job_name(kind)].frames]
    if job_name(expected["kind"]) not in label.json_response:
        return []
    return read_job(label.jobs[job_name(expected["kind"])], expected["kind"])


def read_job(job: Any, kind: str) -> list[Any]:
    if kind == "classification":
        return [named(item) for item in job.categories]
    if kind == "detection":
        return [[*named(item.category), item.type, read_shape(item)] for item in job.annotations]
    if kind == "entities":
        return [
            [*named(item.category), item.begin_offset, item.end_offset, item.content] for item in job.entity_annotations
        ]
    return [job.text]


def named(category: Any) -> list[Any]:
    return [category.name, category.as_dict().get("confidence")]


def read_shape(item: Any) -> Any:
    if item.type == "pose":
        return [[point.code, [point.point["x"], point.point["y"]]] for point in item.points]
    if item.type == "marker":
        return [[[item.point["x"], item.point["y"]]]]
    rings = [[[vertex["x"], vertex["y"]] for vertex in poly.normalized_vertices] for poly in item.bounding_poly]
    return extent(rings[0]) if item.type == "rectangle" else rings
