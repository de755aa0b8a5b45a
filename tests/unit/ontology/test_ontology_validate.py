from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest
from broken_responses import BROKEN, Broken
from kili_examples import EXAMPLES
from kili_own_shapes import BOXES, KILIS_OWN, LAND, LEFT, ON_THE_MAP, RIGHT, TRACKED_TWICE, lakes, part
from ontology_fixtures import (
    a_box,
    annotation,
    box,
    choice,
    detection,
    entities,
    on_page,
    parsed,
    project,
    relation,
    ring_of,
)
from task_shapes import SHAPES, UNREAD_BY_THE_SDK, Case, chosen

from worker.ontology import CAUSES, Interface, OntologyError, validate

VALID = {**SHAPES, **UNREAD_BY_THE_SDK, **EXAMPLES, **KILIS_OWN, **ON_THE_MAP}

ONLY_COMPOSED = {
    "unknown_class",
    "ambiguous_class",
    "ambiguous_job",
    "no_fitting_job",
    "missing_score",
    "bad_score",
    "not_a_distribution",
    "page_missing",
    "duplicate_frame",
    "frames_missing",
    "not_expressible",
}
"""Causes that a finished response cannot have."""


def refused(response: Any, interface: Interface, **options: Any) -> OntologyError:
    with pytest.raises(OntologyError) as caught:
        validate(response, interface, **options)
    return caught.value


@pytest.mark.parametrize("case", VALID.values(), ids=VALID.keys())
def test_a_valid_response_passes(case: Case) -> None:
    validate(case.json_response, case.interface, text=case.text, georeferenced=case.georeferenced)


@pytest.mark.parametrize("case", VALID.values(), ids=VALID.keys())
def test_validation_leaves_the_response_as_it_was(case: Case) -> None:
    before = deepcopy(case.json_response)
    validate(case.json_response, case.interface, text=case.text, georeferenced=case.georeferenced)
    assert case.json_response == before


@pytest.mark.parametrize("broken", BROKEN, ids=[broken.name for broken in BROKEN])
def test_a_broken_response_is_refused_for_its_cause_and_at_its_field(broken: Broken) -> None:
    interface = parsed(broken.json_interface, broken.input_type)
    error = refused(broken.json_response, interface, text=broken.text)
    assert (error.cause, error.field) == (broken.cause, broken.field)


@pytest.mark.parametrize("broken", BROKEN, ids=[broken.name for broken in BROKEN])
def test_every_refusal_says_what_is_wrong_and_how_to_mend_it(broken: Broken) -> None:
    error = refused(broken.json_response, parsed(broken.json_interface, broken.input_type), text=broken.text)
    assert error.problem
    assert error.fix
    assert str(error) == f"{error.field}: {error.problem}; {error.fix}"


def test_the_broken_responses_cover_every_cause_a_response_can_have() -> None:
    assert {broken.cause for broken in BROKEN} == set(CAUSES) - ONLY_COMPOSED


def test_an_unknown_category_is_answered_with_the_nearest_one() -> None:
    interface = parsed(project(FRUIT=choice("APPLE", "BANANA", "CHERRY")))
    assert "BANANA" in refused({"FRUIT": chosen("BANANNA")}, interface).fix


def test_an_unknown_job_is_answered_with_the_nearest_one() -> None:
    interface = parsed(project(FRUIT=choice("APPLE"), SHAPE=choice("ROUND")))
    assert "SHAPE" in refused({"SHAPES": chosen("ROUND")}, interface).fix


def test_a_partial_answer_may_leave_required_jobs_open() -> None:
    interface = parsed(
        project(
            DAY=choice("YES", "NO", required=1, children={"YES": ["SUN"]}),
            SUN=choice("LOW", "HIGH", required=1, isChild=True),
            WET=choice("YES", "NO", required=1),
        )
    )
    validate({"DAY": chosen("YES")}, interface, partial=True)
    assert refused({"DAY": chosen("YES")}, interface).cause == "missing_required_job"


def test_entities_are_not_checked_against_a_text_that_is_not_given() -> None:
    case = SHAPES["entities"]
    response = deepcopy(case.json_response)
    response["WHO"]["annotations"][0]["content"] = "Bob"
    validate(response, parsed(case.json_interface, case.input_type))


def test_a_mid_may_be_left_out() -> None:
    ship = a_box("TUG", "s1")
    del ship["mid"]
    validate({"SHIPS": {"annotations": [ship, ship]}}, parsed(project(SHIPS=detection("TUG", tools=["rectangle"]))))


def test_the_same_mid_may_come_back_in_another_frame() -> None:
    interface = parsed(project(CARS=detection("BUS", tools=["rectangle"])), "VIDEO")
    validate({str(frame): {"CARS": {"annotations": [a_box("BUS", "b")]}} for frame in (0, 7)}, interface)


@pytest.mark.parametrize(("x", "y"), [(181.0, 0.0), (0.0, 90.5)])
def test_a_map_ends_at_its_poles_and_at_the_date_line(x: float, y: float) -> None:
    interface = parsed(project(TREES=detection("OAK", tools=["marker"])), "GEOSPATIAL")
    tree = {"categories": [{"name": "OAK"}], "type": "marker", "point": {"x": x, "y": y}}
    assert refused({"TREES": {"annotations": [tree]}}, interface).cause == "outside_image"


IDENTITY = [
    lakes(part("w", LEFT), part("w", RIGHT, "WOOD")),
    lakes(part("w", LEFT), part("w", RIGHT), part("w", RIGHT, "WOOD", "polygon")),
]


@pytest.mark.parametrize("response", IDENTITY)
def test_the_parts_of_one_object_have_one_class(response: dict[str, Any]) -> None:
    error = refused(response, parsed(project(**LAND)))
    assert error.cause == "duplicate_mid"
    assert error.problem == "'w' is LAKE already, and the parts of one object have one class"


def test_a_track_is_in_a_frame_once() -> None:
    error = refused(TRACKED_TWICE, parsed(BOXES, "VIDEO"))
    assert (error.cause, error.field) == ("duplicate_mid", "0.SHIPS.annotations[1].mid")


def test_a_relation_connects_what_it_is_about_even_where_it_takes_any_category() -> None:
    interface = parsed(
        project(**LAND, WHO=entities("PERSON"), LINKS=relation("NAMED_ENTITIES_RELATION", "TO", ["ANY"], ["PERSON"])),
        "PDF",
    )
    page = on_page(1, ring_of(0.1, 0.1, 0.2, 0.2))
    link = annotation("TO", "r", startEntities=[{"mid": "w"}], endEntities=[{"mid": "e"}])
    response = lakes(annotation("LAKE", "w", annotations=[page])) | {
        "WHO": {"annotations": [annotation("PERSON", "e", annotations=[page])]},
        "LINKS": {"annotations": [link]},
    }
    error = refused(response, interface)
    assert (error.cause, error.field) == ("wrong_relation_end", "LINKS.annotations[0].startEntities[0].mid")


def test_any_category_stands_at_its_own_end_only() -> None:
    case = KILIS_OWN["a relation that takes anything"]
    links = case.json_interface["jobs"] | {"LINKS": relation("NAMED_ENTITIES_RELATION", "TO", ["ANY"], ["PLACE"])}
    error = refused(case.json_response, parsed({"jobs": links}, "TEXT"))
    assert error.field == "LINKS.annotations[0].endEntities[0].mid"


@pytest.mark.parametrize(("input_type", "labeling_crs"), [("IMAGE", None), ("VIDEO", None), ("GEOSPATIAL", "PIXEL")])
def test_degrees_are_refused_where_coordinates_are_shares(input_type: str, labeling_crs: str | None) -> None:
    lake = lakes(part("w", box(6.1, 49.6, 6.2, 49.7)))
    response = {"0": lake} if input_type == "VIDEO" else lake
    interface = Interface.parse(project(**LAND), input_type, labeling_crs)
    assert refused(response, interface).cause == "outside_image"


def test_a_georeferenced_image_has_no_pixels() -> None:
    error = refused(lakes(part("w", box(1840, 922, 1902, 988))), parsed(project(**LAND)), georeferenced=True)
    assert (error.cause, error.fix) == ("outside_image", "send longitude as x and latitude as y, in degrees")
