from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest
from broken_responses import BROKEN, Broken
from kili_examples import EXAMPLES
from ontology_fixtures import a_box, choice, detection, parsed, project
from task_shapes import SHAPES, UNREAD_BY_THE_SDK, Case, chosen

from worker.ontology import CAUSES, Interface, OntologyError, validate

VALID = {**SHAPES, **UNREAD_BY_THE_SDK, **EXAMPLES}

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
    validate(case.json_response, parsed(case.json_interface, case.input_type), text=case.text)


@pytest.mark.parametrize("case", VALID.values(), ids=VALID.keys())
def test_validation_leaves_the_response_as_it_was(case: Case) -> None:
    before = deepcopy(case.json_response)
    validate(case.json_response, parsed(case.json_interface, case.input_type), text=case.text)
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
