from __future__ import annotations

from typing import Any

import pytest
from ontology_fixtures import entities, parsed, project, transcription

from worker.contract.output import Entities, Entity, KiliResponse, ModelOutput, Transcription
from worker.ontology import OntologyError, to_json_response

TEXT = "Zoë met DR. No in Zürich"
NAMES = parsed(project(WHO=entities("PERSON", "PLACE")), "TEXT")


def found(*items: Entity) -> ModelOutput:
    return ModelOutput(Entities(items))


def refused(output: ModelOutput, interface: Any = NAMES, **options: Any) -> OntologyError:
    with pytest.raises(OntologyError) as caught:
        to_json_response(output, interface, **options)
    return caught.value


def test_an_entity_becomes_an_annotation_with_offsets_and_content() -> None:
    response = to_json_response(found(Entity("person", 0, 3, "Zoë", 0.93)), NAMES, text=TEXT)
    [zoe] = response["WHO"]["annotations"]
    assert zoe["categories"] == [{"name": "PERSON", "confidence": 93}]
    assert (zoe["beginOffset"], zoe["endOffset"], zoe["content"]) == (0, 3, "Zoë")
    assert zoe["mid"]


@pytest.mark.parametrize("word", ["zoe", "Zoë", "##zoe", "▁Zoë", ""])
def test_the_text_itself_becomes_the_content_whatever_the_tokenizer_made_of_it(word: str) -> None:
    response = to_json_response(found(Entity("PERSON", 0, 3, word)), NAMES, text=TEXT)
    assert response["WHO"]["annotations"][0]["content"] == "Zoë"


def test_offsets_that_point_at_other_words_are_refused() -> None:
    error = refused(found(Entity("PERSON", 8, 14, "DR. No"), Entity("PERSON", 1, 4, "Zoë")), text=TEXT)
    assert (error.cause, error.field) == ("content_mismatch", "answer.entities[1].text")


def test_without_the_text_the_models_words_are_the_content() -> None:
    response = to_json_response(found(Entity("PERSON", 0, 3, "zoe")), NAMES)
    assert response["WHO"]["annotations"][0]["content"] == "zoe"


@pytest.mark.parametrize(("begin", "end"), [(20, 99), (3, 3), (5, 2), (-2, 3)])
def test_offsets_outside_the_text_are_refused(begin: int, end: int) -> None:
    assert refused(found(Entity("PLACE", begin, end, "Zürich")), text=TEXT).cause == "offset_outside_text"


def test_an_entity_of_an_unknown_class_is_refused() -> None:
    error = refused(found(Entity("PERSONS", 0, 3, "Zoë")), text=TEXT)
    assert (error.cause, error.field) == ("unknown_class", "answer.entities[0].label")
    assert "PERSON" in error.fix


def test_no_entities_is_an_answer() -> None:
    assert to_json_response(found(), NAMES) == {"WHO": {"annotations": []}}


def test_two_equal_entities_have_two_mids() -> None:
    response = to_json_response(found(*[Entity("PERSON", 0, 3, "Zoë")] * 2), NAMES)
    assert len({item["mid"] for item in response["WHO"]["annotations"]}) == 2


def test_entities_of_a_pdf_need_areas() -> None:
    error = refused(found(Entity("PERSON", 0, 3, "Zoë")), parsed(project(WHO=entities("PERSON")), "PDF"))
    assert error.cause == "not_expressible"


def test_a_text_becomes_a_transcription() -> None:
    interface = parsed(project(CAPTION=transcription(required=1)))
    output = ModelOutput(Transcription("two pugs", score=0.4))
    assert to_json_response(output, interface) == {"CAPTION": {"text": "two pugs"}}


def test_a_text_that_is_no_date_is_refused_where_a_date_is_asked() -> None:
    interface = parsed(project(WHEN=transcription(input="date")))
    assert refused(ModelOutput(Transcription("yesterday")), interface).cause == "bad_text"


def test_kilis_own_response_passes_as_it_is() -> None:
    response = {"WHO": {"annotations": []}}
    assert to_json_response(ModelOutput(KiliResponse(response)), NAMES) == response


def test_kilis_own_response_is_checked_all_the_same() -> None:
    assert refused(ModelOutput(KiliResponse({"WHOM": {"annotations": []}}))).cause == "unknown_job"
