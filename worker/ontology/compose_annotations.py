"""From detected objects and spans of text to the annotations of a job.

A model counts characters. JavaScript, and with it a label drawn in a browser, counts UTF-16 units, in which an
emoji is two. Which of the two Kili's server means is not documented, so both readings of an offset are accepted.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Any

from worker.contract.output import DetectedObject, Detection, Entities, Entity, Point, Shape, same_text
from worker.formats.masks import regions_of
from worker.ontology.classes import ClassPolicy, category_of, point_code, unknown_class
from worker.ontology.compose_classification import category, checked
from worker.ontology.errors import OntologyError
from worker.ontology.interface import Category, Interface, Job


def mid_of(*parts: object) -> str:
    """Derive an annotation's identity: 20 hexadecimal digits over the ``repr`` of its parts."""
    return hashlib.blake2b(repr(parts).encode(), digest_size=10).hexdigest()


def content_of(rings: tuple[tuple[Point, ...], ...]) -> tuple[bytes, ...]:
    """Give a shape's rings as parts of an identity: each as its coordinates' IEEE 754 doubles, little endian."""
    return tuple([struct.pack(f"<{2 * len(ring)}d", *chain.from_iterable(ring)) for ring in rings])


LOSSLESS: Mapping[str, tuple[str, ...]] = {
    "rectangle": ("rectangle", "polygon", "semantic"),
    "polygon": ("polygon", "semantic"),
}
"""Tools that hold a shape of another tool unchanged, best first; any other shape needs its own tool."""

ROUNDING = 1e-6
"""How far a coordinate may lie outside the image by rounding alone; it is moved onto the border."""

AREA_TOOLS = frozenset({"rectangle", "polygon", "semantic"})


Kind = tuple[str, str]
"""The category and the tool of an annotation."""


@dataclass(slots=True)
class Target:
    """Where annotations go: the job, its project, the project's policy.

    ``kinds`` keeps the category and the tool of what was met already, by class and shape.
    """

    job: Job
    interface: Interface
    policy: ClassPolicy
    kinds: dict[tuple[str, str], Kind] = field(default_factory=dict)


Rings = tuple[tuple[Point, ...], ...]


def compose_detection(answer: Detection, target: Target, where: str, frame: int | None = None) -> dict[str, Any]:
    """Write the annotations of one image, page or frame; no objects is an answer too.

    An area in several parts becomes one annotation per part, an outline with its holes, all with one ``mid``; on a
    map one annotation holds all parts.
    """
    found: list[dict[str, Any]] = []
    mids: set[str] = set()
    for index, item in enumerate(answer.objects):
        place = f"{where}.objects[{index}]"
        made = _annotations(item, index, target, place, frame)
        if not made:
            continue
        mid = made[0]["mid"]
        if mid in mids:
            raise _track_twice(item, place)
        mids.add(mid)
        found += made
    return {"annotations": found}


def kinds_of(answer: Detection, target: Target) -> Iterable[Kind]:
    """The kinds of the areas that were composed, where nothing but its kind decides whether one is valid.

    None at all where something else may: other shapes, a corner outside of the image, an outline of too few corners,
    and frames, pages and maps, which have rules of their own.
    """
    interface = target.interface
    if interface.is_video or interface.is_pdf or interface.is_geospatial:
        return ()
    return target.kinds.values() if all(_is_plain(item.shape) for item in answer.objects) else ()


def _is_plain(shape: Shape) -> bool:
    if len(shape.rings) != 1 or shape.tool not in LOSSLESS:
        return False
    ring = shape.rings[0]
    for x, y in ring:  # three times as fast as all()
        if not (0.0 <= x <= 1.0 and 0.0 <= y <= 1.0):
            return False
    return len(ring) == 4 if shape.tool == "rectangle" else len(ring) >= 3


def _track_twice(item: DetectedObject, place: str) -> OntologyError:
    """Two objects under one identity would be the parts of one."""
    problem = f"track {item.track_id} of class {item.label!r} is in the frame already"
    return OntologyError(f"{place}.track_id", problem, "give every object a track of its own", "duplicate_mid")


def tools_for(shape: Shape) -> tuple[str, ...]:
    """List the tools that can hold a shape without changing it, best first."""
    if shape.tool == "semantic" and all(len(rings) == 1 for rings in _parts(shape)):
        return ("semantic", "polygon")
    return LOSSLESS.get(shape.tool, (shape.tool,))


def _annotations(
    item: DetectedObject, index: int, target: Target, place: str, frame: int | None
) -> list[dict[str, Any]]:
    kind = target.kinds.get((item.label, item.shape.tool)) or _kind(item, target, place)
    if kind is None:
        return []
    name, tool = kind
    score, shape = item.score, item.shape
    if score is not None and not 0.0 <= score <= 1.0:
        checked(score, f"{place}.score")
    if shape.tool == "pose":
        shape = _coded(shape, target.job.categories[name], f"{place}.shape")
    mid = _mid(item, name, target.job, index, frame)
    on_pages = target.interface.is_pdf
    found = []
    for geometry in _geometries(shape, tool, mid, target.interface):
        chosen = category(name, score)
        annotation: dict[str, Any] = {"categories": [chosen], "mid": mid}
        if not (on_pages and tool == "rectangle"):
            annotation["type"] = tool
        if score is not None:
            annotation["score"] = chosen["confidence"]
        annotation.update(_on_page(geometry, item, tool, place) if on_pages else geometry)
        found.append(annotation)
    return found


def _kind(item: DetectedObject, target: Target, place: str) -> Kind | None:
    """The category and the tool of an object; None for a class without category that is left out."""
    classes = target.policy.classes
    name = category_of(item.label, target.job, classes, f"{place}.label")
    if name is None:
        if target.policy.ignores_unknown:
            return None
        raise unknown_class(item.label, target.job, classes, f"{place}.label")
    checked(item.score, f"{place}.score")  # is refused before a tool is
    tool = _tool(item.shape, target.job, f"{place}.shape")
    if item.shape.tool != "semantic":  # whose tool depends on its parts
        target.kinds[item.label, item.shape.tool] = name, tool
    return name, tool


def _geometries(shape: Shape, tool: str, mid: str, interface: Interface) -> list[dict[str, Any]]:
    drawn = [_geometry(shape, rings, tool, mid) for rings in _parts(shape)]
    if tool == "semantic" and interface.is_geospatial:
        return [{"boundingPoly": [part["boundingPoly"] for part in drawn]}]
    return drawn


def _parts(shape: Shape) -> tuple[Rings, ...]:
    return regions_of(shape) if shape.tool == "semantic" and len(shape.rings) > 1 else (shape.rings,)


def _tool(shape: Shape, job: Job, place: str) -> str:
    for tool in tools_for(shape):
        if tool in job.tools:
            return tool
    raise OntologyError(
        f"{place}.tool",
        f"job {job.name} has the tools {', '.join(job.tools) or 'none'}, "
        f"none of which holds a {_SPOKEN.get(shape.tool, shape.tool)}",
        f"add the tool {shape.tool} to the job, or send the shapes it has",
        "wrong_tool",
    )


def _mid(item: DetectedObject, name: str, job: Job, index: int, frame: int | None) -> str:
    """A tracked object keeps its identity through the frames; any other one is its content and place."""
    if frame is not None and item.track_id is not None:
        return mid_of(job.name, name, item.track_id)
    return mid_of(job.name, name, frame, index, item.shape.tool, *content_of(item.shape.rings))


def _geometry(shape: Shape, rings: Rings, tool: str, mid: str) -> dict[str, Any]:
    if tool == "rectangle":
        return {"boundingPoly": [{"normalizedVertices": _vertices(_corners(ring))} for ring in rings]}
    if tool in AREA_TOOLS:
        return {"boundingPoly": [{"normalizedVertices": _vertices(ring)} for ring in rings]}
    if tool == "pose":
        return {"points": _pose_points(shape, mid)}
    points = _vertices(tuple(point for ring in rings for point in ring))
    return {"point": points[0]} if tool == "marker" and len(points) == 1 else {"polyline": points}


def _corners(ring: tuple[Point, ...]) -> tuple[Point, ...]:
    """Order an upright rectangle as Kili draws it: bottom left, top left, top right, bottom right."""
    if len(ring) != 4:
        return ring
    (x0, y0), (x1, y1), (x2, y2), (x3, y3) = ring
    xs, ys = {x0, x1, x2, x3}, {y0, y1, y2, y3}
    if len(xs) != 2 or len(ys) != 2:
        return ring
    left, right = xs
    top, bottom = ys
    if left > right:
        left, right = right, left
    if top > bottom:
        top, bottom = bottom, top
    return ((left, bottom), (left, top), (right, top), (right, bottom))


def _vertices(ring: tuple[Point, ...]) -> list[dict[str, float]]:
    return [{"x": x if 0.0 <= x <= 1.0 else _on_image(x), "y": y if 0.0 <= y <= 1.0 else _on_image(y)} for x, y in ring]


def _on_image(value: float) -> float:
    if -ROUNDING <= value < 0.0:
        return 0.0
    return 1.0 if 1.0 < value <= 1.0 + ROUNDING else value


def _coded(shape: Shape, category: Category, place: str) -> Shape:
    """Give the points of a pose the category's codes, and each its visibility."""
    points = sum(map(len, shape.rings))
    visible = shape.visible or (True,) * points
    if not points == len(shape.point_names) == len(visible):
        raise OntologyError(
            f"{place}.point_names",
            f"{points} points have {len(shape.point_names)} names and {len(visible)} visibilities",
            "send one name, and one visibility or none, per point",
            "malformed",
        )
    names = enumerate(shape.point_names)
    codes = tuple(point_code(name, category, f"{place}.point_names[{index}]") for index, name in names)
    return replace(shape, point_names=codes, visible=visible)


def _pose_points(shape: Shape, mid: str) -> list[dict[str, Any]]:
    """Write the points that the model saw; Kili has no word for a hidden one."""
    points = (point for ring in shape.rings for point in ring)
    return [
        {"code": code, "mid": mid, "type": "marker", "point": _vertices((point,))[0]}
        for code, point, visible in zip(shape.point_names, points, shape.visible, strict=True)
        if visible
    ]


def _on_page(geometry: dict[str, Any], item: DetectedObject, tool: str, place: str) -> dict[str, Any]:
    if "boundingPoly" not in geometry:
        raise OntologyError(
            f"{place}.shape.tool",
            f"a {tool} cannot be put on a page of a PDF",
            "send rectangles or polygons",
            "wrong_tool",
        )
    if item.page is None:
        raise OntologyError(f"{place}.page", "the page is missing", "send the page with every object", "page_missing")
    areas = [{"normalizedVertices": [ring["normalizedVertices"]]} for ring in geometry["boundingPoly"]]
    pages = [item.page] * len(areas)
    return {"annotations": [{"boundingPoly": areas, "polys": areas, "pageNumberArray": pages}]}


_SPOKEN = {"semantic": "mask (semantic)", "pose": "pose (keypoints)", "marker": "point (marker)"}
"""What people call the shapes whose tools have other names."""


def fits(end: int, text: str) -> bool:
    """Whether an offset lies within the text, in characters or in UTF-16 units."""
    return end <= len(text) or (not text.isascii() and end <= len(_units(text)) // 2)


def reads(begin: int, end: int, content: str, text: str) -> bool:
    """Whether the text between two offsets is the content, in characters or in UTF-16 units."""
    if text[begin:end] == content:
        return True
    return not text.isascii() and _units(text)[2 * begin : 2 * end] == _units(content)


def in_characters(begin: int, end: int, content: str, text: str) -> tuple[int, int]:
    """The offsets in characters where they count UTF-16 units, between which the content stands; else as they are."""
    units = _units(text)
    if text.isascii() or begin < 0 or units[2 * begin : 2 * end] != _units(content):
        return begin, end
    start = len(units[: 2 * begin].decode("utf-16-le", "surrogatepass"))
    return start, start + len(content)


def _units(text: str) -> bytes:
    return text.encode("utf-16-le", "surrogatepass")


def compose_entities(answer: Entities, job: Job, policy: ClassPolicy, text: str | None, where: str) -> dict[str, Any]:
    """Write the entities of one text; where the text is known, its own words become the content."""
    found = [_annotation(item, index, job, policy, text, where) for index, item in enumerate(answer.entities)]
    return {"annotations": [annotation for annotation in found if annotation is not None]}


def _annotation(
    item: Entity, index: int, job: Job, policy: ClassPolicy, text: str | None, where: str
) -> dict[str, Any] | None:
    place = f"{where}.entities[{index}]"
    name = category_of(item.label, job, policy.classes, f"{place}.label")
    if name is None:
        if policy.ignores_unknown:
            return None
        raise unknown_class(item.label, job, policy.classes, f"{place}.label")
    begin, end = item.begin, item.end
    if text is not None and item.text and not same_text(item.text, text[begin:end]):
        begin, end = in_characters(begin, end, item.text, text)
    return {
        "categories": [category(name, checked(item.score, f"{place}.score"))],
        "mid": mid_of(job.name, name, index, begin, end),
        "beginOffset": begin,
        "endOffset": end,
        "content": item.text if text is None else _content(replace(item, begin=begin, end=end), text, place),
    }


def _content(item: Entity, text: str, place: str) -> str:
    found = text[item.begin : item.end]
    if 0 <= item.begin < item.end and fits(item.end, text) and item.text and not same_text(item.text, found):
        raise OntologyError(
            f"{place}.text",
            f"the model read {item.text!r}, but characters {item.begin} to {item.end} are {found!r}",
            "send offsets into the asset's text, in characters, end exclusive",
            "content_mismatch",
        )
    return found
