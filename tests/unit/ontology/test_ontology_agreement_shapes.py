from __future__ import annotations

import time
from math import exp, sqrt
from random import Random
from typing import Any

import pytest
from ontology_fixtures import (
    a_box,
    annotation,
    area,
    both_ways,
    box,
    detection,
    on_page,
    parsed,
    pose,
    project,
    ring_of,
    ships,
    transcription,
    vertices,
)

from worker.ontology import Agreement, Interface, agreement

NEARLY = pytest.approx

BOXES = parsed(project(SHIPS=detection("TUG", "FERRY", tools=["rectangle"])))
AREAS = parsed(project(SHIPS=detection("TUG", "FERRY", tools=["rectangle", "polygon", "semantic"])))


def test_matched_boxes_agree_by_intersection_over_union() -> None:
    a = ships(a_box("TUG", "a", 0.0, 0.0, 0.4, 0.4))
    b = ships(a_box("TUG", "b", 0.2, 0.0, 0.6, 0.4))
    assert both_ways(a, b, BOXES).overall == NEARLY(1 / 3)


def test_boxes_of_different_classes_do_not_match() -> None:
    a, b = ships(a_box("TUG", "a")), ships(a_box("FERRY", "a"))
    assert both_ways(a, b, BOXES) == Agreement(0.0, {"SHIPS": 0.0}, {"SHIPS": 2.0})


def test_matches_are_divided_by_matches_and_what_is_left_over_on_both_sides() -> None:
    a = ships(a_box("TUG", "1"), a_box("TUG", "2", 0.7, 0.7, 0.8, 0.8))
    b = ships(a_box("FERRY", "3", 0.5, 0.1, 0.6, 0.2), a_box("TUG", "4"), a_box("TUG", "5", 0.9, 0.9, 1, 1))
    assert both_ways(a, b, BOXES) == Agreement(NEARLY(1 / 4), {"SHIPS": NEARLY(1 / 4)}, {"SHIPS": 4.0})


def test_every_box_matches_once_and_the_most_similar_pair_first() -> None:
    a = ships(a_box("TUG", "1", 0.0, 0.0, 0.5, 0.5))
    b = ships(a_box("TUG", "2", 0.0, 0.0, 0.5, 0.25), a_box("TUG", "3", 0.0, 0.0, 0.5, 0.5))
    assert both_ways(a, b, BOXES).overall == NEARLY(1 / 2)


def test_the_order_of_objects_does_not_matter() -> None:
    found = [a_box("TUG", f"m{i}", 0.1 * i, 0.1, 0.1 * i + 0.15, 0.4) for i in range(6)]
    others = [a_box("TUG", f"n{i}", 0.1 * i + 0.05, 0.1, 0.1 * i + 0.2, 0.4) for i in range(6)]
    straight = both_ways(ships(*found), ships(*others), BOXES)
    assert both_ways(ships(*reversed(found)), ships(*others), BOXES) == straight
    assert both_ways(ships(*found), ships(*reversed(others)), BOXES) == straight


def test_nothing_found_by_both_is_agreement_even_when_one_says_nothing() -> None:
    assert both_ways(ships(), ships(), BOXES).jobs == {"SHIPS": 1.0}
    assert both_ways(ships(), {}, BOXES).jobs == {"SHIPS": 1.0}


def test_objects_against_nothing_disagree() -> None:
    assert both_ways(ships(a_box("TUG", "a")), {}, BOXES).jobs == {"SHIPS": 0.0}


def test_an_objects_children_count_by_the_geometric_mean() -> None:
    interface = parsed(
        project(
            SHIPS=detection("TUG", tools=["rectangle"], children={"TUG": ["NAME"]}), NAME=transcription(isChild=True)
        )
    )
    a = ships(a_box("TUG", "a", 0.0, 0.0, 0.4, 0.4, children={"NAME": {"text": "Anna"}}))
    b = ships(a_box("TUG", "b", 0.0, 0.0, 0.4, 0.2, children={"NAME": {"text": "Anne"}}))
    assert both_ways(a, b, interface).overall == NEARLY(sqrt(0.5 * 0.75))


def an_area(tool: str, *rings: Any, name: str = "TUG") -> dict[str, Any]:
    parts = [part for ring in rings for part in area(*ring)]
    return ships(annotation(name, "m", type=tool, boundingPoly=parts))


SQUARE = ring_of(0.2, 0.2, 0.6, 0.6)
TRIANGLE = ((0.2, 0.2), (0.6, 0.2), (0.2, 0.6))
L_SHAPE = ((0.2, 0.2), (0.6, 0.2), (0.6, 0.4), (0.4, 0.4), (0.4, 0.6), (0.2, 0.6))


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        (an_area("polygon", SQUARE), an_area("polygon", TRIANGLE), 1 / 2),
        (an_area("polygon", SQUARE), an_area("polygon", L_SHAPE), 3 / 4),
        (an_area("polygon", TRIANGLE), an_area("polygon", TRIANGLE[1:] + TRIANGLE[:1]), 1.0),
        (an_area("rectangle", SQUARE), an_area("polygon", SQUARE[::-1]), 1.0),
        (an_area("semantic", SQUARE, ring_of(0.3, 0.3, 0.5, 0.5)), an_area("polygon", SQUARE), 3 / 4),
        (
            an_area("semantic", ring_of(0.1, 0.1, 0.2, 0.2), ring_of(0.5, 0.1, 0.6, 0.2)),
            an_area("polygon", ring_of(0.1, 0.1, 0.2, 0.2)),
            1 / 2,
        ),
        (an_area("polygon", ring_of(0, 0, 1e-3, 1e-3)), an_area("polygon", ((0, 0), (1e-3, 0), (0, 1e-3))), 1 / 2),
        (an_area("polygon", SQUARE), an_area("polygon", ring_of(0.7, 0.2, 0.9, 0.6)), 0.0),
    ],
    ids=["convex", "concave", "shifted start", "other tool", "hole", "parts", "tiny", "apart"],
)
def test_areas_of_any_form_agree_by_intersection_over_union(
    a: dict[str, Any], b: dict[str, Any], expected: float
) -> None:
    assert both_ways(a, b, AREAS).overall == NEARLY(expected, abs=0.005)


def test_areas_are_compared_on_their_own_page() -> None:
    interface = parsed(project(FIGURES=detection("CHART", tools=["rectangle"])), "PDF")

    def chart(page: int, right: float = 0.5) -> dict[str, Any]:
        place = on_page(page, ring_of(0.1, 0.1, right, 0.5))
        return {"FIGURES": {"annotations": [annotation("CHART", "f", annotations=[place])]}}

    assert both_ways(chart(1), chart(1, 0.3), interface).overall == NEARLY(1 / 2)
    assert both_ways(chart(1), chart(2), interface).overall == 0.0


def test_boxes_without_extent_agree_only_with_themselves() -> None:
    line, other = a_box("TUG", "a", 0.1, 0.1, 0.1, 0.4), a_box("TUG", "b", 0.1, 0.1, 0.1, 0.5)
    assert both_ways(ships(line), ships(line), BOXES).overall == 1.0
    assert both_ways(ships(line), ships(other), BOXES).overall == 0.0


def test_two_hundred_boxes_are_compared_in_a_fraction_of_a_second() -> None:
    random = Random(3)

    def crowd() -> dict[str, Any]:
        corners = [(random.random() * 0.9, random.random() * 0.9) for _ in range(100)]
        return ships(*(a_box("TUG", f"m{i}", x, y, x + 0.1, y + 0.1) for i, (x, y) in enumerate(corners)))

    a, b = crowd(), crowd()
    started = time.process_time()
    agreement(a, b, BOXES)
    assert time.process_time() - started < 0.5


def test_a_polygon_and_its_box_agree_by_the_box_they_share() -> None:
    assert both_ways(
        ships(annotation("TUG", "a", type="rectangle", boundingPoly=box(0.2, 0.2, 0.6, 0.6))),
        an_area("polygon", TRIANGLE),
        AREAS,
    ).overall == NEARLY(1 / 2, abs=0.005)


def drawn(tool: str, **shape: Any) -> dict[str, Any]:
    return ships(annotation("TUG", "m", type=tool, **shape))


def of_tool(tool: str) -> Interface:
    return parsed(project(SHIPS=detection("TUG", tools=[tool])))


def test_markers_agree_by_their_distance() -> None:
    here, near, far = (drawn("marker", point={"x": x, "y": 0.5}) for x in (0.5, 0.51, 0.9))
    assert both_ways(here, near, of_tool("marker")).overall == NEARLY(exp(-0.08))
    assert both_ways(here, far, of_tool("marker")).overall == 0.0


def test_a_polyline_has_no_direction_and_a_vector_has() -> None:
    ahead, back = ((0.1, 0.1), (0.5, 0.5), (0.9, 0.2)), ((0.9, 0.2), (0.5, 0.5), (0.1, 0.1))
    for tool, expected in (("polyline", 1.0), ("vector", 0.05)):
        a, b = drawn(tool, polyline=vertices(*ahead)), drawn(tool, polyline=vertices(*back))
        assert both_ways(a, b, of_tool(tool)).overall == NEARLY(expected, abs=0.05)


def test_lines_agree_whatever_points_they_are_drawn_with() -> None:
    coarse = drawn("polyline", polyline=vertices((0.1, 0.1), (0.9, 0.9)))
    fine = drawn("polyline", polyline=vertices((0.1, 0.1), (0.2, 0.2), (0.25, 0.25), (0.9, 0.9)))
    assert both_ways(coarse, fine, of_tool("polyline")).overall == NEARLY(1.0)


HANDS = parsed(project(HANDS=pose("HAND", "WRIST", "THUMB")))


def hand(**points: tuple[float, float]) -> dict[str, Any]:
    marks = [{"code": code, "point": {"x": x, "y": y}} for code, (x, y) in points.items()]
    return {"HANDS": {"annotations": [annotation("HAND", "h", type="pose", points=marks)]}}


def test_poses_agree_by_the_similarity_of_their_points() -> None:
    a, b = hand(WRIST=(0.2, 0.2), THUMB=(0.4, 0.4)), hand(WRIST=(0.2, 0.2), THUMB=(0.4, 0.42))
    size = (0.2 + sqrt((0.2**2 + 0.22**2) / 2)) / 2
    assert both_ways(a, b, HANDS).overall == NEARLY((1 + exp(-(0.02**2) / (2 * (0.1 * size) ** 2))) / 2)


def test_a_point_only_one_pose_has_counts_against_it() -> None:
    assert both_ways(hand(WRIST=(0.2, 0.2), THUMB=(0.4, 0.4)), hand(WRIST=(0.2, 0.2)), HANDS).overall == NEARLY(0.5)


def test_drawings_of_an_unknown_tool_are_the_same_or_not() -> None:
    interface = of_tool("range")
    one, other = drawn("range", ranges=[[1, 2]]), drawn("range", ranges=[[1, 3]])
    assert both_ways(one, one, interface).overall == 1.0
    assert both_ways(one, other, interface).overall == 0.0
