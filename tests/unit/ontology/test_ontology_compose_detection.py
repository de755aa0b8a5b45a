from __future__ import annotations

from typing import Any

import pytest
from ontology_fixtures import an_object, area, box, detection, hole_of, objects, parsed, pose, project, ring_of

from worker.contract.output import Detection, Frame, Frames, ModelOutput
from worker.ontology import Interface, OntologyError, to_json_response

BOXES = parsed(project(SHIPS=detection("TUG", "FERRY", tools=["rectangle"])))


def with_tools(*tools: str, input_type: str = "IMAGE") -> Any:
    return parsed(project(SHIPS=detection("TUG", "FERRY", tools=list(tools))), input_type)


def annotations(output: ModelOutput, interface: Any = BOXES, **options: Any) -> list[dict[str, Any]]:
    response = to_json_response(output, interface, **options)
    found: list[dict[str, Any]] = response[next(iter(response))]["annotations"]
    return found


def refused(output: ModelOutput, interface: Any = BOXES, **options: Any) -> OntologyError:
    with pytest.raises(OntologyError) as caught:
        to_json_response(output, interface, **options)
    return caught.value


def test_an_object_becomes_an_annotation_with_class_confidence_and_shape() -> None:
    [tug] = annotations(objects(an_object("tug", score=0.871)))
    assert tug["categories"] == [{"name": "TUG", "confidence": 87}]
    assert tug["score"] == 87
    assert tug["type"] == "rectangle"
    assert tug["boundingPoly"] == box(0.1, 0.2, 0.4, 0.6)


def test_an_object_without_score_has_no_confidence() -> None:
    [tug] = annotations(objects(an_object("TUG")))
    assert tug["categories"] == [{"name": "TUG"}]
    assert "score" not in tug


def test_nothing_found_is_an_answer() -> None:
    assert to_json_response(objects(), BOXES) == {"SHIPS": {"annotations": []}}


def test_nothing_found_answers_a_required_job() -> None:
    interface = parsed(project(SHIPS=detection("TUG", tools=["rectangle"], required=1)))
    assert to_json_response(objects(), interface) == {"SHIPS": {"annotations": []}}


def test_corners_are_ordered_as_kili_draws_them() -> None:
    clockwise = ((0.1, 0.2), (0.4, 0.2), (0.4, 0.6), (0.1, 0.6))
    assert annotations(objects(an_object("TUG", "rectangle", clockwise)))[0]["boundingPoly"] == box(0.1, 0.2, 0.4, 0.6)


def test_a_turned_rectangle_keeps_its_corners() -> None:
    turned = ((0.5, 0.1), (0.9, 0.5), (0.5, 0.9), (0.1, 0.5))
    [tug] = annotations(objects(an_object("TUG", "rectangle", turned)))
    assert [(v["x"], v["y"]) for v in tug["boundingPoly"][0]["normalizedVertices"]] == list(turned)


def test_mids_are_the_same_for_the_same_answer_and_differ_within_it() -> None:
    output = objects(an_object("TUG"), an_object("TUG"), an_object("FERRY"))
    first = [item["mid"] for item in annotations(output)]
    assert first == [item["mid"] for item in annotations(output)]
    assert len(set(first)) == 3


def test_a_mid_depends_on_the_shape_and_not_on_the_score() -> None:
    moved = an_object("TUG", "rectangle", ring_of(0.1, 0.2, 0.4, 0.61))
    outputs = [an_object("TUG", score=0.3), an_object("TUG", score=0.4), moved]
    one, rescored, other = (annotations(objects(item))[0]["mid"] for item in outputs)
    assert one == rescored != other


@pytest.mark.parametrize(
    ("drawn", "tools", "used"),
    [
        ("rectangle", ["rectangle", "polygon"], "rectangle"),
        ("rectangle", ["polygon"], "polygon"),
        ("rectangle", ["semantic", "marker"], "semantic"),
        ("polygon", ["rectangle", "polygon"], "polygon"),
        ("polygon", ["semantic"], "semantic"),
        ("semantic", ["polygon", "semantic"], "semantic"),
        ("semantic", ["polygon"], "polygon"),
    ],
)
def test_a_shape_uses_a_tool_that_holds_it_unchanged(drawn: str, tools: list[str], used: str) -> None:
    [tug] = annotations(objects(an_object("TUG", drawn)), with_tools(*tools))
    assert tug["type"] == used
    assert tug["boundingPoly"] == box(0.1, 0.2, 0.4, 0.6)


@pytest.mark.parametrize(
    ("drawn", "tools"),
    [("polygon", ["rectangle"]), ("semantic", ["rectangle"]), ("polyline", ["vector"]), ("rectangle", ["marker"])],
)
def test_a_shape_that_would_change_is_refused(drawn: str, tools: list[str]) -> None:
    error = refused(objects(an_object("TUG", drawn)), with_tools(*tools))
    assert (error.cause, error.field) == ("wrong_tool", "answer.objects[0].shape.tool")


def test_an_area_with_a_hole_is_no_polygon() -> None:
    ring = an_object("TUG", "semantic", ring_of(0.1, 0.1, 0.9, 0.9), hole_of(0.3, 0.3, 0.5, 0.5))
    assert refused(objects(ring), with_tools("polygon")).cause == "wrong_tool"
    [tug] = annotations(objects(ring), with_tools("semantic"))
    assert tug["boundingPoly"] == area(*ring_of(0.1, 0.1, 0.9, 0.9)) + area(*hole_of(0.3, 0.3, 0.5, 0.5))


PARTS = (ring_of(0.1, 0.1, 0.5, 0.5), hole_of(0.2, 0.2, 0.3, 0.3), ring_of(0.6, 0.6, 0.9, 0.9))


def test_a_mask_in_parts_becomes_an_annotation_for_each_part_with_its_holes() -> None:
    outer, other = annotations(objects(an_object("tug", "semantic", *PARTS, score=0.8)), with_tools("semantic"))
    assert outer["boundingPoly"] == area(*PARTS[0]) + area(*PARTS[1])
    assert other["boundingPoly"] == area(*PARTS[2])
    for part in (outer, other):
        assert (part["type"], part["score"], part["categories"]) == (
            "semantic",
            80,
            [{"name": "TUG", "confidence": 80}],
        )


def test_the_parts_of_a_mask_share_one_mid_that_stays_the_same() -> None:
    same = ring_of(0.1, 0.1, 0.5, 0.5)
    output = objects(an_object("TUG", "semantic", *PARTS), an_object("TUG", "semantic", same, same, same))
    mids = [item["mid"] for item in annotations(output, with_tools("semantic"))]
    assert mids == [mids[0]] * 2 + [mids[2]] * 3
    assert mids[0] != mids[2]
    assert mids == [item["mid"] for item in annotations(output, with_tools("semantic"))]


def test_the_parts_of_a_tracked_mask_keep_their_mids_through_the_frames() -> None:
    moved = tuple(tuple((x + 0.05, y) for x, y in ring) for ring in PARTS)
    frames = [
        Frame(index, Detection((an_object("TUG", "semantic", *rings, track_id="7"),)))
        for index, rings in enumerate((PARTS, moved))
    ]
    video = to_json_response(ModelOutput(Frames(tuple(frames))), with_tools("semantic", input_type="VIDEO"))
    first, second = ([item["mid"] for item in video[index]["SHIPS"]["annotations"]] for index in ("0", "1"))
    assert first == second == [first[0]] * 2


def test_parts_without_holes_are_polygons_where_there_is_no_other_tool() -> None:
    whole = an_object("TUG", "semantic", PARTS[0], PARTS[2])
    assert [item["type"] for item in annotations(objects(whole), with_tools("polygon"))] == ["polygon", "polygon"]
    assert refused(objects(an_object("TUG", "semantic", *PARTS)), with_tools("polygon")).cause == "wrong_tool"


def test_markers_and_lines_have_their_own_shapes() -> None:
    marker = an_object("TUG", "marker", ((0.3, 0.4),))
    line = an_object("TUG", "polyline", ((0.0, 0.1), (0.5, 0.2), (1.0, 0.3)))
    arrow = an_object("TUG", "vector", ((0.0, 0.1), (0.5, 0.2)))
    found = annotations(objects(marker, line, arrow), with_tools("marker", "polyline", "vector"))
    assert [item["type"] for item in found] == ["marker", "polyline", "vector"]
    assert found[0]["point"] == {"x": 0.3, "y": 0.4}
    assert found[1]["polyline"][2] == {"x": 1.0, "y": 0.3}
    assert len(found[2]["polyline"]) == 2


POSES = parsed(project(HANDS=pose("HAND", "WRIST", "LEFT_THUMB", "RIGHT_THUMB")))


def a_hand(*names: str, **parts: Any) -> ModelOutput:
    ring = tuple((0.1 * index, 0.5) for index in range(1, len(names) + 1))
    return objects(an_object("HAND", "pose", ring, point_names=names, **parts))


def test_the_points_of_a_pose_are_found_by_code_and_by_name() -> None:
    [hand] = annotations(a_hand("wrist", "Left Thumb", "RIGHT_THUMB"), POSES)
    assert hand["type"] == "pose"
    assert [point["code"] for point in hand["points"]] == ["WRIST", "LEFT_THUMB", "RIGHT_THUMB"]
    assert hand["points"][1]["point"] == {"x": 0.2, "y": 0.5}
    assert {point["mid"] for point in hand["points"]} == {hand["mid"]}


def test_hidden_points_of_a_pose_are_left_out() -> None:
    [hand] = annotations(a_hand("WRIST", "LEFT_THUMB", visible=(True, False)), POSES)
    assert [point["code"] for point in hand["points"]] == ["WRIST"]


def test_a_point_the_pose_lacks_is_refused_and_the_nearest_named() -> None:
    error = refused(a_hand("WRIST", "LEFT_THUM"), POSES)
    assert (error.cause, error.field) == ("unknown_point", "answer.objects[0].shape.point_names[1]")
    assert "LEFT_THUMB" in error.fix


def test_a_pose_with_more_points_than_names_is_refused() -> None:
    points = an_object("HAND", "pose", ((0.1, 0.1), (0.2, 0.2)), point_names=("WRIST",))
    assert refused(objects(points), POSES).cause == "malformed"


def test_a_rounding_error_outside_the_image_is_moved_onto_its_border() -> None:
    ring = ring_of(-1e-9, 0.0, 1.0000001, 1.0)
    [tug] = annotations(objects(an_object("TUG", "rectangle", ring)))
    assert tug["boundingPoly"] == box(0.0, 0.0, 1.0, 1.0)


@pytest.mark.parametrize(
    ("item", "cause"),
    [
        (an_object("TUG", "rectangle", ring_of(0.1, 0.1, 1.2, 0.5)), "outside_image"),
        (an_object("TUG", "rectangle", ring_of(0.1, 0.1, float("nan"), 0.5)), "not_finite"),
        (an_object("TUG", "rectangle", ((0.1, 0.1), (0.5, 0.5))), "too_few_vertices"),
        (an_object("TUG", score=1.2), "bad_score"),
        (an_object("KAYAK"), "unknown_class"),
    ],
)
def test_an_impossible_object_is_refused(item: Any, cause: str) -> None:
    assert refused(objects(an_object("FERRY"), item)).cause == cause


def test_every_object_of_an_unknown_class_is_one_too_many() -> None:
    error = refused(objects(an_object("TUG", score=0.99), an_object("KAYAK", score=0.01)))
    assert (error.cause, error.field) == ("unknown_class", "answer.objects[1].label")


def test_the_configured_map_names_the_category_of_an_object() -> None:
    assert annotations(objects(an_object("boat")), classes={"boat": "TUG"})[0]["categories"] == [{"name": "TUG"}]


def test_an_object_of_a_pdf_goes_onto_its_page() -> None:
    [chart] = annotations(objects(an_object("TUG", page=3)), with_tools("rectangle", input_type="PDF"))
    [place] = chart["annotations"]
    assert "type" not in chart | place
    assert place["pageNumberArray"] == [3]
    assert place["boundingPoly"][0]["normalizedVertices"] == [box(0.1, 0.2, 0.4, 0.6)[0]["normalizedVertices"]]
    assert "boundingPoly" not in chart


def test_only_a_polygon_of_a_pdf_has_a_type_and_not_on_its_page() -> None:
    [chart] = annotations(objects(an_object("TUG", "polygon", page=3)), with_tools("polygon", input_type="PDF"))
    assert chart["type"] == "polygon"
    assert "type" not in chart["annotations"][0]


def test_every_area_on_a_page_names_it() -> None:
    areas = an_object("TUG", "semantic", PARTS[0], PARTS[1], page=2)
    [chart] = annotations(objects(areas), with_tools("semantic", input_type="PDF"))
    assert chart["annotations"][0]["pageNumberArray"] == [2, 2]


def test_an_object_of_a_pdf_needs_its_page() -> None:
    error = refused(objects(an_object("TUG")), with_tools("rectangle", input_type="PDF"))
    assert (error.cause, error.field) == ("page_missing", "answer.objects[0].page")


def test_a_marker_has_no_place_on_a_page() -> None:
    marker = an_object("TUG", "marker", ((0.3, 0.4),), page=1)
    assert refused(objects(marker), with_tools("marker", input_type="PDF")).cause == "wrong_tool"


def test_relative_positions_are_no_places_on_a_map() -> None:
    error = refused(objects(an_object("TUG")), with_tools("rectangle", input_type="GEOSPATIAL"))
    assert error.cause == "not_expressible"


def test_a_scene_that_is_labelled_in_pixels_takes_positions_and_holds_an_areas_parts_together() -> None:
    scene = Interface.parse(project(SHIPS=detection("TUG", tools=["semantic"])), "GEOSPATIAL", "PIXEL")
    [tug] = annotations(objects(an_object("TUG", "semantic", *PARTS)), scene)
    assert tug["boundingPoly"] == [area(*PARTS[0]) + area(*PARTS[1]), area(*PARTS[2])]
