"""The official SDK reads what this room calls valid, with the values that were written."""

from __future__ import annotations

from typing import Any

import pytest
from kili_examples import EXAMPLES
from kili_own_shapes import KILIS_OWN
from ontology_fixtures import (
    an_object,
    choice,
    detection,
    entities,
    hole_of,
    objects,
    parsed,
    pose,
    project,
    read_by_sdk,
    ring_of,
    scores,
    transcription,
)
from task_shapes import SHAPES, Case

from worker.contract.output import Entities, Entity, ModelOutput, Transcription
from worker.ontology import to_json_response

READ = {**SHAPES, **EXAMPLES, **{name: case for name, case in KILIS_OWN.items() if name != "no confidence"}}


@pytest.mark.parametrize("case", READ.values(), ids=READ.keys())
def test_every_valid_response_comes_back_from_the_sdk_unchanged(case: Case) -> None:
    label = read_by_sdk(case.json_response, case.json_interface, case.input_type)
    assert label.json_response == case.json_response


@pytest.mark.parametrize("input_kind", ["radio", "singleDropdown", "checkbox", "multipleDropdown"])
def test_the_sdk_reads_the_categories_of_every_kind_of_choice(input_kind: str) -> None:
    raw = project(J=choice("A_ONE", "B_TWO", "C", input=input_kind))
    response = to_json_response(scores(A_ONE=0.1, B_TWO=0.83), parsed(raw))
    [category] = read_by_sdk(response, raw).jobs["J"].categories
    assert (category.name, category.confidence) == ("B_TWO", 83)


SHAPES_BY_TOOL: dict[str, tuple[tuple[float, float], ...]] = {
    "rectangle": ring_of(0.1, 0.2, 0.3, 0.4),
    "polygon": ((0.1, 0.1), (0.2, 0.5), (0.4, 0.3)),
    "semantic": ((0.1, 0.1), (0.2, 0.5), (0.4, 0.3), (0.3, 0.1)),
    "polyline": ((0.0, 0.1), (0.5, 0.6), (1.0, 0.9)),
    "vector": ((0.0, 0.1), (0.5, 0.6)),
    "marker": ((0.7, 0.8),),
}


def points_read(annotation: Any, tool: str) -> list[dict[str, float]]:
    if tool == "marker":
        return [annotation.point]
    found = annotation.polyline if tool in ("polyline", "vector") else annotation.bounding_poly[0].normalized_vertices
    return list(found)


@pytest.mark.parametrize("tool", SHAPES_BY_TOOL)
def test_the_sdk_reads_the_class_the_score_and_the_points_of_every_tool(tool: str) -> None:
    raw = project(J=detection("A", "B", tools=[tool]))
    ring = SHAPES_BY_TOOL[tool]
    response = to_json_response(objects(an_object("b", tool, ring, score=0.764)), parsed(raw))
    [annotation] = read_by_sdk(response, raw).jobs["J"].annotations
    assert (annotation.category.name, annotation.category.confidence, annotation.type) == ("B", 76, tool)
    assert annotation.mid == response["J"]["annotations"][0]["mid"]
    assert points_read(annotation, tool) == [{"x": x, "y": y} for x, y in ring]


@pytest.mark.parametrize("tool", ["rectangle", "polygon", "semantic"])
def test_the_sdk_reads_the_score_of_an_area(tool: str) -> None:
    raw = project(J=detection("A", tools=[tool]))
    response = to_json_response(objects(an_object("A", tool, score=0.5)), parsed(raw))
    assert read_by_sdk(response, raw).jobs["J"].annotations[0].score == 50


def test_the_sdk_reads_the_hole_of_a_semantic_area() -> None:
    raw = project(J=detection("A", tools=["semantic"]))
    rings = (ring_of(0.1, 0.1, 0.9, 0.9), hole_of(0.3, 0.3, 0.5, 0.5))
    response = to_json_response(objects(an_object("A", "semantic", *rings)), parsed(raw))
    [annotation] = read_by_sdk(response, raw).jobs["J"].annotations
    assert [[(v["x"], v["y"]) for v in poly.normalized_vertices] for poly in annotation.bounding_poly] == [
        list(ring) for ring in rings
    ]


def test_the_sdk_reads_a_mask_in_parts_as_an_annotation_for_each_part() -> None:
    raw = project(J=detection("A", tools=["semantic"]))
    outer, hole, other = ring_of(0.1, 0.1, 0.5, 0.5), hole_of(0.2, 0.2, 0.3, 0.3), ring_of(0.6, 0.6, 0.9, 0.9)
    response = to_json_response(objects(an_object("A", "semantic", outer, hole, other, score=0.7)), parsed(raw))
    found = read_by_sdk(response, raw).jobs["J"].annotations
    assert [(item.category.name, item.category.confidence, item.score) for item in found] == [("A", 70, 70)] * 2
    assert len({item.mid for item in found}) == 1
    assert [
        [tuple((v["x"], v["y"]) for v in poly.normalized_vertices) for poly in item.bounding_poly] for item in found
    ] == [[outer, hole], [other]]


def test_the_sdk_reads_the_points_of_a_pose() -> None:
    raw = project(J=pose("HAND", "WRIST", "THUMB"))
    hand = an_object("HAND", "pose", ((0.1, 0.2), (0.3, 0.4)), point_names=("wrist", "thumb"), score=0.9)
    [annotation] = read_by_sdk(to_json_response(objects(hand), parsed(raw)), raw).jobs["J"].annotations
    assert [(point.code, point.point, point.type) for point in annotation.points] == [
        ("WRIST", {"x": 0.1, "y": 0.2}, "marker"),
        ("THUMB", {"x": 0.3, "y": 0.4}, "marker"),
    ]


@pytest.mark.parametrize("tool", ["rectangle", "polygon", "semantic"])
def test_the_sdk_reads_the_page_and_the_area_of_an_object_of_a_pdf(tool: str) -> None:
    raw = project(J=detection("A", tools=[tool]))
    response = to_json_response(objects(an_object("A", tool, page=4)), parsed(raw, "PDF"))
    [annotation] = read_by_sdk(response, raw, "PDF").jobs["J"].annotations
    assert annotation.type == tool
    [place] = annotation.annotations
    assert place.page_number_array == [4]
    assert place.polys[0]["normalizedVertices"][0][1] == {"x": 0.1, "y": 0.2}
    assert place.bounding_poly[0].normalized_vertices == place.polys[0]["normalizedVertices"]


def test_the_sdk_reads_entities() -> None:
    raw = project(J=entities("PERSON"))
    output = ModelOutput(Entities((Entity("PERSON", 4, 7, "Ada", 0.61),)))
    response = to_json_response(output, parsed(raw, "TEXT"), text="and Ada")
    [entity] = read_by_sdk(response, raw, "TEXT").jobs["J"].entity_annotations
    assert (entity.begin_offset, entity.end_offset, entity.content) == (4, 7, "Ada")
    assert (entity.category.name, entity.category.confidence) == ("PERSON", 61)


def test_the_sdk_reads_a_transcription() -> None:
    raw = project(J=transcription())
    response = to_json_response(ModelOutput(Transcription("hello")), parsed(raw))
    assert read_by_sdk(response, raw).jobs["J"].text == "hello"


def test_the_sdk_reads_relations_children_and_files() -> None:
    relation = SHAPES["objects and their relation"]
    [has] = read_by_sdk(relation.json_response, relation.json_interface).jobs["HAS"].annotations
    assert (has.start_objects, len(has.end_objects)) == ([{"mid": "bike"}], 2)
    nested = SHAPES["object with child choice and child text"]
    [plate] = read_by_sdk(nested.json_response, nested.json_interface).jobs["PLATES"].annotations
    assert plate.children["NUMBER"].text == "B-XY 12"
    assert [item.name for item in plate.children["STATE"].categories] == ["BENT", "DIRTY"]
    file = SHAPES["file"]
    assert read_by_sdk(file.json_response, file.json_interface).jobs["MODEL"].file_id == "f1"
