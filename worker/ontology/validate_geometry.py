"""Are the shapes of an annotation shapes, and inside the image?"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from worker.ontology.errors import Cause, OntologyError
from worker.ontology.interface import Category, Job
from worker.ontology.validate_categories import check_nested
from worker.ontology.validate_context import Context, as_list, as_object, is_int, refuse

AREA_TOOLS = frozenset({"rectangle", "polygon", "semantic"})
FEWEST = {"rectangle": 4, "polygon": 3, "semantic": 3, "polyline": 2, "vector": 2}
GEOMETRY_KEYS = ("boundingPoly", "point", "polyline", "points")

Limits = tuple[float, float, float, float]
IMAGE: Limits = (0.0, 1.0, 0.0, 1.0)
MAP: Limits = (-180.0, 180.0, -90.0, 90.0)

_INTO = (
    "divide pixels by the image's size, cut off what is outside; degrees are for georeferenced images (an asset whose "
    "url or external_id ends in .tif, .tiff, .jp2, .ntf or .nitf) and GEOSPATIAL projects"
)
_ON_MAP = "send longitude as x and latitude as y, in degrees"


def check_geometry(
    annotation: Mapping[str, Any], tool: str, asked: tuple[Job, Category], where: str, context: Context
) -> None:
    """Check the geometry of one annotation on an image or a frame; an unknown tool passes."""
    limits = MAP if context.in_degrees else IMAGE
    if tool in AREA_TOOLS:
        poly = _part(annotation, "boundingPoly", tool, where)
        check_bounding_poly(poly, tool, f"{where}.boundingPoly", limits)
    elif tool in ("polyline", "vector"):
        check_ring(_part(annotation, "polyline", tool, where), tool, f"{where}.polyline", limits)
    elif tool == "marker":
        _check_vertex(_part(annotation, "point", tool, where), f"{where}.point", limits)
    elif tool == "pose":
        _part(annotation, "points", tool, where)
        _check_pose(annotation, asked, where, limits, context)


def check_pages(value: object, tool: str | None, where: str) -> None:
    """Check the areas of an annotation on the pages of a PDF."""
    pages = as_list(value, where)
    if not pages:
        refuse(where, "is empty", "send at least one area", "malformed")
    for index, item in enumerate(pages):
        place = f"{where}[{index}]"
        page = as_object(item, place)
        _check_page_numbers(page, place)
        for key in ("boundingPoly", "polys"):
            if key in page or key == "boundingPoly":
                _check_page_areas(page.get(key), tool, f"{place}.{key}")


def check_bounding_poly(value: object, tool: str, where: str, limits: Limits) -> None:
    """Check a list of rings: one for a rectangle or polygon, any number for a semantic area."""
    rings = as_list(value, where)
    if not rings:
        refuse(where, "is empty", "send at least one ring", "too_few_vertices")
    if tool != "semantic" and len(rings) > 1:
        fix = "send one annotation per ring, or use the semantic tool"
        refuse(where, f"a {tool} has one ring, found {len(rings)}", fix, "wrong_tool")
    for index, ring in enumerate(rings):
        place = f"{where}[{index}]"
        if isinstance(ring, list):
            check_bounding_poly(ring, tool, place, limits)
        else:
            vertices = as_object(ring, place).get("normalizedVertices")
            check_ring(vertices, tool, f"{place}.normalizedVertices", limits)


def check_ring(value: object, tool: str | None, where: str, limits: Limits) -> None:
    """Check the vertices of one ring or line: how many, and where they are."""
    ring = as_list(value, where)
    fewest = FEWEST.get(tool or "", 1)
    if len(ring) < fewest:
        problem = f"a {tool or 'shape'} needs {fewest} vertices, found {len(ring)}"
        refuse(where, problem, "send all of its vertices", "too_few_vertices")
    if tool == "rectangle" and len(ring) > fewest:
        fix = "send its corners, or a polygon"
        refuse(where, f"a rectangle has 4 vertices, found {len(ring)}", fix, "too_many_vertices")
    for index, vertex in enumerate(ring):
        if not _inside(vertex, limits):
            _check_vertex(vertex, f"{where}[{index}]", limits)


def _part(annotation: Mapping[str, Any], key: str, tool: str, where: str) -> object:
    if key not in annotation:
        other = [name for name in GEOMETRY_KEYS if name in annotation]
        found = other[0] if other else "none of the shapes"
        fix = f"send {key}, or the tool that draws {found}" if other else f"send {key}"
        cause: Cause = "wrong_tool" if other else "malformed"
        refuse(f"{where}.{key}", f"a {tool} needs {key}, found {found}", fix, cause)
    return annotation[key]


def _inside(vertex: object, limits: Limits) -> bool:
    try:
        x, y = vertex["x"], vertex["y"]  # type: ignore[index]
    except (TypeError, KeyError, IndexError):
        return False
    if type(x) not in (float, int) or type(y) not in (float, int):
        return False
    return bool(limits[0] <= x <= limits[1] and limits[2] <= y <= limits[3])


def _check_vertex(vertex: object, where: str, limits: Limits) -> None:
    if _inside(vertex, limits):
        return
    body = as_object(vertex, where)
    _check_coordinate(body.get("x"), f"{where}.x", limits[:2])
    _check_coordinate(body.get("y"), f"{where}.y", limits[2:])


def _check_coordinate(value: object, where: str, limits: tuple[float, float]) -> None:
    if not isinstance(value, int | float) or isinstance(value, bool):
        refuse(where, f"must be a number, found {value!r}", "send a number", "malformed")
    if not math.isfinite(value):
        refuse(where, f"is {value}", "send a finite number", "not_finite")
    low, high = limits
    if not low <= value <= high:
        refuse(where, f"{value!r} is outside {low:g} to {high:g}", _INTO if high == 1 else _ON_MAP, "outside_image")


def _check_pose(
    pose: Mapping[str, Any], asked: tuple[Job, Category], where: str, limits: Limits, context: Context
) -> None:
    """Check the points of a pose; one of which nothing is seen has none."""
    points = as_list(pose["points"], f"{where}.points")
    job, category = asked
    known = {point.code: point for point in category.points}
    seen: set[str] = set()
    for index, item in enumerate(points):
        place = f"{where}.points[{index}]"
        body = as_object(item, place)
        code = body.get("code")
        if not isinstance(code, str) or code in seen or (known and code not in known):
            raise _point_error(code, seen, known.keys(), f"{place}.code")
        seen.add(code)
        _check_vertex(body.get("point"), f"{place}.point", limits)
        if "mid" in body:
            context.register_point(body["mid"], job, category.name, pose, f"{place}.mid")
        own = known[code].children if code in known else ()
        check_nested(body.get("children"), (*own, *category.children), place, context)


def _point_error(code: object, seen: set[str], known: Any, where: str) -> OntologyError:
    if isinstance(code, str) and code in seen:
        return OntologyError(where, f"point {code} is given twice", "send each point once", "unknown_point")
    choice = ", ".join(known) or "none"
    return OntologyError(where, f"the category has no point {code!r}", f"send one of {choice}", "unknown_point")


def _check_page_numbers(page: Mapping[str, Any], where: str) -> None:
    key = "pageNumberArray" if "pageNumberArray" in page else "pageNumber"
    numbers: list[Any] = as_list(page[key], f"{where}.{key}") if key == "pageNumberArray" else [page.get(key)]
    if not numbers or not all(is_int(number) and number >= 1 for number in numbers):
        problem = f"must be page numbers from 1, found {numbers!r}"
        refuse(f"{where}.{key}", problem, "count pages from 1", "bad_page")


def _check_page_areas(value: object, tool: str | None, where: str) -> None:
    areas = as_list(value, where)
    if not areas:
        refuse(where, "is empty", "send at least one area", "too_few_vertices")
    for index, area in enumerate(areas):
        place = f"{where}[{index}].normalizedVertices"
        vertices = as_list(as_object(area, f"{where}[{index}]").get("normalizedVertices"), place)
        if not vertices:
            refuse(place, "is empty", "send at least one ring", "too_few_vertices")
        if isinstance(vertices[0], list):
            for number, ring in enumerate(vertices):
                check_ring(ring, tool or "polygon", f"{place}[{number}]", IMAGE)
        else:
            check_ring(vertices, tool or "polygon", place, IMAGE)
