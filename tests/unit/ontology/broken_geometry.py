"""Responses whose shapes must be refused."""

from __future__ import annotations

from broken_case import CUT, Broken, broken
from ontology_fixtures import a_box, annotation, area, box, on_page, ring_of, vertices

_VERTEX = "SHIPS/annotations/0/boundingPoly/0/normalizedVertices/2"
_RING = "boundingPoly/0/normalizedVertices"
_PAGE = "FIGURES/annotations/0/annotations/0"

GEOMETRY: list[Broken] = [
    broken("a tool the job lacks", "rectangle", "SHIPS/annotations/0/type", "polygon", "wrong_tool"),
    broken("a tool nobody has", "rectangle", "SHIPS/annotations/0/type", "cube", "wrong_tool"),
    broken("no tool", "rectangle", "SHIPS/annotations/0/type", CUT, "malformed"),
    broken("no shape", "rectangle", "SHIPS/annotations/0/boundingPoly", CUT, "malformed"),
    broken(
        "another tool's shape",
        "rectangle",
        "SHIPS/annotations/0",
        annotation("TUG", "s1", type="rectangle", point={"x": 0.5, "y": 0.5}),
        "wrong_tool",
        "SHIPS.annotations[0].boundingPoly",
    ),
    broken(
        "a rectangle of 3 corners",
        "rectangle",
        f"SHIPS/annotations/0/{_RING}",
        vertices((0, 0), (0, 1), (1, 1)),
        "too_few_vertices",
    ),
    broken(
        "a rectangle of 5 corners",
        "rectangle",
        f"{_VERTEX[:-2]}/4",
        {"x": 0.2, "y": 0.2},
        "too_many_vertices",
        "SHIPS.annotations[0].boundingPoly[0].normalizedVertices",
    ),
    broken(
        "a rectangle of two rings",
        "rectangle",
        "SHIPS/annotations/0/boundingPoly",
        box(0, 0, 0.1, 0.1) * 2,
        "wrong_tool",
    ),
    broken(
        "a polygon of 2 vertices",
        "polygon",
        f"ROOFS/annotations/0/{_RING}",
        vertices((0, 0), (0, 1)),
        "too_few_vertices",
    ),
    broken(
        "a polygon with a hole",
        "polygon",
        "ROOFS/annotations/0/boundingPoly",
        box(0, 0, 1, 1) + box(0.1, 0.1, 0.2, 0.2),
        "wrong_tool",
    ),
    broken(
        "a semantic hole of 2 vertices",
        "semantic with a hole",
        "CELLS/annotations/0/boundingPoly/1/normalizedVertices",
        vertices((0, 0), (0, 1)),
        "too_few_vertices",
    ),
    broken("no rings", "semantic with a hole", "CELLS/annotations/0/boundingPoly", [], "too_few_vertices"),
    broken("a polyline of 1 vertex", "polyline", "ROADS/annotations/0/polyline", vertices((0, 0)), "too_few_vertices"),
    broken("a vector of 1 vertex", "vector", "WIND/annotations/0/polyline", vertices((0, 0)), "too_few_vertices"),
    broken("pixels", "rectangle", f"{_VERTEX}/x", 312.5, "outside_image"),
    broken("left of the image", "rectangle", f"{_VERTEX}/x", -0.01, "outside_image"),
    broken("below the image", "polyline", "ROADS/annotations/0/polyline/1/y", 1.01, "outside_image"),
    broken("a marker outside", "marker", "TREES/annotations/0/point/y", 1.5, "outside_image"),
    broken("a pose's point outside", "pose", "HANDS/annotations/0/points/1/point/x", -1, "outside_image"),
    broken("not a number", "rectangle", f"{_VERTEX}/y", float("nan"), "not_finite"),
    broken("infinity", "polygon", f"ROOFS/annotations/0/{_RING}/0/x", float("inf"), "not_finite"),
    broken("a coordinate as a text", "rectangle", f"{_VERTEX}/y", "0.5", "malformed"),
    broken("a coordinate as a boolean", "rectangle", f"{_VERTEX}/y", True, "malformed"),
    broken(
        "a vertex without y",
        "rectangle",
        _VERTEX,
        {"x": 0.5},
        "malformed",
        "SHIPS.annotations[0].boundingPoly[0].normalizedVertices[2].y",
    ),
    broken("a vertex as a pair", "rectangle", _VERTEX, [0.5, 0.5], "malformed"),
    broken("a point the pose lacks", "pose", "HANDS/annotations/0/points/0/code", "KNEE", "unknown_point"),
    broken("a pose that lacks its points", "pose", "HANDS/annotations/0/points", CUT, "malformed"),
    broken("a point given twice", "pose", "HANDS/annotations/0/points/1/code", "WRIST", "unknown_point"),
    broken(
        "a point outside its page",
        "objects of a PDF",
        f"{_PAGE}/boundingPoly/0/normalizedVertices/0/0/x",
        2,
        "outside_image",
    ),
    broken("page 0", "objects of a PDF", f"{_PAGE}/pageNumberArray", [0], "bad_page"),
    broken(
        "no page",
        "objects of a PDF",
        f"{_PAGE}/pageNumberArray",
        CUT,
        "bad_page",
        "FIGURES.annotations[0].annotations[0].pageNumber",
    ),
    broken(
        "no areas on pages",
        "objects of a PDF",
        "FIGURES/annotations/0",
        a_box("CHART", "f1"),
        "malformed",
        "FIGURES.annotations[0].annotations",
    ),
    broken(
        "an entity of a PDF by offsets alone",
        "entities of a PDF",
        "PARTS/annotations/0",
        annotation("TITLE", "e1", beginOffset=0, endOffset=4),
        "malformed",
        "PARTS.annotations[0].annotations",
    ),
    broken(
        "an entity of a PDF with a flat ring of two vertices",
        "entities of a PDF",
        "PARTS/annotations/0/annotations",
        [on_page(1, ring_of(0, 0, 1, 1)) | {"boundingPoly": area((0, 0), (0, 1))}],
        "too_few_vertices",
        "PARTS.annotations[0].annotations[0].boundingPoly[0].normalizedVertices",
    ),
]
