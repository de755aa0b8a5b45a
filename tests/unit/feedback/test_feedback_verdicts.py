"""One verdict per human label and model version, held against the model's newest answer."""

from __future__ import annotations

import pytest

from tests.unit.feedback.kili_in_memory import INTERFACE, JOB, START, asset_of, label_of
from worker.feedback.records import AssetRecord
from worker.feedback.verdicts import record_of


def inference(label_id: str, name: str, at: float = START, model: str = "m:1"):
    return label_of(label_id, "INFERENCE", name, at, model=model, author="bot")


def test_each_human_label_gives_a_verdict_on_each_model_version() -> None:
    labels = [
        inference("i1", "CAT"),
        inference("i2", "DOG", START + 1, "m:2"),
        label_of("h1", "DEFAULT", "DOG", START + 2),
        label_of("h2", "DEFAULT", "CAT", START + 3, author="bob"),
    ]

    record = record_of(asset_of("a", labels), INTERFACE)

    found = {(answer.model, one.label_id): one.agreement for answer in record.answers for one in answer.verdicts}
    assert found == {("m:1", "h1"): 0.0, ("m:1", "h2"): 1.0, ("m:2", "h1"): 1.0, ("m:2", "h2"): 0.0}
    assert record.answers[0].verdicts[0].jobs == {JOB: 0.0}
    assert record.answers[0].verdicts[0].classes == {JOB: ["DOG"]}


@pytest.mark.parametrize(
    ("labels", "standing"),
    [
        ([label_of("h1", "DEFAULT", "CAT", START + 1), label_of("h2", "DEFAULT", "DOG", START + 2)], {"h2"}),
        (
            [
                label_of("h1", "DEFAULT", "CAT", START + 1),
                label_of("h2", "DEFAULT", "DOG", START + 2, author="bob"),
            ],
            {"h1", "h2"},
        ),
        (
            [
                label_of("h1", "DEFAULT", "CAT", START + 1),
                label_of("r1", "REVIEW", "DOG", START + 2, author="rev"),
                label_of("h2", "DEFAULT", "CAT", START + 3, author="bob"),
            ],
            {"r1"},
        ),
    ],
    ids=["a person's last answer counts", "everybody's last answer counts", "a review ends the discussion"],
)
def test_which_labels_stand(labels, standing) -> None:
    record = record_of(asset_of("a", [inference("i", "CAT"), *labels]), INTERFACE)

    assert {one.label_id for one in record.answers[0].verdicts if one.standing} == standing


def test_honeypots_and_skipped_labels_are_no_verdicts_but_are_counted() -> None:
    labels = [
        inference("i", "CAT"),
        label_of("h1", "DEFAULT", "CAT", usable=False),
        label_of("h2", "REVIEW", "CAT", usable=False),
    ]

    record = record_of(asset_of("a", labels), INTERFACE)

    assert record.verdicts == 0
    assert {key.id for key in record.labels} == {"i", "h1", "h2"}


def test_the_newest_answer_of_a_model_version_is_the_one_that_is_judged() -> None:
    labels = [
        inference("old", "CAT"),
        inference("new", "DOG", START + 5),
        label_of("h", "DEFAULT", "DOG", START + 1),
    ]

    (answer,) = record_of(asset_of("a", labels), INTERFACE).answers

    assert (answer.label_id, answer.verdicts[0].agreement) == ("new", 1.0)


def test_kilis_mark_is_kept_only_where_it_is_about_the_same_pair() -> None:
    labels = [
        inference("i1", "CAT"),
        inference("i2", "DOG", START + 1, "m:2"),
        label_of("h1", "DEFAULT", "DOG", START + 2, mark=0.5),
        label_of("h2", "DEFAULT", "DOG", START + 3, author="bob", mark=1.0),
    ]

    record = record_of(asset_of("a", labels), INTERFACE)

    marks = {(answer.model, one.label_id): one.mark for answer in record.answers for one in answer.verdicts}
    assert marks == {("m:1", "h1"): None, ("m:1", "h2"): None, ("m:2", "h1"): None, ("m:2", "h2"): 1.0}


def test_the_decision_comes_from_the_metadata() -> None:
    metadata = {
        "prediction_model": "m:1",
        "prediction_at": "2026-03-01T12:00:00.000000+00:00",
        "prediction_confidence": 0.7,
        "review_band": 2,
        "review_error_probability": 0.25,
        "review_inclusion_probability": 0.03,
        "review_reason": "audit",
        "review_policy": "p/7",
        "camera": "north",
        "weight": 1.5,
    }

    record = record_of(asset_of("a", [inference("i", "CAT")], **metadata), INTERFACE)

    assert record.decision is not None
    assert (record.decision.band, record.decision.p_error, record.decision.inclusion) == (2, 0.25, 0.03)
    assert record.decision.at == START
    assert record.slices == {"camera": "north"}


@pytest.mark.parametrize(
    "metadata", [{}, {"prediction_model": "m"}, {"prediction_model": "m", "prediction_at": "soon"}]
)
def test_an_asset_without_a_readable_decision_has_none(metadata) -> None:
    assert record_of(asset_of("a", [inference("i", "CAT")], **metadata), INTERFACE).decision is None


def test_a_response_of_the_wrong_shape_is_left_out_and_said(caplog: pytest.LogCaptureFixture) -> None:
    broken = label_of("h", "DEFAULT", "CAT")
    broken.response[JOB] = {"categories": [{}]}

    record = record_of(asset_of("a", [inference("i", "CAT"), broken]), INTERFACE)

    assert record.verdicts == 0
    assert [entry.action for entry in caplog.records] == ["verdict_unreadable"]


def test_a_record_survives_its_json() -> None:
    labels = [inference("i", "CAT"), label_of("h", "DEFAULT", "DOG", START + 1, mark=0.5, seconds=3.5)]
    metadata = {"prediction_model": "m:1", "prediction_at": "2026-03-01T12:00:00+00:00", "site": "é"}
    record = record_of(asset_of("a", labels, **metadata), INTERFACE)

    assert AssetRecord.from_json("a", record.to_json()) == record
