"""What only the project's jobs make definite: binary heads, independent scores, nothing found, several jobs."""

from __future__ import annotations

from typing import Any

import pytest

from worker.contract.output import (
    Classification,
    ClassScore,
    DetectedObject,
    Detection,
    Either,
    Entities,
    Entity,
    ModelOutput,
    Nothing,
    Several,
    Shape,
    Transcription,
)
from worker.ontology import Interface, OntologyError, to_json_response, unknown_labels

SQUARE = Shape("rectangle", (((0.0, 0.0), (0.5, 0.0), (0.5, 0.5), (0.0, 0.5)),))


def job(task: str, *categories: str, several: bool = False, **parts: Any) -> dict[str, Any]:
    content = {
        "input": "checkbox" if several else "radio",
        "categories": {name: {"name": name.title(), "children": []} for name in categories},
    }
    return {"mlTask": task, "required": 0, "isChild": False, "instruction": "?", "content": content, **parts}


def project(**jobs: dict[str, Any]) -> Interface:
    return Interface.parse({"jobs": jobs}, "TEXT" if "ENTITY" in jobs else "IMAGE")


CHOICE = project(STATE=job("CLASSIFICATION", "INTACT", "SCRATCHED"))
THREE = project(STATE=job("CLASSIFICATION", "INTACT", "SCRATCHED", "DENTED"))
BOXES = job("OBJECT_DETECTION", "CAT", "DOG", tools=["rectangle"])
WORDS = job("NAMED_ENTITIES_RECOGNITION", "PERSON")
TEXT = job("TRANSCRIPTION")


def answered(answer: Any, interface: Interface, **options: Any) -> dict[str, Any]:
    return to_json_response(ModelOutput(answer), interface, **options)


def rejection(answer: Any, interface: Interface, **options: Any) -> OntologyError:
    with pytest.raises(OntologyError) as caught:
        answered(answer, interface, **options)
    return caught.value


def yes(**scores: float) -> Classification:
    return Classification(tuple(ClassScore(*one) for one in scores.items()), exclusive=False)


@pytest.mark.parametrize(("score", "name", "percent"), [(0.01, "INTACT", 99), (0.93, "SCRATCHED", 93)])
def test_one_probability_of_two_categories_gives_the_other_its_complement(
    score: float, name: str, percent: int
) -> None:
    chosen = answered(yes(scratched=score), CHOICE)["STATE"]["categories"]
    assert chosen == [{"name": name, "confidence": percent}]


def test_one_probability_of_three_categories_must_say_yes() -> None:
    assert answered(yes(scratched=0.9), THREE)["STATE"]["categories"][0]["name"] == "SCRATCHED"
    assert "none of which reaches 0.5" in rejection(yes(scratched=0.03), THREE).problem


def test_independent_scores_that_all_say_no_have_no_best_one() -> None:
    assert "exclusive: false" in rejection(yes(intact=0.2, scratched=0.1, dented=0.05), THREE).problem
    assert answered(yes(intact=0.8, scratched=0.1), THREE)["STATE"]["categories"][0]["name"] == "INTACT"


def test_a_lone_score_too_small_for_the_best_of_the_categories_is_refused() -> None:
    lone = Classification((ClassScore("scratched", 0.2),))
    assert "looks like one probability of a yes or no" in rejection(lone, CHOICE).problem
    assert answered(Classification((ClassScore("scratched", 0.6),)), CHOICE)


def test_no_threshold_leaves_out_what_the_model_has_chosen() -> None:
    tags = project(TAGS=job("CLASSIFICATION", "RUST", "CRACK", several=True))
    chosen = Classification((ClassScore("rust", 0.41), ClassScore("crack", 0.41)), exclusive=False, chosen=True)
    assert [one["name"] for one in answered(chosen, tags)["TAGS"]["categories"]] == ["RUST", "CRACK"]


def test_nothing_found_is_an_answer_of_the_only_job_that_looks_for_something() -> None:
    assert answered(Nothing(), project(OBJECTS=BOXES)) == {"OBJECTS": {"annotations": []}}
    assert answered(Nothing(), project(ENTITY=WORDS)) == {"ENTITY": {"annotations": []}}
    assert rejection(Nothing(), CHOICE).cause == "no_fitting_job"
    both = project(OBJECTS=BOXES, ENTITY=WORDS)
    assert rejection(Nothing(), both).cause == "ambiguous_job"
    assert to_json_response(ModelOutput(Nothing(), job="OBJECTS"), both) == {"OBJECTS": {"annotations": []}}


def test_a_word_is_a_class_or_a_text_as_the_project_asks() -> None:
    word = Either((Classification((ClassScore("intact"),)), Transcription("intact")))
    assert answered(word, CHOICE) == {"STATE": {"categories": [{"name": "INTACT"}]}}
    assert answered(word, project(NOTE=TEXT)) == {"NOTE": {"text": "intact"}}


def test_several_answers_go_to_the_jobs_that_are_called_so() -> None:
    both = project(STATE=job("CLASSIFICATION", "INTACT", "SCRATCHED"), GATE_NOTE=TEXT)
    parts = {"state": Classification((ClassScore("intact"),)), "gate note": Transcription("open")}
    assert answered(Several(parts), both) == {
        "STATE": {"categories": [{"name": "INTACT"}]},
        "GATE_NOTE": {"text": "open"},
    }
    error = rejection(Several({**parts, "colour": Transcription("red")}), both)
    assert (error.cause, "'colour' is the name of no job" in error.problem) == ("unknown_job", True)


def test_classes_without_a_category_are_left_out_where_the_project_says_so() -> None:
    found = Detection((DetectedObject("cat", SQUARE), DetectedObject("kettle", SQUARE)))
    interface = project(OBJECTS=BOXES)
    assert rejection(found, interface).cause == "unknown_class"
    kept = answered(found, interface, unknown_classes="ignore")["OBJECTS"]["annotations"]
    assert [one["categories"][0]["name"] for one in kept] == ["CAT"]
    assert unknown_labels(ModelOutput(found), interface) == {"kettle": 1}
    spans = Entities((Entity("PERSON", 0, 3, "Ada"), Entity("CITY", 4, 8, "York")))
    words = answered(spans, project(ENTITY=WORDS), unknown_classes="ignore")["ENTITY"]["annotations"]
    assert [one["content"] for one in words] == ["Ada"]


def test_a_project_without_a_fitting_job_is_not_told_to_add_one() -> None:
    error = rejection(Transcription("x"), CHOICE)
    assert error.cause == "no_fitting_job"
    assert "add" not in error.fix
