"""Kinds of payload that were read as something else without a word, or refused with a wrong reason."""

from __future__ import annotations

from typing import Any

import pytest

from worker.contract.output import same_text
from worker.formats import OutputError, ReadOptions, read_payload
from worker.ontology import Interface, OntologyError, to_json_response

TEXT = "I like Paris."
CLASSES = {"PLACE": {"name": "Place", "children": []}}
JOB = {"mlTask": "NAMED_ENTITIES_RECOGNITION", "content": {"categories": CLASSES, "input": "radio"}, "required": 0}
INTERFACE = Interface.parse({"jobs": {"NAMES": JOB | {"instruction": "Places", "isChild": False}}}, "TEXT")


def _rejection(payload: Any, **options: Any) -> str:
    with pytest.raises(OutputError) as caught:
        read_payload(payload, ReadOptions(**options))
    return str(caught.value)


def _sent(payload: Any, text: str) -> Any:
    (output,) = read_payload(payload, ReadOptions(text=text)).outputs
    return to_json_response(output, INTERFACE, text=text)["NAMES"]["annotations"]


def _spans(begin: int, end: int) -> list[Any]:
    """The same span as several tools send it, each with the text that the model read there."""
    span = {"start": begin, "end": end}
    return [
        [{**span, "entity_group": "PLACE", "score": 0.9, "word": " Paris"}],
        [{**span, "label": "PLACE", "score": 0.9, "text": "Paris"}],
        {"entities": [{**span, "label": "PLACE", "score": 0.9, "text": "Paris"}]},
        {"Entities": [{"BeginOffset": begin, "EndOffset": end, "Type": "PLACE", "Score": 0.9, "Text": "Paris"}]},
    ]


@pytest.mark.parametrize("payload", _spans(7, 12))
def test_a_span_that_fits_its_word_is_sent(payload: Any) -> None:
    assert [one["content"] for one in _sent(payload, TEXT)] == ["Paris"]


@pytest.mark.parametrize("payload", _spans(7, 13))
def test_a_span_with_a_mark_that_its_word_has_not_is_refused(payload: Any) -> None:
    with pytest.raises((OutputError, OntologyError), match=r"Paris\."):
        _sent(payload, TEXT)


@pytest.mark.parametrize(
    ("word", "found", "same"),
    [
        ("paris", "Paris", True),
        ("u . s .", "U.S.", True),
        ("U.S", "U.S.", False),
        ("Paris", "(Paris", False),
        ("cafe", "Café", True),
        ("5", "$5", True),
        ("Paris", "", False),
    ],
)
def test_words_and_what_the_text_has_there(word: str, found: str, same: bool) -> None:
    assert same_text(word, found) is same


@pytest.mark.parametrize(
    "payload",
    [
        {"text": TEXT, "ents": [{"start": 7, "end": 12, "label": "PLACE"}]},
        {"text": TEXT, "spans": [{"start": 7, "end": 12, "label": "PLACE"}], "answer": "accept"},
    ],
)
def test_offsets_into_another_text_than_the_asset_s_are_refused(payload: Any) -> None:
    assert [one["content"] for one in _sent(payload, TEXT)] == ["Paris"]
    with pytest.raises(OntologyError, match="Paris"):
        _sent(payload, f"Oh, {TEXT}")


PLACES = (
    *("<loc0123><loc0456><loc0789><loc1000> cat", "cat<loc_10><loc_20><loc_300><loc_400>"),
    *("<ref>the cat</ref><box>(120,340),(560,780)</box>", "<|ref|>cat<|/ref|><|det|>[[10,20,300,400]]<|/det|>"),
    *("a cat [[120,340,560,780]]", "<ref>cat</ref><box>[[120, 340, 560, 780]]</box>"),
)


@pytest.mark.parametrize("text", PLACES)
def test_a_reply_that_places_something_is_neither_a_class_nor_a_text(text: str) -> None:
    chat = {"object": "chat.completion", "choices": [{"message": {"content": text}, "finish_reason": "stop"}]}
    for payload in (chat, {"generated_text": text}, {"text": text}):
        assert "place in the image" in _rejection(payload)


@pytest.mark.parametrize("text", ["0 0.5 0.5 0.2 0.2 0.9", "0.1,0.9", "-1.5\t2"])
def test_a_row_of_numbers_is_no_class_and_no_text_unless_that_is_said(text: str) -> None:
    assert "row of numbers" in _rejection(text)
    assert read_payload(text, ReadOptions(strings="text")).format == "bare-text"


@pytest.mark.parametrize(
    "payload",
    [
        {"label": "cat", "prediction": "dog", "confidence": 0.9},
        {"predicted_class": "dog", "category": "cat", "probability": 0.9},
        [{"label": "cat", "class": "dog", "confidence": 0.9}],
        {"objects": [{"label": "cat", "name": "dog", "confidence": 0.9, "bbox": {"x1": 1, "y1": 2, "x2": 3, "y2": 4}}]},
    ],
)
def test_several_classes_that_differ_are_refused(payload: Any) -> None:
    assert "several classes" in _rejection(payload, image_size=(640, 480))


def test_a_class_beside_its_number_is_read() -> None:
    (output,) = read_payload({"class": "3", "class_name": "dog", "confidence": 0.9}, ReadOptions()).outputs
    assert [(one.label, one.score) for one in output.answer.scores] == [("dog", 0.9)]  # type: ignore[union-attr]


def test_false_is_no_class_name() -> None:
    assert "false is no class name" in _rejection({"prediction": False, "probability": 0.97})


def test_channels_and_documents_out_of_order_are_refused() -> None:
    heard = [
        {"alternatives": [{"transcript": word, "confidence": 0.9}], "channelTag": tag} for tag, word in enumerate("ab")
    ]
    assert "2 channels" in _rejection({"results": heard})
    scores = {"positive": 0.9, "neutral": 0.1, "negative": 0}
    documents = [{"id": name, "sentiment": "positive", "confidenceScores": scores} for name in ("2", "1")]
    results = {"documents": documents, "errors": []}
    assert "order" in _rejection({"kind": "SentimentAnalysisResults", "results": results})
    mood = {"Positive": 0.9, "Negative": 0.1, "Neutral": 0, "Mixed": 0}
    assert "Index" in _rejection({"ResultList": [{"Index": 1, "SentimentScore": mood}], "ErrorList": []})


@pytest.mark.parametrize("key", ["keypoints", "roi", "bbox", "coordinates"])
def test_a_key_of_geometry_is_no_class_of_a_detector(key: str) -> None:
    assert "no known format" in _rejection([{key: [1, 2, 30, 40], "score": 0.9}], image_size=(100, 100))


def test_a_refusal_does_not_miss_a_label_that_is_there() -> None:
    nested = {"after": {"label": "person", "box": [424, 500, 536, 712]}, "type": "new"}
    assert "no label" not in _rejection(nested)
    assert "no label" in _rejection({"after": {"box": [424, 500, 536, 712]}, "type": "new"})


def test_a_list_called_result_is_not_label_studio_s() -> None:
    words = {"result": [{"conf": 0.9, "end": 1.0, "start": 0.5, "word": "hello"}], "text": "hello"}
    assert "from_name" not in _rejection(words)


@pytest.mark.parametrize(
    "payload",
    [
        {"pred_label": 0, "pred_score": 0.01, "pred_class": "defect"},
        {"_cls": "Classification", "label": "defect", "confidence": 0.01},
    ],
)
def test_the_one_class_of_a_head_cannot_be_the_least_likely(payload: Any) -> None:
    classes = {name: {"name": name, "children": []} for name in ("defect", "good")}
    job = {"mlTask": "CLASSIFICATION", "content": {"categories": classes, "input": "radio"}, "required": 0}
    interface = Interface.parse({"jobs": {"STATE": job | {"instruction": "State", "isChild": False}}}, "IMAGE")
    (output,) = read_payload(payload, ReadOptions()).outputs
    with pytest.raises(OntologyError, match="too little"):
        to_json_response(output, interface)
