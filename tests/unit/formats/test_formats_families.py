"""What single families refuse, and why."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from worker.formats import OutputError, ReadOptions, ResultPointer, read_kili_response, read_payload

EVENT = {"specversion": "1.0", "id": "1", "type": "org.kubeflow.serving.inference.response", "source": "s"}


def rejection(payload: Any, **options: Any) -> OutputError:
    with pytest.raises(OutputError) as caught:
        read_payload(payload, ReadOptions(**options))
    return caught.value


def tensor(**changes: Any) -> dict[str, Any]:
    return {"outputs": [{"name": "p", "shape": [1, 2], "datatype": "FP32", "data": [0.1, 0.9], **changes}]}


def chat(content: Any, **choice: Any) -> dict[str, Any]:
    return {"choices": [{"message": {"content": content}, **choice}]}


def studio(kind: str, value: Any, **changes: Any) -> dict[str, Any]:
    return {"result": [{"type": kind, "from_name": "t", "to_name": "x", "value": value, **changes}]}


@pytest.mark.parametrize(
    ("payload", "field", "problem"),
    [
        (tensor(data=[0.1]), "payload.outputs[0].data", "1 elements where shape [1, 2] needs 2"),
        (tensor(data=[[0.1]]), "payload.outputs[0].data[0]", "1 elements where the shape says 2"),
        (tensor(data=[[[0.1, 0.9]]]), "payload.outputs[0].data[0]", "1 elements where the shape says 2"),
        (tensor(data=[[0.1, [0.9]]]), "payload.outputs[0].data[0][1]", "nested more or less deeply"),
        (tensor(data=[0.1, "x"]), "payload.outputs[0].data[0][1]", "not of datatype FP32"),
        (tensor(datatype="FP31"), "payload.outputs[0].datatype", "not a datatype"),
        (tensor(datatype="BOOL", data=[True, 1]), "payload.outputs[0].data[0][1]", "not of datatype BOOL"),
        (tensor(shape=[]), "payload.outputs[0].shape", "0 sides"),
        (tensor(shape=[-1, -2]), "payload.outputs[0].shape", "negative"),
        (tensor(shape=[10**9, 0], data=[]), "payload.outputs[0].data", "holds nothing"),
        (tensor(shape=[1.5, 2]), "payload.outputs[0].shape[0]", "not a whole number"),
        ({"outputs": 2 * tensor()["outputs"]}, "payload.outputs", "same name"),
    ],
)
def test_a_tensor_agrees_with_its_shape_and_datatype(payload: Any, field: str, problem: str) -> None:
    error = rejection(payload, classes=["a", "b"])
    assert error.field == field
    assert problem in error.problem


def test_a_binary_tensor_is_asked_for_as_json() -> None:
    payload = {"outputs": [{"name": "p", "shape": [1, 2], "datatype": "FP32", "parameters": {"binary_data_size": 8}}]}
    error = rejection(payload)
    assert error.format == "open-inference"
    assert (error.field, error.fix) == ("payload.outputs[0].data", "ask for JSON, not binary, output data")


def test_the_tensor_that_field_names_must_exist() -> None:
    assert "set field to one of p" in rejection(tensor(), field="q").fix


def test_a_string_output_that_is_no_classification_stays_a_label() -> None:
    payload = {"outputs": [{"name": "p", "shape": [2], "datatype": "BYTES", "data": ["0.9:1:cat", "dog"]}]}
    reading = read_payload(payload, ReadOptions(strings="label"))
    assert reading.format == "open-inference"
    assert [output.answer.scores[0].label for output in reading.outputs] == ["0.9:1:cat", "dog"]


def test_several_tensors_that_are_not_understood_together_need_a_field() -> None:
    outputs = [
        {"name": "label", "shape": [1, 1], "datatype": "INT64", "data": [1]},
        {"name": "probs", "shape": [1, 2], "datatype": "FP16", "data": [0.25, 0.75]},
    ]
    error = rejection({"outputs": outputs}, classes=["a", "b"])
    assert (error.problem, error.fix) == (
        "several outputs: label, probs",
        "set field to the one that holds the prediction",
    )


def test_true_and_false_are_classes_only_where_several_may_apply() -> None:
    flags = tensor(datatype="BOOL", data=[True, False])
    assert "exclusive: false" in rejection(flags, classes=["a", "b"]).fix
    assert rejection(tensor(datatype="BOOL", shape=[2], data=[True, False]), classes=["a", "b"]).fix


def test_seldon_answers_without_rows_are_called_so() -> None:
    error = rejection({"binData": "cat", "meta": {}})
    assert error.field == "payload.binData"
    assert "nearest is seldon" in error.problem


@pytest.mark.parametrize("data", [{"jsonData": {"label": "cat", "score": 0.9}}, {"strData": "cat"}])
def test_a_failure_beside_what_seldon_sends_is_refused(data: dict[str, Any]) -> None:
    status = {"code": 500, "info": "out of memory", "status": "FAILURE"}
    assert "out of memory" in rejection({**data, "status": status}).problem


def test_the_scores_of_one_asset_are_no_scores_of_several() -> None:
    scores = [0.1, 0.7, 0.2]
    for told in ({"classes": ["a", "b", "c"]}, {"classes": ["a", "b"], "external_ids": ["x"]}):
        assert rejection(scores, **told).field == "payload[0]"
    assert rejection(scores, classes=["a", "b", "c"], external_ids=["x", "y", "z"]).field == "payload[0]"


def test_an_id_that_is_null_needs_the_only_asset() -> None:
    found = [{"image_id": None, "category_id": 1, "bbox": [1, 2, 3, 4], "score": 0.9, "category_name": "cat"}]
    for ids in (None, ["a", "b"]):
        assert rejection(found, image_size=[9, 9], external_ids=ids).field == "payload[0].image_id"


def test_several_sqs_messages_at_once_are_refused() -> None:
    record = {"messageId": "1", "receiptHandle": "r", "body": json.dumps({"predictions": ["cat"]})}
    assert read_payload({"Records": [record]}).format == "amazon-sqs/tf-serving-rows"
    assert rejection({"Records": [record, record]}).problem == "2 messages at once"


def test_a_named_format_that_is_not_there_says_what_it_is() -> None:
    assert rejection({"predictions": [1]}, format="seldon").fix.startswith("seldon is an object whose `data` object")


def test_a_failed_seldon_answer_is_refused_with_its_reason() -> None:
    payload = {"data": {"ndarray": [[1.0]]}, "status": {"status": "FAILURE", "info": "out of memory"}}
    assert "out of memory" in rejection(payload).problem


def test_tokens_without_offsets_ask_for_a_fast_tokenizer() -> None:
    token = {"entity": "B-PER", "score": 0.9, "word": "Ada", "start": None, "end": None, "index": 1}
    assert rejection([token]).fix == "use a fast tokenizer"


def test_a_span_outside_the_text_is_refused() -> None:
    span = {"entity_group": "PER", "score": 0.9, "word": "Ada", "start": 0, "end": 3}
    assert "a span ends at 3, the text at 2" in rejection([span], text="Ad").problem


@pytest.mark.parametrize(("word", "fits"), [("Ada", True), ("ada", True), ("##da", False), ("Bob", False)])
def test_a_span_must_hold_the_word_that_the_model_read(word: str, fits: bool) -> None:
    span = {"entity_group": "PER", "score": 0.9, "word": word, "start": 0, "end": 3}
    if fits:
        assert read_payload([span], ReadOptions(text="Ada wrote")).outputs
    else:
        assert "is not what the text has there: 'Ada'" in rejection([span], text="Ada wrote").problem


def test_an_empty_span_is_refused() -> None:
    span = {"entity_group": "PER", "score": 0.9, "word": "Ada", "start": 3, "end": 3}
    assert "holds no character" in rejection([span]).problem


def test_one_text_cannot_belong_to_two_items() -> None:
    span = {"entity_group": "PER", "score": 0.9, "word": "Ada", "start": 0, "end": 3}
    assert "2 items and only one text" in rejection([[span], [span]], text="Ada").problem


@pytest.mark.parametrize(
    ("payload", "problem"),
    [
        ({"choices": 2 * chat("RED")["choices"]}, "2 answers for one item"),
        (chat("RE", finish_reason="length"), "the answer is not whole"),
        (chat(None), "null is no answer"),
        ({"choices": [{"message": {"content": None, "refusal": "I cannot"}}]}, "the model refused: I cannot"),
        (chat('{"a": 1, "b": true}'), "which key of the answer is the label? There are: a, b"),
        (chat('{"label": 3}'), "3 is no class name"),
        (chat('{"label": ["A", "A"]}'), "names a class twice"),
        (
            chat("A", logprobs={"content": [{"token": "A", "logprob": 0.5, "top_logprobs": []}]}),
            "0.5 is no log probability",
        ),
    ],
)
def test_an_llm_answer_that_is_no_label_is_refused(payload: Any, problem: str) -> None:
    assert problem in rejection(payload).problem


def test_tokens_that_do_not_spell_the_answer_give_no_probability() -> None:
    logprobs = {"content": [{"token": "\\xf0", "logprob": -0.1, "top_logprobs": []}]}
    (output,) = read_payload(chat("RED", logprobs=logprobs), ReadOptions(strings="label")).outputs
    assert output.answer.scores[0].score is None


@pytest.mark.parametrize(
    ("payload", "problem"),
    [
        (studio("brushlabels", {"rle": [1]}), "results of type brushlabels cannot be read"),
        (studio("labels", {"start": "/p[1]", "end": "/p[1]", "labels": ["A"]}), "not a character offset"),
        (studio("rectanglelabels", {"rectanglelabels": ["A", "B"]}), "2 labels on one region"),
        (
            studio(
                "rectanglelabels", {"x": 1, "y": 1, "width": 5, "height": 5, "rotation": 9, "rectanglelabels": ["A"]}
            ),
            "needs original_width",
        ),
        ({"data": {}, "predictions": [{"result": []}, {"result": []}]}, "2 predictions"),
        (studio("choices", {"choices": []}), "no choice"),
    ],
)
def test_label_studio_results_that_cannot_be_read_are_refused(payload: Any, problem: str) -> None:
    assert problem in rejection(payload).problem


def test_results_of_two_controls_are_answers_to_two_jobs_or_field_names_one() -> None:
    results = (
        studio("choices", {"choices": ["A"]})["result"] + studio("choices", {"choices": ["B"]}, from_name="u")["result"]
    )
    (output,) = read_payload({"result": results}).outputs
    assert {name: one.scores[0].label for name, one in output.answer.answers.items()} == {"t": "A", "u": "B"}
    assert read_payload({"result": results}, ReadOptions(field="u")).outputs[0].answer.scores[0].label == "B"


def test_a_log_line_with_several_columns_needs_a_field() -> None:
    line = {"a": 1, "b": 2, "timestamp": "t", "request_id": "r"}
    assert "There are: a, b" in rejection(line).problem
    assert "no column is called" in rejection(line, field="c").problem


def test_a_logged_request_is_no_prediction() -> None:
    event = {**EVENT, "type": "org.kubeflow.serving.inference.request", "data": {"instances": [[1]]}}
    error = rejection(event)
    assert error.field == "payload.type"
    assert "logs a request" in error.problem


@pytest.mark.parametrize(
    ("changes", "field", "problem"),
    [
        ({}, "payload.data", "missing"),
        ({"data_base64": "%%%"}, "payload.data_base64", "not base64"),
        ({"data_base64": base64.b64encode(b"\xff\xfe").decode()}, "payload.data_base64", "not UTF-8"),
        ({"data": "{oops"}, "payload.data", "not JSON"),
        ({"data": {"predictions": 3}}, "payload.data.predictions", "3 is not a list"),
    ],
)
def test_a_broken_event_names_its_field(changes: dict[str, Any], field: str, problem: str) -> None:
    error = rejection({**EVENT, **changes})
    assert error.field == field
    assert problem in error.problem


def test_a_completed_notice_without_its_response_points_to_it() -> None:
    notice = {
        "invocationStatus": "Completed",
        "inferenceId": "id-1",
        "responseParameters": {"contentType": "application/json", "outputLocation": "s3://bucket/x.out"},
    }
    error = rejection({"Type": "Notification", "Message": json.dumps(notice)})
    assert isinstance(error, ResultPointer)
    assert (error.location, error.content_type) == ("s3://bucket/x.out", "application/json")
    assert error.evidence["sagemaker"] == {"inference_id": "id-1", "output_location": "s3://bucket/x.out"}
    assert error.field == "payload.Message.responseParameters.outputLocation"


def test_a_failed_inference_is_refused_with_its_reason() -> None:
    notice = {"invocationStatus": "Failed", "inferenceId": "id-1", "failureReason": "ClientError: 500"}
    assert "ended as Failed: ClientError: 500" in rejection(notice).problem


def test_a_subscription_confirmation_is_no_notification() -> None:
    error = rejection({"Type": "SubscriptionConfirmation", "Message": "You have chosen to subscribe"})
    assert error.fix == "confirm the subscription first"


def test_envelopes_in_envelopes_have_an_end() -> None:
    payload: Any = ["a"]
    for _ in range(6):
        payload = {**EVENT, "data": payload}
    assert "more than 4 envelopes" in rejection(payload, format="cloudevents").problem


def test_kili_responses_are_passed_on_unless_they_are_no_json() -> None:
    response = {"JOB": {"categories": [{"name": "A"}]}}
    assert read_kili_response(response).answer.json_response == response
    assert read_kili_response({}).answer.json_response == {}
    with pytest.raises(OutputError, match="json_response: a list is not an object"):
        read_kili_response([])
    deep: Any = {}
    for _ in range(50):
        deep = {"children": deep}
    with pytest.raises(OutputError, match="nested too deeply"):
        read_kili_response({"JOB": deep})


def test_frames_hold_classes_and_objects_only() -> None:
    assert "a frame cannot hold transcription" in rejection([{"text": "a"}, {"text": "b"}], frames=True).problem
