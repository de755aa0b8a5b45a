"""Short ways to write interfaces, responses and outputs, and the official SDK as their reader."""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, Any

from worker.contract.output import Classification, ClassScore, DetectedObject, Detection, ModelOutput, Point, Shape
from worker.ontology import Agreement, Interface, agreement

if TYPE_CHECKING:
    from kili.utils.labels.parsing import ParsedLabel


def a_job(ml_task: str, **options: Any) -> dict[str, Any]:
    content = {"input": options.pop("input", "radio")}
    if "categories" in options:
        content["categories"] = options.pop("categories")
    body = {"mlTask": ml_task, "content": content, "isChild": False, "required": 0, "instruction": "?"}
    return body | options


def named(*names: str, children: dict[str, list[str]] | None = None) -> dict[str, Any]:
    """Categories RED, BIG_CAR … displayed as Red, Big car …."""
    below = children or {}
    return {name: {"name": name.replace("_", " ").capitalize(), "children": below.get(name, [])} for name in names}


def choice(*names: str, children: dict[str, list[str]] | None = None, **options: Any) -> dict[str, Any]:
    return a_job("CLASSIFICATION", categories=named(*names, children=children), **options)


def detection(
    *names: str, tools: list[str], children: dict[str, list[str]] | None = None, **options: Any
) -> dict[str, Any]:
    return a_job("OBJECT_DETECTION", categories=named(*names, children=children), tools=tools, **options)


def entities(*names: str, **options: Any) -> dict[str, Any]:
    return a_job("NAMED_ENTITIES_RECOGNITION", categories=named(*names), **options)


def transcription(**options: Any) -> dict[str, Any]:
    return a_job("TRANSCRIPTION", **{"input": None} | options)


def relation(ml_task: str, name: str, starts: list[str], ends: list[str]) -> dict[str, Any]:
    of = "Objects" if ml_task == "OBJECT_RELATION" else "Entities"
    category = {"name": name.capitalize(), "children": [], f"start{of}": starts, f"end{of}": ends}
    return a_job(ml_task, categories={name: category})


def pose(name: str, *codes: str) -> dict[str, Any]:
    points = [{"code": code, "name": code.replace("_", " ").title(), "mandatory": True} for code in codes]
    category = named(name)[name] | {"points": points}
    return a_job("OBJECT_DETECTION", categories={name: category}, tools=["pose"])


def project(**jobs: Any) -> dict[str, Any]:
    return {"jobs": jobs}


def parsed(json_interface: dict[str, Any], input_type: str = "IMAGE") -> Interface:
    return Interface.parse(json_interface, input_type)


def vertices(*points: Point) -> list[dict[str, float]]:
    return [{"x": x, "y": y} for x, y in points]


def ring_of(left: float, top: float, right: float, bottom: float) -> tuple[Point, ...]:
    return ((left, bottom), (left, top), (right, top), (right, bottom))


def hole_of(left: float, top: float, right: float, bottom: float) -> tuple[Point, ...]:
    return tuple(reversed(ring_of(left, top, right, bottom)))


def area(*points: Point) -> list[dict[str, Any]]:
    return [{"normalizedVertices": vertices(*points)}]


def box(left: float, top: float, right: float, bottom: float) -> list[dict[str, Any]]:
    return area(*ring_of(left, top, right, bottom))


def annotation(name: str, mid: str, **parts: Any) -> dict[str, Any]:
    return {"categories": [{"name": name, "confidence": 90}], "mid": mid, **parts}


def a_box(name: str, mid: str, *corners: float, **parts: Any) -> dict[str, Any]:
    left, top, right, bottom = corners or (0.1, 0.2, 0.4, 0.6)
    return annotation(name, mid, type="rectangle", boundingPoly=box(left, top, right, bottom), **parts)


def an_entity(name: str, mid: str, begin: int, content: str, **parts: Any) -> dict[str, Any]:
    offsets = {"beginOffset": begin, "endOffset": begin + len(content), "content": content}
    return annotation(name, mid, **offsets | parts)


def on_page(page: int, *rings: tuple[Point, ...], **parts: Any) -> dict[str, Any]:
    areas = [{"normalizedVertices": [vertices(*ring)]} for ring in rings]
    return {"boundingPoly": areas, "polys": deepcopy(areas), "pageNumberArray": [page], **parts}


def scores(job: str | None = None, exclusive: bool | None = None, **by_class: float | None) -> ModelOutput:
    found = tuple(ClassScore(label, score) for label, score in by_class.items())
    return ModelOutput(Classification(found, exclusive), job=job)


def an_object(label: str, tool: str = "rectangle", *rings: tuple[Point, ...], **parts: Any) -> DetectedObject:
    shape_parts = {key: parts.pop(key) for key in ("point_names", "visible") if key in parts}
    shape = Shape(tool, rings or (ring_of(0.1, 0.2, 0.4, 0.6),), **shape_parts)  # type: ignore[arg-type]
    return DetectedObject(label, shape, **parts)


def objects(*found: DetectedObject, job: str | None = None) -> ModelOutput:
    return ModelOutput(Detection(found), job=job)


def read_by_sdk(
    json_response: dict[str, Any], json_interface: dict[str, Any], input_type: str = "IMAGE"
) -> ParsedLabel:
    """Let the official SDK parse a response, as it does for everyone who reads the project."""
    from kili.utils.labels.parsing import ParsedLabel

    label = {"jsonResponse": deepcopy(json_response)}
    return ParsedLabel(label, json_interface=deepcopy(json_interface), input_type=input_type)  # type: ignore[arg-type]


def both_ways(a: dict[str, Any], b: dict[str, Any], interface: Interface) -> Agreement:
    """Compare two responses, and make sure that it does not matter which comes first."""
    result = agreement(a, b, interface)
    assert result == agreement(b, a, interface)
    return result


def ships(*found: dict[str, Any]) -> dict[str, Any]:
    return {"SHIPS": {"annotations": list(found)}}
