"""Agreement is about what was found, not about how it was written down, and never fails on what is valid."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from kili_own_shapes import KILIS_OWN, LAND, ON_THE_MAP, lakes, on_pages, part
from ontology_fixtures import annotation, both_ways, box, detection, entities, parsed, pose, project, relation, vertices
from task_shapes import SHAPES, UNREAD_BY_THE_SDK, Case
from ways_of_writing import Object, found, on_their_pages, written

from tests.fuzzing import examples
from worker.ontology import OntologyError, agreement, validate

SLOW = settings(max_examples=examples(15), suppress_health_check=[HealthCheck.too_slow])
NEARLY = pytest.approx
IMAGE = parsed(project(**LAND))
MAP = parsed(project(**LAND), "GEOSPATIAL")
PDF = parsed(project(LAND=detection("LAKE", "WOOD", tools=["polygon"])), "PDF")
OBJECTS = st.lists(found(), min_size=1, max_size=3)


def also_in(data: st.DataObject, objects: list[Object], others: st.SearchStrategy[list[Object]]) -> list[Object]:
    """Another side's objects: some of the same, some different ones."""
    kept = [one for one in objects if data.draw(st.booleans())]
    return [*kept, *data.draw(others)]


@SLOW
@given(data=st.data())
def test_parts_may_be_annotations_groups_or_rings_in_any_order_from_any_corner(data: st.DataObject) -> None:
    a = data.draw(OBJECTS)
    b = also_in(data, a, OBJECTS)
    value, other = (
        both_ways(lakes(*data.draw(written(a))), lakes(*data.draw(written(b))), interface) for interface in (IMAGE, MAP)
    )
    assert value.overall == NEARLY(other.overall, abs=1e-9)
    assert both_ways(lakes(*data.draw(written(a))), lakes(*data.draw(written(a))), IMAGE).overall == NEARLY(
        1.0, abs=1e-9
    )


@SLOW
@given(data=st.data())
def test_areas_of_a_pdf_may_be_listed_in_any_order_of_their_pages(data: st.DataObject) -> None:
    plain = st.lists(found(holes=False), min_size=1, max_size=3)
    a = data.draw(plain)
    b = also_in(data, a, plain)
    value, other = (
        both_ways(lakes(*data.draw(on_their_pages(a))), lakes(*data.draw(on_their_pages(b))), PDF) for _ in range(2)
    )
    assert value.overall == NEARLY(other.overall, abs=1e-9)
    same = both_ways(lakes(*data.draw(on_their_pages(a))), lakes(*data.draw(on_their_pages(a))), PDF)
    assert same.overall == NEARLY(1.0, abs=1e-9)


Corners = tuple[int, int, int, int]
BOXES = st.lists(
    st.tuples(*[st.integers(0, 9)] * 2, *[st.integers(1, 6)] * 2).map(lambda b: (b[0], b[1], b[0] + b[2], b[1] + b[3])),
    min_size=1,
    max_size=4,
)


def cells(corners: Corners) -> set[tuple[int, int]]:
    return {(x, y) for x in range(corners[0], corners[2]) for y in range(corners[1], corners[3])}


def drawn(corners: Corners) -> list[dict[str, Any]]:
    return box(*(value / 16 for value in corners))


@settings(max_examples=examples(40))
@given(a=BOXES, b=BOXES)
def test_areas_cover_what_any_part_covers_and_rings_cut_holes(a: list[Corners], b: list[Corners]) -> None:
    """Counted in cells: overlapping annotations are a union, the rings of one annotation go by the even-odd rule."""
    union = set().union(*map(cells, a))
    even_odd: set[tuple[int, int]] = set()
    for corners in b:
        even_odd ^= cells(corners)
    assume(even_odd)
    parts = lakes(*(part("w", drawn(corners)) for corners in a))
    rings = lakes(part("v", [ring for corners in b for ring in drawn(corners)]))
    assert both_ways(parts, rings, IMAGE).overall == NEARLY(len(union & even_odd) / len(union | even_odd), abs=1e-9)


VALID: dict[str, Case] = {**SHAPES, **UNREAD_BY_THE_SDK, **KILIS_OWN, **ON_THE_MAP}
ODD = [None, True, 0, 1, 0.25, 100, "", "marker", "pose", "polygon", "semantic", "RED", [], {}, [1], {"text": "a"}]


def places(value: Any) -> list[tuple[Any, ...]]:
    """Every path into a JSON value."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [(key, *below) for key, item in items for below in ((), *places(item))]


def changed(response: Any, path: tuple[Any, ...], value: Any) -> Any:
    copy = deepcopy(response)
    holder = copy
    for step in path[:-1]:
        holder = holder[step]
    holder[path[-1]] = value
    return copy


@pytest.mark.parametrize("name", VALID)
@SLOW
@given(data=st.data())
def test_whatever_is_taken_is_compared_and_agrees_with_itself(name: str, data: st.DataObject) -> None:
    """Valid responses with something odd in them: where they are still valid, they are still the same as themselves."""
    case = VALID[name]
    response: Any = case.json_response
    for _ in range(data.draw(st.integers(1, 2))):
        paths = places(response)
        if paths:
            response = changed(response, data.draw(st.sampled_from(paths)), deepcopy(data.draw(st.sampled_from(ODD))))
    try:
        validate(response, case.interface, text=case.text, partial=True, georeferenced=case.georeferenced)
    except OntologyError:
        return
    assert agreement(response, response, case.interface).overall == 1.0
    assert agreement(response, case.json_response, case.interface) == agreement(
        case.json_response, response, case.interface
    )


def test_an_area_in_parts_agrees_with_the_one_part_it_shares() -> None:
    a = lakes(part("w", box(0.1, 0.1, 0.5, 0.3)), part("w", box(0.6, 0.6, 0.7, 0.8)))
    assert both_ways(a, lakes(part("x", box(0.1, 0.1, 0.5, 0.3))), IMAGE).overall == NEARLY(0.8)


def test_an_object_in_parts_counts_as_one() -> None:
    a = lakes(*(part("w", box(x, 0.1, x + 0.1, 0.2)) for x in (0.1, 0.3, 0.5)), part("v", box(0.1, 0.6, 0.2, 0.7)))
    assert both_ways(a, a, IMAGE).weights == {"LAND": 2.0}


def test_an_area_is_on_the_page_that_it_names() -> None:
    interface = parsed(project(CLAUSES=entities("CHART")), "PDF")
    high, low = vertices((0.1, 0.1), (0.9, 0.1), (0.9, 0.2)), vertices((0.1, 0.8), (0.9, 0.8), (0.9, 0.9))

    def clause(pages: list[int], *areas: Any) -> dict[str, Any]:
        return {"CLAUSES": {"annotations": [on_pages(pages, *([ring] for ring in areas))]}}

    assert both_ways(clause([1, 2], low, high), clause([2, 1], high, low), interface).overall == 1.0
    assert both_ways(clause([1, 2], low, high), clause([1, 1], low, high), interface).overall == NEARLY(1 / 3)
    assert both_ways(clause([1, 2], low, high), clause([2, 1], low, high), interface).overall == 0.0


POSES = parsed(project(HANDS=pose("HAND", "WRIST", "THUMB")))


def hand(tool: str, **points: tuple[float, float]) -> dict[str, Any]:
    marks = [{"code": code, "mid": "h", "point": {"x": x, "y": y}} for code, (x, y) in points.items()]
    return {"HANDS": {"annotations": [annotation("HAND", "h", type=tool, points=marks)]}}


def test_a_pose_typed_as_a_marker_is_a_pose() -> None:
    a, b = (hand(tool, WRIST=(0.2, 0.2), THUMB=(0.4, 0.4)) for tool in ("marker", "pose"))
    assert both_ways(a, b, POSES).overall == 1.0
    assert both_ways(a, hand("pose", WRIST=(0.2, 0.2)), POSES).overall == NEARLY(0.5)


def test_poses_of_which_nothing_is_seen_are_the_same() -> None:
    assert both_ways(hand("pose"), hand("marker"), POSES).overall == 1.0
    assert both_ways(hand("pose"), hand("pose", WRIST=(0.2, 0.2)), POSES).overall == 0.0


FARMS = parsed(project(SITES=detection("FARM", tools=["marker", "polyline", "polygon"])))


def farm(mid: str, *points: tuple[float, float]) -> dict[str, Any]:
    marks = [annotation("FARM", mid, type="marker", point={"x": x, "y": y}) for x, y in points]
    return {"SITES": {"annotations": [*marks, part(mid, box(0.1, 0.1, 0.3, 0.3), "FARM", "polygon")]}}


def test_what_each_kind_of_tool_drew_of_an_object_is_compared() -> None:
    two = farm("f", (0.2, 0.2), (0.8, 0.8))
    assert both_ways(two, farm("g", (0.8, 0.8), (0.2, 0.2)), FARMS).overall == 1.0
    assert both_ways(two, farm("g", (0.2, 0.2)), FARMS).jobs == {"SITES": NEARLY((1 + 1 / 2) / 2)}


def test_relations_follow_an_object_in_parts_drawn_with_several_tools() -> None:
    interface = parsed(
        project(
            SITES=detection("FARM", tools=["marker", "polyline", "polygon"]),
            NEAR=relation("OBJECT_RELATION", "NEXT", ["ANY"], ["ANY"]),
        )
    )

    def beside(mid: str, *points: tuple[float, float]) -> dict[str, Any]:
        return farm(mid, *points) | {
            "NEAR": {"annotations": [annotation("NEXT", "n", startObjects=[{"mid": mid}], endObjects=[{"mid": mid}])]}
        }

    assert both_ways(beside("f", (0.2, 0.2)), beside("g", (0.2, 0.2)), interface).jobs["NEAR"] == 1.0


def test_thin_areas_far_apart_are_measured() -> None:
    a = lakes(part("w", box(0.1, 0.1, 0.9, 0.1004)), part("w", box(0.1, 0.9, 0.9, 0.9001)))
    b = lakes(part("v", box(0.1, 0.1, 0.9, 0.1002)), part("v", box(0.1, 0.9, 0.9, 0.9001)))
    assert both_ways(a, b, IMAGE).overall == NEARLY(3 / 5)
