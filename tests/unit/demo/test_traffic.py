"""What the demo sends is what it says it sends."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime

import pytest

from worker.contract import MessageError, ReadingLimits, read_json, read_prediction
from worker.demo.plan import CLASS_NAMES, Plan, load_digits, make_plan
from worker.demo.traffic import Producer, SentMessage, Traffic, make_traffic

PRODUCER = Producer("project", "http://files", datetime(2026, 11, 23, 10, 15, tzinfo=UTC))


@pytest.fixture(scope="module")
def plan() -> Plan:
    return make_plan(load_digits(), 200)


@pytest.fixture(scope="module")
def traffic(plan: Plan) -> Traffic:
    return make_traffic(plan, PRODUCER)


def of_kind(traffic: Traffic, kind: str) -> list[SentMessage]:
    return [one for one in traffic.sent if one.kind == kind]


def rejection(message: object) -> str | None:
    """The cause for which the contract refuses a message, if it does."""
    text = message if isinstance(message, str) else json.dumps(message)
    try:
        read_prediction(read_json(text, ReadingLimits()))
    except MessageError as error:
        return error.cause
    return None


def test_every_asset_has_one_prediction_that_the_contract_reads(traffic: Traffic) -> None:
    predictions = of_kind(traffic, "prediction")

    assert [one.message["external_id"] for one in predictions] == [f"digit-{number:04}.png" for number in range(200)]
    assert {rejection(one.message) for one in predictions} == {None}


def test_half_of_the_predictions_goes_through_each_door(traffic: Traffic) -> None:
    for part in traffic.phases:
        publishers = Counter(one.channel for one in part if one.kind == "prediction")
        assert abs(publishers["celery"] - publishers["stream"]) <= 1
    assert traffic.through("celery") + traffic.through("stream") == len(traffic.sent)


def test_a_duplicate_is_the_same_message_through_the_other_door(traffic: Traffic) -> None:
    publishers = {one.message["external_id"]: one for one in of_kind(traffic, "prediction")}
    duplicates = of_kind(traffic, "duplicate")

    assert len(duplicates) == 10
    for duplicate in duplicates:
        original = publishers[duplicate.message["external_id"]]
        assert duplicate.message == original.message
        assert duplicate.channel != original.channel


def test_an_outdated_answer_is_older_and_says_something_else(traffic: Traffic) -> None:
    (outdated,) = of_kind(traffic, "outdated")
    name, scores = outdated.message["external_id"], outdated.message["output"]["scores"]
    (newer,) = (one.message for one in of_kind(traffic, "prediction") if one.message["external_id"] == name)
    model = f"{newer['model']['name']}:{newer['model']['version']}"

    assert datetime.fromisoformat(outdated.message["predicted_at"]) < datetime.fromisoformat(newer["predicted_at"])
    assert outdated.message["model"] == newer["model"]
    assert max(scores, key=scores.get) != traffic.answers[name, model]
    assert list(scores) == list(CLASS_NAMES)


def test_bad_messages_are_bad_in_different_ways_and_go_through_both_doors(traffic: Traffic) -> None:
    bad = of_kind(traffic, "bad")
    texts = {json.dumps(one.message) for one in bad}

    assert len(texts) == len(bad) == sum(traffic.causes.values()) == 10
    assert Counter(one.channel for one in bad) == {"celery": 5, "stream": 5}
    assert set(traffic.causes) == {"invalid_message", "not_json", "unknown_class", "unknown_job"}


def test_what_the_contract_refuses_is_refused_for_the_stated_cause(traffic: Traffic) -> None:
    found = [(rejection(one.message), one.cause) for one in of_kind(traffic, "bad")]

    assert all(cause in (None, stated) for cause, stated in found)
    assert Counter(cause for cause, _ in found if cause) == {"invalid_message": 5, "not_json": 2}


def test_each_prediction_says_what_its_model_says(plan: Plan, traffic: Traffic) -> None:
    sent = {one.message["external_id"]: one.message for one in of_kind(traffic, "prediction")}

    assert len(sent) == len(traffic.answers) == len(traffic.truth) == 200
    for one in plan.predictions:
        assert list(sent[one.external_id]["output"]["scores"].values()) == one.scores
        assert traffic.answers[one.external_id, one.model] == one.answer
        assert traffic.truth[one.external_id] == CLASS_NAMES[one.label]


def test_the_rounds_follow_each_other_up_to_now(traffic: Traffic) -> None:
    times = [
        [datetime.fromisoformat(one.message["predicted_at"]) for one in part if one.kind == "prediction"]
        for part in traffic.phases
    ]

    every = [at for part in times for at in part]
    assert every == sorted(every)
    assert times[0][0] == PRODUCER.begin(len(times))
    assert times[-1][0] == PRODUCER.begin(1) < times[-1][-1] < PRODUCER.end


def test_the_same_seed_gives_the_same_traffic_and_another_one_another(plan: Plan, traffic: Traffic) -> None:
    again, other = (make_traffic(plan, PRODUCER, seed=seed) for seed in (0, 1))

    assert [repr(one) for one in again.sent] == [repr(one) for one in traffic.sent]
    assert [repr(one) for one in other.sent] != [repr(one) for one in traffic.sent]
