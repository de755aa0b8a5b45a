"""Are the parts of an answer ones that the project can take? Categories, the child jobs below them, and shapes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, NoReturn

from worker.ontology.classes import listed, nearest, nearest_category
from worker.ontology.errors import Cause, OntologyError
from worker.ontology.interface import Category, Job
from worker.ontology.validate_context import (
    Context,
    as_list,
    as_object,
    as_text,
    check_key_frame,
    check_percent,
    is_int,
    refuse,
)

CATEGORY_KEYS = frozenset({"name", "confidence", "children"})
"""The keys of a chosen category; the official SDK fails to read any other."""

OPEN_CHOICE = frozenset({"children", "isKeyFrame", "annotations"})
"""The keys of a choice that was left open; Kili writes an empty list of annotations beside the choices of a video."""


def check_classification(payload: Mapping[str, Any], job: Job, where: str, context: Context) -> None:
    """Check the answer of a classification job; an empty payload is an open question."""
    check_key_frame(payload, where)
    strange = [key for key in payload if key not in OPEN_CHOICE or (key == "annotations" and payload[key])]
    if strange and "categories" not in payload:
        problem = f"job {job.name} is a choice and has no categories, but {', '.join(strange)}"
        refuse(f"{where}.categories", problem, "send the chosen categories", "malformed")
    names = check_categories(payload.get("categories", []), job, f"{where}.categories", context)
    if names or payload.get("children"):
        check_children(payload, names, job, where, context)


def check_comparison(payload: Mapping[str, Any], job: Job, where: str, context: Context) -> None:  # noqa: ARG001
    """Check the answer of a comparison: one of the job's options, and the two answers that were compared."""
    if not payload:
        return
    place = f"{where}.choice"
    choice = as_object(payload.get("choice"), place)
    code = as_text(choice.get("code"), f"{place}.code")
    if job.categories and code not in job.categories:
        fix = f"send one of its options: {listed(job.categories)}"
        refuse(f"{place}.code", f"job {job.name} has no option {code!r}", fix, "unknown_category")
    for end in ("firstId", "secondId"):
        if not as_text(choice.get(end), f"{place}.{end}"):
            refuse(f"{place}.{end}", "is empty", "name the compared answer", "malformed")


def check_categories(value: object, job: Job, where: str, context: Context) -> tuple[str, ...]:
    """Check a list of chosen categories and return their names."""
    items = as_list(value, where)
    names = tuple(_category(item, job, f"{where}[{index}]", context) for index, item in enumerate(items))
    if job.single_choice and len(names) > 1:
        refuse(
            where,
            f"job {job.name} takes one category, found {', '.join(names)}",
            "send the most probable one",
            "several_categories",
        )
    if len(names) > 1 and len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        refuse(where, f"category {twice} is chosen twice", "send it once", "duplicate_category")
    return names


def check_children(holder: Mapping[str, Any], names: tuple[str, ...], job: Job, where: str, context: Context) -> None:
    """Check the child jobs beside or inside the chosen categories, and that the required ones are there."""
    allowed = job.children_of(names)
    if "children" in holder:
        check_nested(holder["children"], allowed, where, context)
    if context.partial or not allowed:
        return
    beside = set(holder.get("children") or ())
    for index, item in enumerate(holder["categories"]):
        asked = job.children_of((item["name"],))
        _check_required(asked, beside | set(item.get("children") or ()), f"{where}.categories[{index}]", context)


def check_nested(value: object, allowed: Iterable[str], where: str, context: Context) -> None:
    """Check an object of child jobs against the jobs that may be asked here."""
    if value is None:
        return
    for name, payload in as_object(value, f"{where}.children").items():
        place = f"{where}.children.{name}"
        child = context.interface.jobs.get(name)
        if child is None:
            refuse_unknown_job(name, place, context)
        if name not in allowed:
            fix = f"put {name} under a category that asks it"
            refuse(place, f"job {name} is not asked here", fix, "wrong_parent")
        context.check_payload(payload, child, place, context)


def refuse_unknown_job(name: str, where: str, context: Context) -> NoReturn:
    """Refuse a job that the project does not have and name the nearest one."""
    near = nearest(name, list(context.interface.jobs))
    jobs = listed(context.interface.jobs)
    known = f"for example {near}" if near else f"one of {jobs}"
    fix = f"name a job of the project, {known}" if jobs else "add the job to the project"
    refuse(where, f"the project has no job {name!r}", fix, "unknown_job")


def is_answered(payload: object, job: Job) -> bool:
    """Whether a payload answers its job at all; an empty list of annotations does."""
    if type(payload) is not dict and not isinstance(payload, Mapping):
        return payload is not None
    return bool(payload.get("categories") if job.ml_task == "CLASSIFICATION" else payload)


def _category(item: object, job: Job, where: str, context: Context) -> str:
    body = as_object(item, where)
    name = as_text(body.get("name"), f"{where}.name")
    if name not in job.categories:
        _refuse_category(name, job, f"{where}.name")
    check_percent(body.get("confidence"), f"{where}.confidence")
    if not body.keys() <= CATEGORY_KEYS:
        key = min(body.keys() - CATEGORY_KEYS)
        refuse(f"{where}.{key}", "is no part of a chosen category", "leave it out", "unknown_key")
    if "children" in body:
        check_nested(body["children"], job.categories[name].children, where, context)
    return name


def _refuse_category(name: str, job: Job, where: str) -> None:
    for category in job.categories.values():
        if category.display_name == name:
            problem = f"{name!r} is what category {category.name} is displayed as"
            refuse(where, problem, f"send {category.name}", "category_by_display_name")
    near = nearest_category(name, job)
    known = f"for example {near}" if near else f"which are {listed(job.categories)}"
    fix = f"send one of its categories, {known}" if job.categories else "give the job categories"
    refuse(where, f"job {job.name} has no category {name!r}", fix, "unknown_category")


def _check_required(asked: Iterable[str], given: set[str], where: str, context: Context) -> None:
    for name in asked:
        child = context.interface.jobs.get(name)
        if child is not None and child.required and name not in given:
            refuse(
                f"{where}.children.{name}",
                f"job {name} is required here",
                "answer it, make it optional, or allow partial answers",
                "missing_required_job",
            )


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
