"""Comparisons of two answers of a language model."""

from __future__ import annotations

from typing import Any

import pytest
from ontology_fixtures import a_job, project

from worker.ontology import Interface, OntologyError, validate

BETTER = a_job("COMPARISON")
BETTER["content"]["options"] = {"MUCH": {"name": "Much"}, "TIE": {"name": "Tie", "mutual": True}}
CHATS = Interface.parse(project(BETTER=BETTER), "LLM_STATIC")


def compared(code: str = "MUCH", **parts: Any) -> dict[str, Any]:
    return {"BETTER": {"choice": {"code": code, "firstId": "a", "secondId": "b", **parts}}}


@pytest.mark.parametrize("response", [compared(), compared("TIE"), {"BETTER": {}}])
def test_an_option_of_the_job_is_taken(response: dict[str, Any]) -> None:
    validate(response, CHATS)


@pytest.mark.parametrize(
    ("response", "field", "cause"),
    [
        (compared("HUGE"), "BETTER.choice.code", "unknown_category"),
        (compared(firstId=""), "BETTER.choice.firstId", "malformed"),
        (compared(secondId=None), "BETTER.choice.secondId", "malformed"),
        ({"BETTER": {"choice": "MUCH"}}, "BETTER.choice", "malformed"),
        ({"BETTER": {"code": "MUCH"}}, "BETTER.choice", "malformed"),
    ],
)
def test_anything_else_is_refused(response: dict[str, Any], field: str, cause: str) -> None:
    with pytest.raises(OntologyError) as caught:
        validate(response, CHATS)
    assert (caught.value.field, caught.value.cause) == (field, cause)


def test_the_refusal_names_the_options() -> None:
    with pytest.raises(OntologyError, match="HUGE") as caught:
        validate(compared("HUGE"), CHATS)
    assert "MUCH, TIE" in caught.value.fix
