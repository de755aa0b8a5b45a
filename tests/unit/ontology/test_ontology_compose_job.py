from __future__ import annotations

from typing import Any

import pytest
from ontology_fixtures import (
    an_object,
    choice,
    detection,
    entities,
    objects,
    parsed,
    project,
    scores,
    transcription,
)

from worker.contract.output import Entities, ModelOutput, Transcription
from worker.ontology import Interface, OntologyError, to_json_response

EVERYTHING = parsed(
    project(
        COLOR=choice("RED", "BLUE", children={"RED": ["SHADE"]}),
        SHADE=choice("LIGHT", "DARK", isChild=True),
        SHIPS=detection("TUG", tools=["rectangle"]),
        WHO=entities("PERSON"),
        CAPTION=transcription(),
    )
)
TWO_CHOICES = parsed(project(COLOR=choice("RED"), SIZE=choice("BIG")))


def answered(output: ModelOutput, interface: Interface = EVERYTHING) -> list[str]:
    return list(to_json_response(output, interface))


def refused(output: ModelOutput, interface: Interface = EVERYTHING) -> OntologyError:
    with pytest.raises(OntologyError) as caught:
        to_json_response(output, interface)
    return caught.value


@pytest.mark.parametrize(
    ("output", "job"),
    [
        (scores(RED=1.0), "COLOR"),
        (objects(an_object("TUG")), "SHIPS"),
        (ModelOutput(Entities(())), "WHO"),
        (ModelOutput(Transcription("hi")), "CAPTION"),
    ],
)
def test_the_only_root_job_of_its_kind_takes_an_answer(output: ModelOutput, job: str) -> None:
    assert answered(output) == [job]


def test_a_named_job_takes_the_answer_where_several_could() -> None:
    assert answered(scores("SIZE", BIG=1.0), TWO_CHOICES) == ["SIZE"]


def test_several_jobs_that_could_take_it_are_all_named() -> None:
    error = refused(scores(RED=1.0), TWO_CHOICES)
    assert (error.cause, error.field) == ("ambiguous_job", "job")
    assert "COLOR, SIZE" in error.problem


def test_an_answer_that_no_job_takes_is_refused_with_the_jobs_there_are() -> None:
    error = refused(objects(), TWO_CHOICES)
    assert (error.cause, error.field) == ("no_fitting_job", "job")
    assert "COLOR (CLASSIFICATION)" in error.problem


def test_a_job_the_project_lacks_is_refused_and_the_nearest_named() -> None:
    error = refused(scores("COLOUR", RED=1.0))
    assert (error.cause, error.field) == ("unknown_job", "job")
    assert "COLOR" in error.fix


def test_a_job_of_another_kind_is_refused() -> None:
    error = refused(scores("SHIPS", RED=1.0))
    assert error.cause == "no_fitting_job"
    assert "OBJECT_DETECTION" in error.problem


def test_a_child_job_cannot_be_answered_alone() -> None:
    assert refused(scores("SHADE", DARK=1.0)).cause == "child_at_root"


BY_TOOL: Any = parsed(project(BOXES=detection("TUG", tools=["rectangle"]), MASKS=detection("TUG", tools=["semantic"])))


@pytest.mark.parametrize(("drawn", "job"), [("rectangle", "BOXES"), ("semantic", "MASKS"), ("polygon", "MASKS")])
def test_among_detection_jobs_the_shapes_decide(drawn: str, job: str) -> None:
    assert answered(objects(an_object("TUG", drawn)), BY_TOOL) == [job]


def test_nothing_found_does_not_tell_which_detection_job_was_asked() -> None:
    assert refused(objects(), BY_TOOL).cause == "ambiguous_job"


def test_required_jobs_that_another_model_answers_are_allowed_open_when_answers_are_partial() -> None:
    interface = parsed(project(COLOR=choice("RED", required=1), CAPTION=transcription(required=1)))
    assert refused(scores(RED=1.0), interface).cause == "missing_required_job"
    assert list(to_json_response(scores(RED=1.0), interface, partial=True)) == ["COLOR"]
