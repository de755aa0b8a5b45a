from __future__ import annotations

import time
from collections.abc import Iterable
from random import Random
from typing import Any

import pytest
from ontology_fixtures import (
    a_box,
    an_entity,
    annotation,
    both_ways,
    detection,
    entities,
    on_page,
    parsed,
    project,
    relation,
    ring_of,
    ships,
    transcription,
)

from worker.ontology import agreement

NEARLY = pytest.approx

NAMES = parsed(project(WHO=entities("PERSON", "PLACE")), "TEXT")


def who(*found: dict[str, Any]) -> dict[str, Any]:
    return {"WHO": {"annotations": list(found)}}


ADA, TURIN = an_entity("PERSON", "e1", 0, "Ada"), an_entity("PLACE", "e2", 14, "Turin")


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        (who(ADA), 2 / 3),
        (who(ADA, an_entity("PLACE", "x", 14, "Turin!")), 1 / 2),
        (who(ADA, an_entity("PERSON", "x", 14, "Turin")), 1 / 2),
        (who(ADA, TURIN, an_entity("PLACE", "x", 14, "Turin")), 4 / 5),
        (who(), 0.0),
    ],
    ids=["one missing", "other end", "other label", "twice", "none"],
)
def test_entities_agree_by_the_f1_of_exact_spans(other: dict[str, Any], expected: float) -> None:
    assert both_ways(who(ADA, TURIN), other, NAMES).overall == NEARLY(expected)


def test_an_entity_without_end_ends_with_its_content() -> None:
    without = annotation("PERSON", "x", beginOffset=0, content="Ada")
    assert both_ways(who(ADA), who(without), NAMES).overall == 1.0


def test_entities_of_different_parts_of_a_rich_text_differ() -> None:
    one, other = (annotation("PERSON", "e", beginId=p, endId=p, beginOffset=0, endOffset=3) for p in ("p1", "p2"))
    assert both_ways(who(one), who(other), NAMES).overall == 0.0


def test_entities_of_a_pdf_agree_by_their_areas() -> None:
    interface = parsed(project(WHO=entities("PERSON")), "PDF")
    bow_tie = ((0.2, 0.1), (0.2, 0.2), (0.8, 0.1), (0.8, 0.2))
    one = annotation("PERSON", "e", annotations=[on_page(1, bow_tie)])
    half = annotation("PERSON", "e", annotations=[on_page(1, ring_of(0.2, 0.1, 0.5, 0.2))])
    assert both_ways(who(one), who(half), interface).overall == NEARLY(1 / 2)


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ("kitten", "sitting", 1 - 3 / 7),
        ("", "abc", 0.0),
        ("abc", "abc", 1.0),
        ("abc", "xyz", 0.0),
        ("a" * 70 + "b", "b" + "a" * 70, 1 - 2 / 71),
    ],
)
def test_transcriptions_agree_by_their_edit_distance(a: str, b: str, expected: float) -> None:
    interface = parsed(project(CAPTION=transcription()))
    assert both_ways({"CAPTION": {"text": a}}, {"CAPTION": {"text": b}}, interface).overall == NEARLY(expected)


def test_long_transcriptions_are_compared_in_time() -> None:
    random = Random(7)
    a = "".join(random.choices("abcdefgh ", k=20_000))
    b = "".join("#" if index % 20 == 10 else char for index, char in enumerate(a))
    interface = parsed(project(CAPTION=transcription()))
    started = time.perf_counter()
    assert agreement({"CAPTION": {"text": a}}, {"CAPTION": {"text": b}}, interface).overall == NEARLY(0.95)
    assert time.perf_counter() - started < 5.0


RELATED = parsed(
    project(
        SHIPS=detection("TUG", "FERRY", tools=["rectangle"]), PULLS=relation("OBJECT_RELATION", "TOWS", ["TUG"], [])
    )
)


def towing(mids: Iterable[str], *pairs: tuple[str, str]) -> dict[str, Any]:
    places = [(0.1, 0.1, 0.2, 0.2), (0.4, 0.4, 0.5, 0.5), (0.7, 0.7, 0.8, 0.8)]
    names = ("TUG", "FERRY", "FERRY")
    found = [a_box(name, mid, *place) for name, mid, place in zip(names, mids, places, strict=True)]
    pulls = [
        {"categories": [{"name": "TOWS"}], "startObjects": [{"mid": start}], "endObjects": [{"mid": end}]}
        for start, end in pairs
    ]
    return {**ships(*found), "PULLS": {"annotations": pulls}}


def test_relations_agree_by_what_they_connect_and_not_by_its_mids() -> None:
    a, b = towing("xyz", ("x", "y"), ("x", "z")), towing("uvw", ("u", "v"), ("u", "w"))
    assert both_ways(a, b, RELATED).jobs == {"SHIPS": 1.0, "PULLS": 1.0}


def test_relations_agree_by_the_f1_of_their_connections() -> None:
    a, b = towing("xyz", ("x", "y"), ("x", "z")), towing("uvw", ("u", "v"))
    assert both_ways(a, b, RELATED).jobs["PULLS"] == NEARLY(2 / 3)


def test_a_relation_with_two_ends_is_two_connections() -> None:
    a = towing("xyz", ("x", "y"), ("x", "z"))
    b = towing("xyz", ("x", "y"))
    b["PULLS"]["annotations"][0]["endObjects"].append({"mid": "z"})
    assert both_ways(a, b, RELATED).jobs["PULLS"] == 1.0


def test_equal_mids_of_different_objects_do_not_make_equal_relations() -> None:
    a, b = towing("xyz", ("x", "y")), towing("xzy", ("x", "y"))
    assert both_ways(a, b, RELATED).jobs["PULLS"] == 0.0
