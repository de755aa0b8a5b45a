"""What the demo sends is what it says it sends."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime

import pytest

from worker.demo.digits import CLASS_NAMES, Digits, load_digits
from worker.demo.traffic import ModelRun, Producer, Sent, Traffic, external_id_of, make_traffic
from worker.messages import MessageError, ReadingLimits, read_json, read_prediction

PRODUCER = Producer("project", "http://files", datetime(2026, 11, 23, 10, 15, tzinfo=UTC))
NETWORK = ModelRun("digit-network", "1", "network", range(200))


@pytest.fixture(scope="module")
def digits() -> Digits:
    return load_digits()


@pytest.fixture(scope="module")
def traffic(digits: Digits) -> Traffic:
    return make_traffic(digits, [NETWORK], PRODUCER)


def of_kind(traffic: Traffic, kind: str) -> list[Sent]:
    return [one for one in traffic.sent if one.kind == kind]


def refusal(message: object) -> str | None:
    """The cause for which the contract refuses a message, if it does."""
    text = message if isinstance(message, str) else json.dumps(message)
    try:
        read_prediction(read_json(text, ReadingLimits()))
    except MessageError as error:
        return error.cause
    return None


def test_every_asset_has_one_prediction_that_the_contract_reads(traffic: Traffic) -> None:
    predictions = of_kind(traffic, "prediction")

    assert [one.message["external_id"] for one in predictions] == [external_id_of(index) for index in range(200)]
    assert {refusal(one.message) for one in predictions} == {None}


def test_half_of_the_predictions_goes_through_each_door(traffic: Traffic) -> None:
    assert Counter(one.door for one in of_kind(traffic, "prediction")) == {"celery": 100, "stream": 100}
    assert traffic.through("celery") + traffic.through("stream") == len(traffic.sent)


def test_a_duplicate_is_the_same_message_through_the_other_door(traffic: Traffic) -> None:
    doors = {one.message["external_id"]: one for one in of_kind(traffic, "prediction")}
    duplicates = of_kind(traffic, "duplicate")

    assert len(duplicates) == 10
    for duplicate in duplicates:
        original = doors[duplicate.message["external_id"]]
        assert duplicate.message == original.message
        assert duplicate.door != original.door


def test_an_outdated_answer_is_older_and_says_something_else(traffic: Traffic) -> None:
    (outdated,) = of_kind(traffic, "outdated")
    scores = outdated.message["output"]["scores"]

    assert datetime.fromisoformat(outdated.message["predicted_at"]) < PRODUCER.at
    assert max(scores, key=scores.get) != traffic.answers[outdated.message["external_id"], NETWORK.label]
    assert list(scores) == list(CLASS_NAMES)


def test_bad_messages_are_bad_in_different_ways_and_go_through_both_doors(traffic: Traffic) -> None:
    bad = of_kind(traffic, "bad")
    texts = {json.dumps(one.message) for one in bad}

    assert len(texts) == len(bad) == sum(traffic.causes.values()) == 10
    assert Counter(one.door for one in bad) == {"celery": 5, "stream": 5}
    assert set(traffic.causes) == {"invalid_message", "not_json", "unknown_class", "unknown_job"}


def test_what_the_contract_refuses_is_refused_for_the_stated_cause(traffic: Traffic) -> None:
    found = [(refusal(one.message), one.cause) for one in of_kind(traffic, "bad")]

    assert all(cause in (None, stated) for cause, stated in found)
    assert Counter(cause for cause, _ in found if cause) == {"invalid_message": 5, "not_json": 2}


def test_the_answers_are_the_models_and_the_truth_is_the_datas(traffic: Traffic, digits: Digits) -> None:
    rows = digits.models["network"]

    for index in range(200):
        name = external_id_of(index)
        assert traffic.answers[name, "digit-network:1"] == CLASS_NAMES[rows[index].index(max(rows[index]))]
        assert traffic.truth[name] == CLASS_NAMES[digits.labels[index]]


def test_a_second_model_version_may_answer_some_of_the_same_assets(digits: Digits) -> None:
    other = ModelRun("digit-network", "2", "bayes", range(150, 250))
    traffic = make_traffic(digits, [NETWORK, other], PRODUCER)

    assert traffic.count("prediction") == len(traffic.answers) == 300
    assert len(traffic.truth) == 250
    assert (external_id_of(160), "digit-network:2") in traffic.answers


def test_the_same_seed_gives_the_same_traffic_and_another_one_another(digits: Digits, traffic: Traffic) -> None:
    again, other = (make_traffic(digits, [NETWORK], PRODUCER, seed=seed) for seed in (0, 1))

    assert [repr(one) for one in again.sent] == [repr(one) for one in traffic.sent]
    assert [repr(one) for one in other.sent] != [repr(one) for one in traffic.sent]
