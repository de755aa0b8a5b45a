"""What the sandbox takes for a json_response, and what it says about the rest."""

from __future__ import annotations

import json
from typing import Any

import pytest
from broken_responses import WRITTEN
from kili_examples import EXAMPLES
from task_shapes import SHAPES

from tests.unit.sandbox.scene import APPEND_ASSETS, APPEND_LABELS, Scene
from worker.sandbox.responses.reading import InterfaceError, read_interface
from worker.sandbox.responses.validation import Malformed, check_json_response

VALID = {**SHAPES, **EXAMPLES}
#: Forms that Kili's own fixtures hold: poses may be empty and share their mid, areas of a PDF may be flat.
KNOWN_TO_KILI = {
    "a pose without points",
    "a mid used by a pose and its point",
    "an entity of a PDF with a flat ring",
}
BROKEN = [case for case in WRITTEN if case.name not in KNOWN_TO_KILI]
ENTITIES = {
    "jobs": {
        "WORDS": {
            "mlTask": "NAMED_ENTITIES_RECOGNITION",
            "required": 1,
            "content": {"categories": {"A": {"name": "a"}}},
        }
    }
}


def check(response: Any, case: Any, **options: Any) -> None:
    text = response if isinstance(response, str) else json.dumps(response)
    interface = read_interface(json.dumps(case.json_interface), case.input_type)
    check_json_response(text, interface, text=case.text, **options)


@pytest.mark.parametrize("case", VALID.values(), ids=VALID.keys())
def test_a_valid_response_of_every_task_and_tool_is_taken(case: Any) -> None:
    check(case.json_response, case)


@pytest.mark.parametrize("case", BROKEN, ids=lambda case: case.name)
def test_every_broken_prediction_is_refused(case: Any) -> None:
    with pytest.raises(Malformed):
        check(case.json_response, case)


@pytest.mark.parametrize("case", BROKEN, ids=lambda case: case.name)
def test_people_may_leave_required_jobs_open_and_nothing_else(case: Any) -> None:
    if case.cause == "missing_required_job":
        check(case.json_response, case, partial=True)
    else:
        with pytest.raises(Malformed):
            check(case.json_response, case, partial=True)


def test_the_reason_names_the_field() -> None:
    with pytest.raises(Malformed, match="COLOUR: the project has no job 'COLOUR'"):
        check({"COLOUR": {"categories": []}}, SHAPES["radio"])


@pytest.mark.parametrize(
    ("response", "words"),
    [
        ("{", "not valid JSON"),
        ('{"COLOR": NaN}', "NaN is no JSON number"),
        ("[" * 100_000, "not valid JSON"),
        ("[]", "must be an object"),
    ],
)
def test_what_is_no_json_object_is_refused(response: str, words: str) -> None:
    with pytest.raises(Malformed, match=words):
        check(response, SHAPES["radio"])


def test_children_without_end_are_refused() -> None:
    again = {"A": {"name": "a", "children": ["J"]}}
    interface = read_interface(
        json.dumps({"jobs": {"J": {"mlTask": "CLASSIFICATION", "content": {"categories": again}}}})
    )
    response = '{"J":{"categories":[{"name":"A"}],"children":' * 450 + "{}" + "}}" * 450
    with pytest.raises(Malformed, match="too deep"):
        check_json_response(response, interface)


@pytest.mark.parametrize("text", ["{", "[]", '{"jobs": []}', '{"jobs": {"J": 3}}'])
def test_a_project_with_an_interface_that_cannot_be_read_is_refused(text: str) -> None:
    with pytest.raises(InterfaceError):
        read_interface(text)
    create = "mutation ($data: CreateProjectData!) { createProject(data: $data) { id } }"
    words = Scene().rejection(create, data={"title": "t", "jsonInterface": text})
    assert "the jsonInterface cannot be read" in words


@pytest.mark.parametrize("text", ["", "{}", '{"jobs": {}}'])
def test_an_interface_may_have_no_jobs(text: str) -> None:
    assert read_interface(text).jobs == {}


class TextScene(Scene):
    """A project of texts; assets are given by their content."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        create = "mutation ($data: CreateProjectData!) { createProject(data: $data) { id } }"
        data = {"title": "t", "inputType": "TEXT", "jsonInterface": json.dumps(ENTITIES)}
        self.project_id = self.call(create, data=data)["createProject"]["id"]

    def asset(self, content: str, json_content: str = "") -> str:
        """Import one asset."""
        data = {"externalIDArray": ["a"], "contentArray": [content], "jsonContentArray": [json_content]}
        return str(self.call(APPEND_ASSETS, data=data, where={"id": self.project_id})["appendManyAssets"][0]["id"])

    def refused(self, asset_id: str, response: dict[str, Any], label_type: str = "INFERENCE") -> str:
        """The message of the refusal, or nothing."""
        rows = [{"assetID": asset_id, "jsonResponse": json.dumps(response)}]
        data = {"labelType": label_type, "labelsData": rows}
        errors = self.answer(APPEND_LABELS, data=data, where={}).get("errors")
        return errors[0]["message"] if errors else ""


def words(content: str) -> dict[str, Any]:
    span = {
        "categories": [{"name": "A"}],
        "mid": "m",
        "beginOffset": 4,
        "endOffset": 4 + len(content),
        "content": content,
    }
    return {"WORDS": {"annotations": [span]}}


def test_entities_are_held_against_a_text_that_is_known() -> None:
    scene = TextScene()
    url = scene.sandbox.buckets.signed_url("http://sandbox", "texts/a")
    scene.sandbox.buckets.write("texts/a", b"the whole text", "text/plain")
    for content in ("the whole text", url):
        asset_id = scene.asset(content)
        assert scene.refused(asset_id, words("whole")) == ""
        assert "jsonResponseMalformed" in scene.refused(asset_id, words("other"))


@pytest.mark.parametrize("content", [("https://example.com/a.txt", ""), ("", ""), ("the whole text", '[{"id": "1"}]')])
def test_where_the_text_is_not_known_any_words_will_do(content: tuple[str, str]) -> None:
    scene = TextScene()
    assert scene.refused(scene.asset(*content), words("other")) == ""


def test_predictions_must_answer_required_jobs_and_people_need_not() -> None:
    scene = TextScene()
    asset_id = scene.asset("the whole text")
    assert "job WORDS is required" in scene.refused(asset_id, {})
    for label_type in ("DEFAULT", "REVIEW", "AUTOSAVE", "PREDICTION"):
        assert scene.refused(asset_id, {}, label_type) == ""


def test_a_switch_lets_predictions_leave_required_jobs_open_too() -> None:
    scene = TextScene(open_jobs="accept")
    asset_id = scene.asset("the whole text")
    assert scene.refused(asset_id, {}) == ""
    assert "no job" in scene.refused(asset_id, {"OTHER": {}})
