"""One object written down in many ways: as annotations, groups or rings, on pages, from any corner, in any order."""

from __future__ import annotations

from typing import Any, NamedTuple

from hypothesis import strategies as st
from ontology_fixtures import annotation, area, ring_of, vertices

Ring = tuple[tuple[float, float], ...]
Cell = tuple[int, int]

SIDE = 4
NAMES = ("LAKE", "WOOD")


class Region(NamedTuple):
    """A part of an object in a cell of its own, so that parts never overlap: its outline, and perhaps a hole."""

    rings: tuple[Ring, ...]


class Object(NamedTuple):
    """What is found: a class, and parts, each perhaps on a page."""

    name: str
    parts: tuple[Region, ...]
    pages: tuple[int, ...]


@st.composite
def regions(draw: st.DrawFn, cell: Cell, holes: bool) -> Region:
    left, top = cell[0] / SIDE, cell[1] / SIDE
    right, bottom = (left + draw(st.sampled_from([0.1, 0.2])), top + draw(st.sampled_from([0.1, 0.2])))
    outline = ring_of(left, top, right, bottom)
    if holes and draw(st.booleans()):
        return Region((outline, ring_of(left + 0.02, top + 0.02, left + 0.08, top + 0.05)))
    return Region((draw(st.sampled_from([outline, outline[:3], (*outline[:2], (right, top))])),))


@st.composite
def found(draw: st.DrawFn, holes: bool = True, shapes: bool = True) -> Object:
    cells = draw(st.lists(st.tuples(*[st.integers(0, SIDE - 1)] * 2), min_size=1, max_size=4, unique=True))
    parts = [draw(regions(cell, holes)) if shapes else _box(cell) for cell in cells]
    pages = tuple(draw(st.integers(1, 3)) for _ in parts)
    return Object(draw(st.sampled_from(NAMES)), tuple(parts), pages)


def _box(cell: Cell) -> Region:
    return Region((ring_of(cell[0] / SIDE, cell[1] / SIDE, cell[0] / SIDE + 0.2, cell[1] / SIDE + 0.2),))


@st.composite
def written(draw: st.DrawFn, objects: list[Object]) -> list[dict[str, Any]]:
    """The objects of an image, each as annotations of one mid, as groups, as rings, or as a mixture of them."""
    annotations = [
        annotation(one.name, f"m{number}", type="semantic", boundingPoly=rings)
        for number, one in enumerate(objects)
        for rings in _portions(draw, one)
    ]
    return draw(st.permutations(annotations))


def _portions(draw: st.DrawFn, one: Object) -> list[list[Any]]:
    portions = []
    for portion in _split(draw, one.parts):
        groups = [[_area(draw, ring) for ring in draw(st.permutations(part.rings))] for part in portion]
        as_groups = draw(st.booleans())
        portions.append(groups if as_groups else draw(st.permutations([ring for group in groups for ring in group])))
    return portions


def _split(draw: st.DrawFn, items: Any) -> list[list[Any]]:
    """Put the items, in any order, into piles."""
    piles: dict[int, list[Any]] = {}
    for item in draw(st.permutations(list(items))):
        piles.setdefault(draw(st.integers(0, 2)), []).append(item)
    return list(piles.values())


@st.composite
def on_their_pages(draw: st.DrawFn, objects: list[Object]) -> list[dict[str, Any]]:
    """The objects of a PDF: areas in any order, flat or one level deeper, on one page or several."""
    annotations = [
        annotation(one.name, f"m{number}", type="polygon", annotations=_places(draw, one))
        for number, one in enumerate(objects)
    ]
    return draw(st.permutations(annotations))


def _places(draw: st.DrawFn, one: Object) -> list[dict[str, Any]]:
    placed = list(zip([part.rings[0] for part in one.parts], one.pages, strict=True))
    return [_place(draw, pile) for pile in _split(draw, placed)]


def _place(draw: st.DrawFn, placed: list[tuple[Ring, int]]) -> dict[str, Any]:
    rings, pages = [vertices(*_turned(draw, ring)) for ring, _ in placed], [page for _, page in placed]
    form = draw(st.sampled_from(["flat", "nested", "one area"]))
    if form == "one area":
        areas: list[Any] = [{"normalizedVertices": rings}]
    else:
        areas = [{"normalizedVertices": ring if form == "flat" else [ring]} for ring in rings]
    return {"boundingPoly": areas, "polys": areas, "pageNumberArray": pages}


def _area(draw: st.DrawFn, ring: Ring) -> dict[str, Any]:
    return area(*_turned(draw, ring))[0]


def _turned(draw: st.DrawFn, ring: Ring) -> Ring:
    """The same ring from another corner, in the other direction, closed."""
    start = draw(st.integers(0, len(ring) - 1))
    turned = ring[start:] + ring[:start]
    turned = turned[::-1] if draw(st.booleans()) else turned
    return (*turned, turned[0]) if draw(st.booleans()) else turned
