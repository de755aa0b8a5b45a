"""Structure alone decides; two meanings are refused by name, and a near miss names the nearest format."""

from __future__ import annotations

from typing import Any

import pytest

from worker.contract.output import Nothing
from worker.formats import AmbiguousFormat, OutputError, ReadOptions, UnknownFormat, read_payload

LINE = {"timestamp": "2024-03-05T03:33:59", "request_id": "1"}


@pytest.mark.parametrize(
    ("payload", "families"),
    [
        ({"outputs": []}, {"tf-serving-columns", "open-inference"}),
        ({"predictions": [[0.1, 0.9]], **LINE}, {"tf-serving-rows", "bentoml-monitor"}),
        ({"outputs": {"p": [1]}, "data": {"ndarray": [[1.0]]}}, {"tf-serving-columns", "seldon"}),
    ],
)
def test_two_meanings_are_refused_and_both_named(payload: Any, families: set[str]) -> None:
    with pytest.raises(AmbiguousFormat) as caught:
        read_payload(payload)
    assert families <= set(caught.value.families)
    assert all(name in str(caught.value) for name in families)


@pytest.mark.parametrize(("payload", "items"), [([], 1), ([[], []], 2)])
def test_an_empty_list_says_that_nothing_was_found(payload: Any, items: int) -> None:
    reading = read_payload(payload)
    assert reading.format == "empty"
    assert [output.answer for output in reading.outputs] == [Nothing()] * items


def test_an_ambiguous_payload_names_only_formats_that_read_it() -> None:
    with pytest.raises(AmbiguousFormat) as caught:
        read_payload({"predictions": [[0.1, 0.9]], **LINE}, ReadOptions(classes=["a", "b"]))
    assert caught.value.families == ("tf-serving-rows",)
    assert caught.value.fix == "set format to one of tf-serving-rows"


def test_an_ambiguous_payload_is_read_when_the_format_is_named() -> None:
    outputs = read_payload([[], []], ReadOptions(format="hf-object-detection")).outputs
    assert [output.answer.objects for output in outputs] == [(), ()]


@pytest.mark.parametrize(
    ("payload", "nearest", "field", "problem"),
    [
        ({"predictions": 1}, "tf-serving-rows", "payload.predictions", "1 is not a list"),
        ({"prediction": [[0.1, 0.9]]}, "tf-serving-rows", "payload.predictions", "is it 'prediction'?"),
        (
            [{"label": "cat", "score": 0.9, "mybox": [1, 2, 3, 4]}],
            "hf-object-detection",
            "payload[0].box",
            "is it 'mybox'",
        ),
        (
            [{"label": "cat", "score": "0.9"}],
            "hf-classification",
            "payload[0].score",
            "'0.9' is not a number",
        ),
        (
            {"outputs": [{"name": "p", "datatype": "FP32", "data": [1.0]}]},
            "open-inference",
            "payload.outputs[0].shape",
            "missing",
        ),
        ({"boxes": [], "labels": []}, "torchvision", "payload.scores", "missing"),
        (
            [{"name": "cat", "confidence": 0.5, "box": {}}],
            "ultralytics",
            "payload[0].class",
            "missing",
        ),
        (
            [{"image_id": 1, "category_id": 2, "bbox": [1, 2, 3, 4]}],
            "coco",
            "payload[0].score",
            "missing",
        ),
        (
            [{"entity": "B-PER", "score": 0.9, "word": "Ada", "start": "0", "end": 3, "index": 1}],
            "hf-token-classification",
            "payload[0].start",
            "'0' is not a number or null",
        ),
        ({"data": {"ndarray": "no"}}, "seldon", "payload.data.ndarray", "'no' is not a list"),
        ([{"person": [1, 2, 3, 4], "score": 0.5, "label": "x"}], "hf-classification", "payload[0].person", "geometry"),
        ({"J": {"categories": []}, "K": 3}, "kili", "payload.K", "not a job"),
        ({"choices": [{"delta": {}}]}, "openai", "payload.choices[0].delta", ""),
        (
            {"specversion": "1.0", "id": "1", "source": "x", "data": {}},
            "cloudevents",
            "payload.type",
            "missing",
        ),
        ({"data": {}, "predictions": "x"}, "label-studio", "payload.predictions", "not a list"),
    ],
)
def test_a_near_miss_names_the_nearest_format_and_the_field(
    payload: Any, nearest: str, field: str, problem: str
) -> None:
    with pytest.raises(UnknownFormat) as caught:
        read_payload(payload)
    assert (caught.value.nearest, caught.value.field) == (nearest, field)
    assert problem in caught.value.problem
    assert nearest in str(caught.value)


@pytest.mark.parametrize("payload", [None, True, 3, {}, {"foo": {"bar": 1}}, [None, 3]])
def test_a_payload_of_no_format_is_refused(payload: Any) -> None:
    with pytest.raises(UnknownFormat) as caught:
        read_payload(payload)
    assert caught.value.nearest is None


@pytest.mark.parametrize(
    ("payload", "field", "told"),
    [
        ({"error": "out of memory"}, "error", "out of memory"),
        ({"error": {"message": "quota", "code": 429}}, "error", "quota"),
        (
            {"errorMessage": "division by zero", "errorType": "ZeroDivisionError", "stackTrace": []},
            "errorMessage",
            "zero",
        ),
        ({"error_code": "BAD_REQUEST", "message": "no schema"}, "message", "no schema"),
        ({"code": 503, "message": "no worker"}, "message", "no worker"),
        ({"status": {"code": 500, "info": "boom", "status": "FAILURE"}}, "status", "boom"),
        ({"detail": "Not Found"}, "detail", "Not Found"),
        ({"detail": [{"loc": ["body", "file"], "msg": "Field required"}]}, "detail", "Field required"),
    ],
)
def test_a_server_s_error_is_called_one(payload: Any, field: str, told: str) -> None:
    with pytest.raises(OutputError, match="answered with an error") as caught:
        read_payload(payload)
    assert caught.value.field == f"payload.{field}"
    assert told in caught.value.problem


@pytest.mark.parametrize("key", ["NextToken", "nextPageToken", "@odata.nextLink"])
def test_a_page_of_an_answer_is_refused(key: str) -> None:
    page = {"Labels": [{"Name": "cat", "Confidence": 90.0}]}
    assert read_payload({**page, key: None}).format == "rekognition-labels"
    with pytest.raises(OutputError, match="another page"):
        read_payload({**page, key: "abc"})
    with pytest.raises(OutputError, match="another page"):
        read_payload({"version": "0", "detail-type": "x", "source": "y", "detail": {**page, key: "abc"}})


@pytest.mark.parametrize("payload", [{"request_id": "r", "objects": []}, {"key": "r", "custom": 1}])
def test_one_usual_key_of_two_is_not_near(payload: Any) -> None:
    with pytest.raises(UnknownFormat) as caught:
        read_payload(payload)
    assert caught.value.nearest is None


def test_a_class_that_is_called_like_a_key_of_another_format_is_no_class() -> None:
    with pytest.raises(UnknownFormat):
        read_payload({"score": 0.4, "confidence": 0.5})


def test_an_unknown_format_name_is_refused_with_the_closest() -> None:
    with pytest.raises(OutputError, match="hf-classification"):
        read_payload([], ReadOptions(format="hf-clasification"))


def test_two_formats_at_once_are_refused() -> None:
    with pytest.raises(OutputError, match="several formats"):
        read_payload([], ReadOptions(format="sklearn/coco"))


def test_a_named_format_reports_what_does_not_fit() -> None:
    with pytest.raises(OutputError) as caught:
        read_payload({"outputs": []}, ReadOptions(format="tf-serving-rows"))
    assert (caught.value.field, caught.value.problem) == ("payload.predictions", "missing")


def test_what_a_payload_was_taken_for_is_told_when_it_turns_out_to_be_wrong() -> None:
    with pytest.raises(OutputError) as caught:
        read_payload({"predictions": [[0.9, 0.9]]}, ReadOptions(classes=["a", "b"]))
    assert (caught.value.format, caught.value.why) == (
        "tf-serving-rows",
        "an object whose predictions is a list of rows",
    )


def test_a_named_envelope_that_is_not_there_is_refused() -> None:
    with pytest.raises(OutputError, match="format is cloudevents"):
        read_payload({"predictions": [1]}, ReadOptions(format="cloudevents", classes=["a", "b"]))


@pytest.mark.parametrize(
    "payload",
    [
        {"error": "model not ready"},
        {"error": {"message": "model not ready", "type": "server_error"}},
        {"code": 503, "type": "InternalServerException", "message": "model not ready"},
    ],
)
def test_an_error_answer_of_the_server_is_called_one(payload: Any) -> None:
    with pytest.raises(OutputError, match="answered with an error: model not ready"):
        read_payload(payload)


@pytest.mark.parametrize("payload", [{"predictions": []}, {"results": []}, {"data": {"ndarray": []}}])
def test_a_payload_without_items_is_refused(payload: Any) -> None:
    formats = {"predictions": "tf-serving-rows", "results": "tf-serving-classify", "data": "seldon"}
    with pytest.raises(OutputError, match="no item"):
        read_payload(payload, ReadOptions(format=formats[next(iter(payload))]))


def test_a_json_text_is_parsed_and_its_faults_are_placed() -> None:
    assert read_payload('{"cat": 0.9}').format == "torchserve-classifier"
    with pytest.raises(OutputError, match="not JSON"):
        read_payload('{"cat": 0.9,}')
    with pytest.raises(OutputError, match="NaN is not a finite number"):
        read_payload('{"cat": NaN}')
    with pytest.raises(OutputError, match="nested too deeply"):
        read_payload("[" * 200_000 + "]" * 200_000)
    with pytest.raises(OutputError, match="too many digits"):
        read_payload("[" + "9" * 10_000 + "]")


def test_the_reason_says_what_matched() -> None:
    reading = read_payload({"specversion": "1.0", "id": "1", "type": "x", "source": "y", "data": ["a"]})
    assert reading.format == "cloudevents/sklearn"
    assert (
        reading.why == "an event with specversion, id, type and source; inside: a bare list of labels or class indices"
    )
