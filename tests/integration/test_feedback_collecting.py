"""The collector on the sandbox, over HTTP and a real Redis."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest
import redis

from tests.awaiting import PATIENCE
from tests.integration.feedback_world import INTERFACE, World, world
from tests.nursery import spawn
from worker.environment.embedded_redis import EmbeddedRedis
from worker.feedback.reading import LabelKind
from worker.feedback.records import AssetRecord
from worker.feedback.report_data import ReportQuestion, report_data_of
from worker.feedback.service import Feedback, Observers
from worker.feedback.store import FeedbackStore
from worker.feedback.verdicts import record_of
from worker.ontology import Interface
from worker.review import Verdict

INTERFACE_READ = Interface.parse(INTERFACE)


@pytest.fixture(scope="module")
def shared() -> Iterator[World]:
    with world() as found:
        yield found


@pytest.fixture
def place(shared: World) -> World:
    return shared.with_new_project()


def feedback_of(place: World, client: redis.Redis, **options) -> Feedback:
    options = {"endpoint": place.sandbox.endpoint, "now": time.time, **options}
    return Feedback(place.reader(), client, "t:", place.project, INTERFACE_READ, **options)


def kept(client: redis.Redis, place: World) -> dict[str, AssetRecord]:
    store = FeedbackStore(client, "t:", place.project)
    return {record.asset_id: record for record in store.records(with_labels=True)}


def in_kili(place: World) -> dict[str, AssetRecord]:
    """A clean computation from everything that Kili has."""
    ids = [item["id"] for item in place.admin(f"state?project={place.project}&full=1")["items"]]
    records = [record_of(asset, INTERFACE_READ) for asset in place.reader().assets(place.project, ids)]
    return {record.asset_id: record for record in records if record.labels}


def test_predictions_decisions_and_answers_are_read_as_they_are(place: World, client: redis.Redis) -> None:
    place.predict("digits:1", range(130))
    place.label(40)

    result = feedback_of(place, client).collect()

    records = kept(client, place)
    assert result.complete
    assert records == in_kili(place)
    assert sum(record.verdicts for record in records.values()) == 40
    assert all(record.decision and record.decision.model == "digits:1" for record in records.values())
    verdict = next(one for record in records.values() for answer in record.answers for one in answer.verdicts)
    assert verdict.author == "labeler-1@sandbox.example"
    assert verdict.mark in (0.5, 1.0)


def test_late_marks_are_collected_in_a_later_round(place: World, client: redis.Redis) -> None:
    place.admin("config", {"mark_delay": 3600})
    place.predict("digits:1", range(20))
    place.label(5)
    feedback = feedback_of(place, client)
    feedback.collect()
    assert len(feedback.store.unmarked(0, 10)) == 5

    place.admin("config", {"mark_delay": 0})
    for label in place.human_labels():
        place.answer(label["asset_id"], 7)
    feedback.collect()

    assert feedback.store.unmarked(0, 10) == []


def test_edits_deletions_and_lagging_reads_end_in_a_clean_computation(place: World, client: redis.Redis) -> None:
    dice = random.Random(5)
    place.predict("digits:1", range(150))
    feedback = feedback_of(place, client)
    for lag in (0, 0.2, 0.2, 0):
        place.admin("config", {"read_lag": lag})
        place.label(25, mistakes=0.1, seed=lag)
        labels = place.human_labels()
        place.delete_labels(*(label["id"] for label in dice.sample(labels, 4)))
        for label in dice.sample(place.human_labels(), 4):
            place.answer(label["asset_id"], dice.randrange(10), dice.choice(("DEFAULT", "REVIEW")))
        feedback.collect()

    place.admin("config", {"read_lag": 0})
    feedback.collect()
    feedback.collect()

    assert kept(client, place) == in_kili(place)


def test_a_rebuild_from_kili_gives_the_same_figures(place: World, client: redis.Redis) -> None:
    place.predict("digits:1", range(200))
    place.predict("digits:2", range(100, 300), source="logistic", seed=3)
    feedback = feedback_of(place, client)
    for _ in range(3):
        place.label(40, mistakes=0.05, people=2)
        place.delete_labels(place.human_labels()[0]["id"])
        feedback.collect()
    question = ReportQuestion(now=time.time(), run_length=5000)
    before = report_data_of(feedback.store.records(), INTERFACE_READ, question)

    feedback.rebuild()

    assert report_data_of(feedback.store.records(), INTERFACE_READ, question) == before


def test_a_collector_that_is_killed_again_and_again_loses_and_doubles_nothing(
    place: World, client: redis.Redis, redis_server: EmbeddedRedis
) -> None:
    dice = random.Random(3)
    place.predict("digits:1", range(300))
    arguments = (place.sandbox.endpoint, place.sandbox.api_key, place.project, redis_server.url)
    command = [sys.executable, "-m", "tests.integration.endless_collector"]
    for _ in range(4):
        process = spawn([*command, *arguments], stdout=subprocess.PIPE, text=True)
        with process.stdout as output:
            assert output.readline() == "ready\n"
            place.label(20, mistakes=0.1)
            place.delete_labels(place.human_labels()[-1]["id"])
            time.sleep(dice.uniform(0, 0.15))  # the moment of a kill is any
            process.kill()
            process.wait(PATIENCE)
        client.delete(f"t:feedback:{place.project}:lock")

    feedback_of(place, client).collect()
    feedback_of(place, client).collect()

    assert kept(client, place) == in_kili(place)
    counts = FeedbackStore(client, "t:", place.project).counts(LabelKind.HUMAN)
    assert sum(counts.values()) == len(place.human_labels())


def test_verdicts_reach_the_review_policy(place: World, client: redis.Redis) -> None:
    place.predict("digits:1", range(60))
    place.label(10)
    heard: list[Verdict] = []

    feedback_of(place, client, observers=Observers(training_examples=heard.extend)).tick()

    assert len(heard) == 10
    assert {(one.project, one.model) for one in heard} == {(place.project, "digits:1")}
    assert {one.wrong for one in heard} <= {0.0, 1.0}
    assert all(one.decision.error_probability is not None for one in heard)


def test_the_state_stays_below_a_kilobyte_for_each_prediction(place: World, client: redis.Redis) -> None:
    place.predict("digits:1", range(400))
    place.label(80)
    before = client.info("memory")["used_memory"]

    feedback_of(place, client).collect()

    assert (client.info("memory")["used_memory"] - before) / 400 < 1000
