"""From a message's output to what the model said: message first, then the project's configuration; batches by row."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.contract import MessageError, Prediction, PredictionBatch, read_message, read_prediction
from worker.contract.output import Classification, Detection, KiliResponse
from worker.formats import read_payload
from worker.projects.configuration import ProjectConfig
from worker.projects.outputs import UnreadableOutput, check_output, output_of, plain_scores, reading_of, rows_of
from worker.review.decision import subject_of, subject_of_scores

ROWS = {"predictions": [[0.9, 0.1], [0.2, 0.8]]}


def message(output: dict[str, Any], **changes: Any) -> dict[str, Any]:
    common = {"model": {"name": "m", "version": "1"}, "predicted_at": "2026-11-23T10:15:00Z", "project_id": "p"}
    return {**common, "output": output, **changes}


def one(output: dict[str, Any]) -> Prediction:
    return read_prediction(message(output, external_id="a"))


def batch(output: dict[str, Any], names: list[str], **changes: Any) -> PredictionBatch:
    found = read_message(message(output, external_ids=names, **changes))
    assert isinstance(found, PredictionBatch)
    return found


def labels(output: Any) -> dict[str, float | None]:
    assert isinstance(output.answer, Classification)
    return {score.label: score.score for score in output.answer.scores}


def test_scores_and_kili_responses_are_read_as_they_are() -> None:
    assert labels(output_of(one({"scores": {"RED": 0.7, "BLACK": 0.3}}))) == {"RED": 0.7, "BLACK": 0.3}
    response = {"J": {"categories": [{"name": "RED"}]}}
    assert output_of(one({"json_response": response})).answer == KiliResponse(response)


def test_what_the_message_leaves_out_comes_from_the_project() -> None:
    config = ProjectConfig(classes=["RED", "BLACK"], job="FROM_CONFIG")
    payload = {"predictions": [[0.9, 0.1]]}
    assert labels(output_of(one({"payload": payload}), config)) == {"RED": 0.9, "BLACK": 0.1}
    assert output_of(one({"payload": payload}), config).job == "FROM_CONFIG"
    own = output_of(one({"payload": payload, "classes": ["A", "B"], "job": "OWN"}), config)
    assert (own.job, set(labels(own))) == ("OWN", {"A", "B"})


def test_a_message_may_say_how_its_payload_is_read() -> None:
    config = ProjectConfig(field="other", exclusive=True, units="pixel", strings="text", frames=True)
    heads = {"predictions": [{"a": [0.9, 0.8], "b": [0.1, 0.2]}]}
    own = {"classes": ["RED", "BLACK"], "field": "a", "exclusive": False, "frames": False}
    assert labels(output_of(one({"payload": heads, **own}), config)) == {"RED": 0.9, "BLACK": 0.8}
    assert labels(output_of(one({"payload": ["RED"], "strings": "label", "frames": False}), config)) == {"RED": None}
    pose = {"name": "dog", "class": 0, "confidence": 0.9, "box": {"x1": 0.1, "y1": 0.1, "x2": 0.9, "y2": 0.9}}
    pose["keypoints"] = {"x": [0.5], "y": [0.25]}
    answer = output_of(one({"payload": [pose], "units": "relative", "point_names": ["nose"]})).answer
    assert isinstance(answer, Detection)
    assert answer.objects[0].shape.point_names == ("nose",)
    assert answer.objects[0].shape.rings == (((0.5, 0.25),),)


def test_how_a_payload_is_read_goes_with_a_payload_alone() -> None:
    with pytest.raises(MessageError, match="field only goes with payload"):
        one({"scores": {"A": 1.0}, "field": "x"})
    with pytest.raises(MessageError, match="units does not go with scores"):
        one({"scores": {"A": 1.0}, "units": "pixel"})


def test_a_payload_that_cannot_be_read_names_the_field_within_the_message() -> None:
    with pytest.raises(UnreadableOutput) as caught:
        output_of(one({"payload": {"predictions": [[0.9, 0.8]]}, "classes": ["A", "B"]}))
    assert caught.value.field.startswith("output.payload.predictions[0]")
    with pytest.raises(UnreadableOutput) as caught:
        output_of(one({"payload": {"colour": "red"}}))
    assert caught.value.cause == "unknown_format"


def test_a_batch_gives_each_external_id_its_row_and_each_row_survives_the_spool() -> None:
    rows = rows_of(batch({"payload": ROWS, "classes": ["RED", "BLACK"]}, ["a", "b"], assets=[{"url": "u"}, None]))
    spooled = [read_prediction(json.loads(row.to_json())) for row in rows]
    assert [row.external_id for row in spooled] == ["a", "b"]
    assert [row.asset.url if row.asset else None for row in spooled] == ["u", None]
    assert [labels(output_of(row)) for row in spooled] == [{"RED": 0.9, "BLACK": 0.1}, {"RED": 0.2, "BLACK": 0.8}]


def test_more_or_fewer_rows_than_external_ids_are_refused() -> None:
    with pytest.raises(UnreadableOutput, match="2 answers for 3 external_ids"):
        rows_of(batch({"payload": ROWS, "classes": ["RED", "BLACK"]}, ["a", "b", "c"]))
    with pytest.raises(UnreadableOutput, match="2 answers for one external_id"):
        output_of(one({"payload": ROWS, "classes": ["RED", "BLACK"]}))


def test_an_embedding_reaches_the_policy_and_each_row_of_a_batch_has_its_own() -> None:
    prediction = read_prediction(message({"scores": {"A": 1.0}}, external_id="a", embedding=[0.5, -2, 1e-3]))
    assert subject_of(prediction, output_of(prediction), "p").embedding == [0.5, -2.0, 1e-3]
    output = {"payload": ROWS, "classes": ["RED", "BLACK"]}
    rows = rows_of(batch(output, ["a", "b"], embeddings=[[1.0, 2.0], None]))
    spooled = [read_prediction(json.loads(row.to_json())) for row in rows]
    assert [row.embedding for row in spooled] == [[1.0, 2.0], None]
    with pytest.raises(MessageError, match="1 embeddings for 2 external_ids"):
        batch(output, ["a", "b"], embeddings=[[1.0]])
    with pytest.raises(MessageError, match="at most 4096"):
        batch(output, ["a", "b"], embeddings=[[1.0] * 4097, None])


def test_a_message_s_own_evidence_goes_with_any_output_and_before_the_payload_s() -> None:
    mine = {"token_scores": [0.9, 0.4]}
    assert output_of(one({"scores": {"A": 1.0}, "evidence": mine})).evidence == mine
    assert output_of(one({"json_response": {}, "evidence": mine})).evidence == mine
    tokens = [{"entity": "B-PER", "word": "Ann", "score": 0.8, "start": 0, "end": 3, "index": 1}]
    assert output_of(one({"payload": tokens})).evidence["token_scores"] == [0.8]
    assert output_of(one({"payload": tokens, "evidence": mine})).evidence == mine
    answer = {"answer": {"kind": "detection", "objects": []}, "evidence": {"candidate_scores": [0.1]}}
    merged = output_of(one({"answer": answer, "evidence": mine})).evidence
    assert merged == {"candidate_scores": [0.1], **mine}


def test_evidence_is_of_one_asset() -> None:
    with pytest.raises(MessageError, match="only goes with one external_id"):
        batch({"payload": ROWS, "classes": ["A", "B"], "evidence": {"token_scores": [1.0]}}, ["a", "b"])


def coco(*images: Any) -> dict[str, Any]:
    results = [{"image_id": image, "category_id": 1, "bbox": [1, 2, 3, 4], "score": 0.9} for image in images]
    return {"payload": results, "format": "coco", "classes": {"1": "CAT"}, "image_size": [100, 100]}


def found(output: Any) -> list[str]:
    assert isinstance(output.answer, Detection)
    return [item.label for item in output.answer.objects]


def test_results_that_name_their_images_are_matched_by_id_whatever_their_order() -> None:
    rows = rows_of(batch(coco(7, "a", 7), ["a", "b", "7"], assets=[{"url": "u"}, None, None]))
    assert [(row.external_id, found(output_of(row))) for row in rows] == [("a", ["CAT"]), ("b", []), ("7", ["CAT"] * 2)]
    assert [row.asset.url if row.asset else None for row in rows] == ["u", None, None]


def test_an_image_without_results_keeps_the_job_of_the_others() -> None:
    rows = rows_of(batch({**coco("a"), "job": "BOXES"}, ["a", "b"]))
    assert [output_of(row).job for row in rows] == ["BOXES", "BOXES"]
    assert [output_of(row).job for row in rows_of(batch(coco("a"), ["a", "b"]), ProjectConfig(job="J"))] == ["J", "J"]


def test_no_results_at_all_are_an_answer_for_every_image() -> None:
    assert [found(output_of(row)) for row in rows_of(batch(coco(), ["a", "b"]))] == [[], []]
    assert found(output_of(one(coco()))) == []


def test_results_of_another_image_are_refused_and_both_are_named() -> None:
    with pytest.raises(UnreadableOutput) as caught:
        output_of(one(coco("b")))
    assert (caught.value.cause, caught.value.field) == ("another_asset", "output.payload")
    assert caught.value.problem == "speaks of 'b', but the message is about 'a'"
    with pytest.raises(UnreadableOutput, match="speaks of 'c', which is none of the 2 external_ids"):
        rows_of(batch(coco("a", "c"), ["a", "b"]))


def test_results_by_id_are_no_frames_in_order() -> None:
    with pytest.raises(UnreadableOutput, match="do not tell which frame is which"):
        output_of(one(coco("a")), ProjectConfig(frames=True))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"external_ids": []}, "external_ids"),
        ({"external_ids": ["a", "a"]}, "twice"),
        ({"external_ids": ["a"], "assets": []}, "0 assets for 1"),
        ({"external_ids": ["a"], "confidence": 0.5}, "confidence: unknown key"),
        ({"external_ids": ["a"], "external_id": "b"}, "external_id: unknown key"),
    ],
)
def test_a_wrong_batch_is_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(MessageError, match=words):
        read_message(message({"payload": ROWS}, **changes))


def test_a_broken_neutral_answer_is_refused_with_its_field() -> None:
    with pytest.raises(UnreadableOutput) as caught:
        reading_of(one({"answer": {"answer": {"kind": "classification", "scores": 3}}}))
    assert caught.value.field.startswith("output.answer")


@pytest.mark.parametrize(
    "payload", [[[], []], ["cat", "dog"], [{"choices": [{"message": {"content": '{"a": "x", "b": "y"}'}}]}] * 2]
)
def test_what_only_the_project_decides_survives_the_spool(payload: Any) -> None:
    rows = rows_of(batch({"payload": payload}, ["1", "2"]))
    answers = [output_of(read_prediction(json.loads(row.to_json()))).answer for row in rows]
    assert answers == [output.answer for output in read_payload(payload).outputs]


def test_one_model_of_a_project_may_have_its_own_options() -> None:
    config = ProjectConfig(min_score=0.1, models={"m": {"min_score": 0.5}, "m:2": {"units": "relative"}})
    assert (config.of_model("m", "1").min_score, config.of_model("m", "2").min_score) == (0.5, 0.1)
    assert config.of_model("other", "1").min_score == 0.1
    with pytest.raises(ValueError, match=r"models\.m\.min_scor"):
        ProjectConfig(models={"m": {"min_scor": 0.5}})


@pytest.mark.parametrize(
    ("output", "kind"),
    [
        ({"boxes": [{"label": "a", "box": [1, 2, 3, 4]}], "units": "pixel", "image_size": [10, 10]}, "detection"),
        ({"polygons": [{"label": "a", "polygon": [[0, 0], [1, 0], [1, 1]]}], "units": "relative"}, "detection"),
        ({"masks": [{"label": "a", "grid": [[0, 1]]}]}, "detection"),
        ({"points": [{"label": "a", "point": [5, 5]}], "units": "percent"}, "detection"),
        ({"entities": [{"label": "a", "start": 0, "end": 2, "text": "xy"}]}, "entities"),
        ({"text": "hello"}, "transcription"),
        ({"labels": ["a", "b"]}, "classification"),
        ({"jobs": {"J": {"labels": ["a"]}, "K": {"text": "x"}}}, "several"),
        ({"boxes": []}, "detection"),
    ],
)
def test_the_short_form_is_read(output: dict[str, Any], kind: str) -> None:
    assert output_of(one(output)).answer.kind == kind


@pytest.mark.parametrize(
    ("output", "field"),
    [
        ({"boxes": [{"label": "a", "box": [1, 2, 3, 4]}]}, "output.units"),
        ({"boxes": [{"label": "a", "box": [1, 2, 1, 4]}], "units": "percent"}, "output.boxes[0].box"),
        ({"entities": [{"label": "a", "text": "xy"}]}, "output.entities[0].start"),
    ],
)
def test_a_short_form_that_says_too_little_names_the_field(output: dict[str, Any], field: str) -> None:
    with pytest.raises(UnreadableOutput) as caught:
        output_of(one(output))
    assert caught.value.field == field


NAMES = st.sampled_from(["RED", "BLACK", " ", "", "\u2003", "red"])
SCORES = st.dictionaries(NAMES, st.floats(0, 1), min_size=1)
CONFIGS = st.sampled_from(
    [
        ProjectConfig(),
        ProjectConfig(ignored_classes=["RED"]),
        ProjectConfig(models={"m": {"ignored_classes": ["BLACK"]}}),
    ]
)


def refusal_of(check: Callable[[Prediction, ProjectConfig], Any], found: Prediction, config: ProjectConfig) -> str:
    try:
        check(found, config)
    except UnreadableOutput as error:
        return f"{error.field}: {error.problem}; {error.fix}; {error.cause}"
    return ""


@given(scores=SCORES, config=CONFIGS, more=st.sampled_from([{}, {"ignored_classes": ["BLACK"]}, {"exclusive": True}]))
def test_what_is_only_checked_is_refused_in_the_same_words(
    scores: dict[str, float], config: ProjectConfig, more: dict[str, Any]
) -> None:
    found = one({"scores": scores, **more})
    assert refusal_of(check_output, found, config) == refusal_of(output_of, found, config)


@pytest.mark.parametrize("output", [{"payload": {"predictions": [[2, "x"]]}}, {"answer": {"no": 1}}, {"text": "a"}])
def test_outputs_that_are_no_scores_are_read_to_be_checked(output: dict[str, Any]) -> None:
    found, config = one(output), ProjectConfig()
    assert refusal_of(check_output, found, config) == refusal_of(output_of, found, config)


PROBABILITIES = st.floats(0, 1) | st.sampled_from([0.0, 0.5, 1.0, 1 / 3])
LABELS = st.text(min_size=1, max_size=3)


@given(st.dictionaries(LABELS, PROBABILITIES, min_size=1, max_size=5), st.none() | PROBABILITIES)
def test_plain_scores_tell_what_the_output_would_that_is_made_when_it_is_looked_at(
    scores: dict[str, float], confidence: float | None
) -> None:
    prediction = read_prediction(message({"scores": scores}, external_id="a", confidence=confidence))
    found = plain_scores(prediction)
    if found is None:
        with pytest.raises(UnreadableOutput):
            output_of(prediction)
        return
    later = subject_of_scores(prediction, found, lambda: output_of(prediction), "p")
    at_once = subject_of(prediction, output_of(prediction), "p")
    assert later.confidence == at_once.confidence
    assert later.output == at_once.output
    assert later == at_once


@pytest.mark.parametrize(
    ("more", "config"),
    [
        ({"exclusive": True}, ProjectConfig()),
        ({"ignored_classes": ["A"]}, ProjectConfig()),
        ({}, ProjectConfig(exclusive=False)),
        ({}, ProjectConfig(ignored_classes=["A"])),
        ({}, ProjectConfig(models={"m": {"exclusive": True}})),
    ],
)
def test_scores_beside_which_something_bears_on_their_meaning_are_not_plain(
    more: dict[str, Any], config: ProjectConfig
) -> None:
    assert plain_scores(one({"scores": {"A": 0.9, "B": 0.2}})) is not None
    assert plain_scores(one({"scores": {"A": 0.9, "B": 0.2}, **more}), config) is None
    assert plain_scores(one({"labels": ["A"]})) is None
