from __future__ import annotations

import pickle
from typing import Any

import pytest
from ontology_fixtures import choice, parsed, project, scores

from worker.contract.output import Classification, ClassScore, ModelOutput
from worker.ontology import OntologyError, to_json_response

RADIO = parsed(project(PET=choice("CAT", "DOG", "GUINEA_PIG")))
REQUIRED = parsed(project(PET=choice("CAT", "DOG", required=1)))
CHECKBOX = parsed(project(FLAWS=choice("DENT", "RUST", "CRACK", input="checkbox")))
REQUIRED_CHECKBOX = parsed(project(FLAWS=choice("DENT", "RUST", input="checkbox", required=1)))


def refused(output: ModelOutput, interface: Any = RADIO, **options: Any) -> OntologyError:
    with pytest.raises(OntologyError) as caught:
        to_json_response(output, interface, **options)
    return caught.value


def pet(output: ModelOutput, **options: Any) -> Any:
    return to_json_response(output, RADIO, **options)["PET"]["categories"]


def flaws(output: ModelOutput, **options: Any) -> dict[str, int]:
    response = to_json_response(output, CHECKBOX, **options)
    return {item["name"]: item["confidence"] for item in response.get("FLAWS", {"categories": []})["categories"]}


def test_single_choice_takes_the_most_probable_class_with_its_confidence() -> None:
    assert pet(scores(CAT=0.2, DOG=0.7, GUINEA_PIG=0.1)) == [{"name": "DOG", "confidence": 70}]


def test_a_tie_goes_to_the_first_category_of_the_interface() -> None:
    assert pet(scores(DOG=0.4, CAT=0.4))[0]["name"] == "CAT"


def test_a_class_without_score_is_an_answer_without_confidence() -> None:
    assert pet(scores(DOG=None)) == [{"name": "DOG"}]


@pytest.mark.parametrize(
    ("score", "percent"), [(0.0, 0), (0.004, 0), (0.874, 87), (0.876, 88), (0.999, 100), (1.0, 100)]
)
def test_confidences_are_whole_percents(score: float, percent: int) -> None:
    others = {} if score > 0.5 else {"CAT": 0.0}
    assert pet(scores(DOG=score, **others))[0]["confidence"] == percent


@pytest.mark.parametrize("label", ["GUINEA_PIG", "guinea_pig", "Guinea pig", "GUINEA PIG"])
def test_classes_are_found_by_name_and_by_display_name_in_any_case(label: str) -> None:
    assert pet(scores(**{label: 1.0}))[0]["name"] == "GUINEA_PIG"


def test_the_exact_name_wins_over_another_category_displayed_so() -> None:
    job = choice("CAT", "DOG")
    job["content"]["categories"]["DOG"]["name"] = "CAT"
    response = to_json_response(scores(CAT=1.0), parsed(project(PET=job)))
    assert response["PET"]["categories"][0]["name"] == "CAT"


def test_the_configured_map_wins_over_every_spelling() -> None:
    assert pet(scores(CAT=0.9), classes={"CAT": "DOG"})[0]["name"] == "DOG"


def test_the_configured_map_may_name_categories_as_they_are_displayed() -> None:
    assert pet(scores(cavy=0.9), classes={"cavy": "Guinea pig"})[0]["name"] == "GUINEA_PIG"


def test_a_spelling_that_fits_two_categories_is_refused() -> None:
    error = refused(scores(Cat=0.9), parsed(project(PET=choice("CAT", "cat"))))
    assert error.cause == "ambiguous_class"
    assert "CAT, cat" in error.problem


def test_an_unknown_winner_is_refused_and_the_nearest_category_named() -> None:
    error = refused(scores(DOGG=0.9, CAT=0.1))
    assert (error.cause, error.field) == ("unknown_class", "answer.scores[0].label")
    assert "'DOG'" in error.fix


def test_a_map_to_a_category_that_is_gone_says_so() -> None:
    error = refused(scores(poodle=0.9), classes={"poodle": "DOGGO"})
    assert error.cause == "unknown_class"
    assert "'poodle' (mapped to 'DOGGO')" in error.problem


def test_an_unknown_class_that_loses_is_ignored() -> None:
    assert pet(scores(PARROT=0.4, DOG=0.6)) == [{"name": "DOG", "confidence": 60}]


def test_a_mapping_in_the_configuration_mends_the_refusal() -> None:
    assert pet(scores(wolf=0.9, CAT=0.1), classes={"wolf": "DOG"}) == [{"name": "DOG", "confidence": 90}]


def test_classes_mapped_to_one_category_add_up_in_a_single_choice() -> None:
    found = pet(scores(pug=0.3, husky=0.3, CAT=0.4), classes={"pug": "DOG", "husky": "DOG"})
    assert found == [{"name": "DOG", "confidence": 60}]


def test_a_row_that_sums_to_more_than_one_is_no_single_choice() -> None:
    error = refused(scores(CAT=0.9, DOG=0.8))
    assert (error.cause, error.field) == ("not_a_distribution", "answer.scores")
    assert "1.7" in error.problem


def test_classes_the_project_lacks_count_in_the_sum_of_a_row() -> None:
    assert refused(scores(CAT=0.9, PARROT=0.8)).cause == "not_a_distribution"


def test_rounded_rows_may_sum_to_a_little_more_than_one() -> None:
    assert pet(scores(CAT=0.51, DOG=0.51))[0]["name"] == "CAT"


@pytest.mark.parametrize("score", [1.5, -0.1, float("nan"), float("inf")])
def test_a_score_that_is_no_probability_is_refused(score: float) -> None:
    error = refused(scores(DOG=score))
    assert (error.cause, error.field) == ("bad_score", "answer.scores[0].score")


def test_several_classes_without_scores_are_no_single_choice() -> None:
    error = refused(scores(CAT=None, DOG=None))
    assert (error.cause, error.field) == ("missing_score", "answer.scores[0].score")


def test_multiple_choice_takes_all_classes_that_reach_the_threshold() -> None:
    assert flaws(scores(CRACK=0.5, RUST=0.49, DENT=0.9)) == {"DENT": 90, "CRACK": 50}


def test_the_threshold_can_be_chosen() -> None:
    assert flaws(scores(CRACK=0.5, RUST=0.49, DENT=0.9), threshold=0.6) == {"DENT": 90}


def test_multiple_choice_scores_may_sum_to_anything() -> None:
    assert flaws(scores(CRACK=0.9, RUST=0.9, DENT=0.9)) == {"DENT": 90, "RUST": 90, "CRACK": 90}


def test_classes_mapped_to_one_category_count_by_the_highest_in_a_multiple_choice() -> None:
    found = flaws(scores(scratch=0.6, dent=0.7), classes={"scratch": "DENT"})
    assert found == {"DENT": 70}


def test_an_unknown_class_above_the_threshold_is_refused_and_one_below_is_ignored() -> None:
    assert refused(scores(HOLE=0.5), CHECKBOX).cause == "unknown_class"
    assert flaws(scores(HOLE=0.4, DENT=0.8)) == {"DENT": 80}


def test_an_optional_job_without_a_chosen_class_is_left_open() -> None:
    assert to_json_response(scores(CRACK=0.1), CHECKBOX) == {}


def test_a_required_job_without_a_chosen_class_is_refused() -> None:
    assert refused(scores(RUST=0.1), REQUIRED_CHECKBOX).cause == "missing_required_job"
    assert refused(ModelOutput(Classification(())), REQUIRED).cause == "missing_required_job"


def test_the_refusals_survive_a_queue() -> None:
    error = refused(scores(PARROT=1.0))
    copy = pickle.loads(pickle.dumps(error))
    assert (copy.field, copy.problem, copy.fix, copy.cause) == (error.field, error.problem, error.fix, error.cause)


def test_many_classes_are_one_answer() -> None:
    names = [f"C{index}" for index in range(1000)]
    interface = parsed(project(J=choice(*names)))
    rows = tuple(ClassScore(name, 0.9 if name == "C999" else 0.0001) for name in names)
    response = to_json_response(ModelOutput(Classification(rows, True, True)), interface)
    assert response == {"J": {"categories": [{"name": "C999", "confidence": 90}]}}
