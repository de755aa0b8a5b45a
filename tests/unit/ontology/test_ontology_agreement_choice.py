from __future__ import annotations

from math import sqrt
from typing import Any

import pytest
from ontology_fixtures import (
    both_ways,
    choice,
    parsed,
    project,
)
from task_shapes import chosen

from worker.ontology import Agreement

NEARLY = pytest.approx

ONE = parsed(project(COLOR=choice("RED", "BLUE", "GREEN")))
MANY = parsed(project(FLAWS=choice("DENT", "RUST", "CRACK", input="checkbox")))


def test_single_choices_agree_or_do_not() -> None:
    assert both_ways({"COLOR": chosen("RED")}, {"COLOR": chosen("RED")}, ONE).overall == 1.0
    assert both_ways({"COLOR": chosen("RED")}, {"COLOR": chosen("BLUE")}, ONE).overall == 0.0


def test_confidences_do_not_matter() -> None:
    sure = {"COLOR": {"categories": [{"name": "RED", "confidence": 100}]}}
    unsure = {"COLOR": {"categories": [{"name": "RED", "confidence": 35}]}}
    assert both_ways(sure, unsure, ONE).overall == 1.0


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        (["DENT"], ["DENT", "RUST"], 1 / 2),
        (["DENT", "RUST"], ["RUST", "DENT"], 1.0),
        (["DENT", "RUST"], ["RUST", "CRACK"], 1 / 3),
        (["DENT"], ["RUST"], 0.0),
    ],
)
def test_multiple_choices_agree_by_their_jaccard_index(a: list[str], b: list[str], expected: float) -> None:
    assert both_ways({"FLAWS": chosen(*a)}, {"FLAWS": chosen(*b)}, MANY).overall == NEARLY(expected)


def test_an_answer_and_no_answer_disagree() -> None:
    assert both_ways({"COLOR": chosen("RED")}, {}, ONE).jobs == {"COLOR": 0.0}


def test_two_open_questions_agree() -> None:
    assert both_ways({}, {"COLOR": {"categories": []}}, ONE) == Agreement(1.0, {}, {})


NESTED = parsed(
    project(
        ANIMAL=choice("DOG", "FISH", children={"DOG": ["COAT"]}),
        COAT=choice("LONG", "WAVY", "GREY", input="checkbox", isChild=True),
    )
)


def dog(*coat: str, beside: bool = True) -> dict[str, Any]:
    children = {"COAT": chosen(*coat)}
    if beside:
        return {"ANIMAL": chosen("DOG", children=children)}
    return {"ANIMAL": {"categories": [{"name": "DOG", "children": children}]}}


def test_children_count_by_the_geometric_mean() -> None:
    assert both_ways(dog("LONG"), dog("GREY"), NESTED).overall == 0.0
    assert both_ways(dog("LONG", "WAVY"), dog("LONG", "GREY"), NESTED).overall == NEARLY(sqrt(1 / 3))


def test_it_does_not_matter_where_children_are_written() -> None:
    assert both_ways(dog("LONG"), dog("LONG", beside=False), NESTED).overall == 1.0


def test_children_of_the_wrong_category_do_not_help() -> None:
    assert both_ways(dog("LONG"), {"ANIMAL": chosen("FISH")}, NESTED).overall == 0.0
