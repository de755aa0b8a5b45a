"""Entities of a rich text are held against the parts that they name."""

from __future__ import annotations

from typing import Any

import pytest
from ontology_fixtures import entities, project

from worker.ontology import Interface, OntologyError, rich_text_parts, validate

RICH = [
    {
        "children": [
            {"id": "A", "text": "A short account"},
            {"id": "rows", "children": [{"id": "B", "text": " of \U0001f9c2 and glass"}, {"id": "C", "text": ""}]},
        ]
    }
]
PARTS = rich_text_parts(RICH)
NAMES = Interface.parse(project(WHO=entities("TERM")), "TEXT")


def entity(first: str, begin: int, last: str, end: int, **parts: Any) -> dict[str, Any]:
    span = {"beginId": first, "beginOffset": begin, "endId": last, "endOffset": end}
    return {"WHO": {"annotations": [{"categories": [{"name": "TERM"}], **span, **parts}]}}


def test_the_parts_are_the_elements_with_a_text_in_reading_order() -> None:
    assert list(PARTS) == ["A", "B", "C"]
    assert rich_text_parts({"0": "https://example.com/0.jpg"}) == {}


@pytest.mark.parametrize(
    "response",
    [
        entity("A", 2, "A", 7, content="short"),
        entity("B", 10, "B", 15, content="glass"),
        entity("B", 11, "B", 16, content="glass"),
        entity("A", 8, "B", 3, content="account of"),
    ],
)
def test_an_entity_lies_in_one_part_or_reaches_into_a_later_one(response: dict[str, Any]) -> None:
    validate(response, NAMES, parts=PARTS)


@pytest.mark.parametrize(
    ("response", "field", "cause"),
    [
        (entity("Z", 0, "A", 3), "beginId", "offset_outside_text"),
        (entity("A", 0, "rows", 3), "endId", "offset_outside_text"),
        (entity("A", 30, "B", 3), "beginOffset", "offset_outside_text"),
        (entity("A", 0, "A", 30), "endOffset", "offset_outside_text"),
        (entity("B", 0, "A", 3), "endId", "offset_outside_text"),
        (entity("A", 2, "A", 7, content="brief"), "content", "content_mismatch"),
    ],
)
def test_an_entity_elsewhere_is_refused(response: dict[str, Any], field: str, cause: str) -> None:
    with pytest.raises(OntologyError) as caught:
        validate(response, NAMES, parts=PARTS)
    assert (caught.value.field, caught.value.cause) == (f"WHO.annotations[0].{field}", cause)


def test_an_entity_of_a_rich_text_names_its_parts() -> None:
    annotation = {"categories": [{"name": "TERM"}], "beginOffset": 2, "endOffset": 7}
    with pytest.raises(OntologyError) as caught:
        validate({"WHO": {"annotations": [annotation]}}, NAMES, parts=PARTS)
    assert caught.value.field == "WHO.annotations[0].beginId"


def test_what_is_not_at_hand_is_not_judged() -> None:
    validate(entity("Z", 0, "Z", 3), NAMES)
