"""Workers that are killed and workers that are asked to stop, at every step of a wave."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from tests.faults.house import House, prediction, predictions
from worker.demo.processes import WorkerProcess

STEPS = ["projects", "filterExistingAssets", "appendManyAssets", "appendManyLabels", "updatePropertiesInAssets"]
HANG = {"kind": "delay", "seconds": 3}


@pytest.mark.parametrize("call", ["is never applied", "is applied late", "was applied"])
def test_a_worker_killed_during_any_step_of_a_wave_loses_and_doubles_nothing(house: House, call: str) -> None:
    projects = {step: house.project() for step in STEPS}
    for step, project in projects.items():
        house.harm(*(rule(step, project, action) for action in hanging(call)))
        house.publish(predictions(project, 50))
    house.await_that(lambda: met(house, "delay") == len(STEPS), "every step hangs")
    house.workers[-1].kill()
    house.heal()
    house.worker()
    house.await_settled()
    house.judge()


def test_a_worker_killed_while_it_bisects_condemns_the_culprits_alone(house: House) -> None:
    project = house.project()
    culprits = ["a/3.jpg", "a/4.jpg", "a/77.jpg"]
    refuse = {"kind": "refuse", "external_ids": culprits, "key": "notAllowed"}
    house.harm(
        rule("appendManyLabels", project, refuse, times=None),
        rule("appendManyLabels", project, HANG, skip=5),
    )
    house.publish(predictions(project, 100))
    house.await_that(lambda: met(house, "delay"), "bisection")
    house.workers[-1].kill()
    house.worker()
    house.condemn(len(culprits))
    house.await_settled()
    house.judge()
    assert {letter.about["external_id"] for letter in house.letters.letters("notAllowed")} == set(culprits)


def test_a_worker_killed_right_after_a_dead_letter_was_written_writes_no_second_one(house: House) -> None:
    project = house.project()
    house.harm(
        rule("appendManyLabels", project, {"kind": "refuse", "external_ids": ["a/3.jpg"]}, times=None),
        rule("updatePropertiesInAssets", project, HANG),
    )
    known = house.ledger().dead
    house.publish(predictions(project, 40))
    house.condemn(1)
    house.await_that(lambda: house.ledger().dead > known, "a dead letter")
    house.workers[-1].kill()
    house.heal()
    house.worker()
    house.await_settled()
    house.judge()


def test_a_worker_killed_again_and_again_while_it_takes_from_the_celery_queue(house: House) -> None:
    house.workers[-1].kill()
    project = house.project()
    before = house.ledger().received
    house.publish(predictions(project, 1500), door="celery", together=15)
    for share in (1, 500):
        victim = house.worker(WORKER_INTAKE__BATCH="5")
        house.await_that(lambda at=before + share: house.ledger().received >= at, "messages are received")
        victim.kill()
    assert house.ledger().received < house.published.count
    house.worker()
    house.await_settled()
    house.judge()


def test_one_of_two_workers_is_killed_and_the_other_takes_over(house: House) -> None:
    survivor = house.worker()
    projects = [house.project() for _ in range(6)]
    house.harm({"operation": "appendManyLabels", "action": {"kind": "delay", "seconds": 0.2}})
    for project in projects:
        house.publish(predictions(project, 150))
    house.await_that(lambda: house.ledger().leased, "waves")
    house.workers[-2].kill()
    house.await_settled()
    assert survivor.process.poll() is None
    house.judge()


def test_a_worker_asked_to_stop_in_mid_wave_gives_back_what_is_left_and_says_so(house: House) -> None:
    project = house.project()
    house.harm({"operation": "appendManyLabels", "action": {"kind": "delay", "seconds": 0.4}})
    delivered = house.ledger().delivered
    worker = house.workers[-1]
    house.publish(predictions(project, 1000))
    house.await_that(lambda: met(house, "delay"), "a wave")
    begun = time.monotonic()
    assert worker.stop() == 0
    assert time.monotonic() - begun < 5
    ledger = house.ledger()
    assert ledger.leased == 0
    assert ledger.delivered > delivered
    assert said(worker, "drained")["waiting"] == ledger.waiting > 0
    house.worker()
    house.await_settled()
    house.judge()


def test_a_worker_asked_to_stop_while_kili_hangs_ends_within_the_limit(house: House) -> None:
    house.workers[-1].kill()
    worker = house.worker(WORKER_KILI__TIMEOUT_SECONDS="60", WORKER_DELIVERY__DRAIN_SECONDS="1.5")
    project = house.project()
    house.harm(rule("appendManyLabels", project, {"kind": "delay", "seconds": 4}))
    house.publish(predictions(project, 50))
    house.await_that(lambda: met(house, "delay"), "a call that hangs")
    begun = time.monotonic()
    assert worker.stop() == 1
    assert time.monotonic() - begun < 3
    assert said(worker, "drain_limit")["leased"] == 50
    house.worker()
    house.await_settled()
    house.judge()


def test_a_worker_asked_to_stop_while_it_is_paused_stops_at_once(house: House) -> None:
    project = house.project()
    house.harm({"action": {"kind": "status", "status": 401}})
    house.publish(predictions(project, 50))
    house.await_that(lambda: "endpoint" in house.pauses(), "a pause")
    worker = house.workers[-1]
    begun = time.monotonic()
    assert worker.stop() == 0
    assert time.monotonic() - begun < 3
    assert said(worker, "drained")["waiting"] == 50
    house.heal()
    house.worker()
    house.await_settled()
    assert house.pauses() == {}
    house.judge()


def test_a_backlog_of_another_version_is_delivered_or_dies_with_a_cause(house: House) -> None:
    house.workers[-1].kill()
    project = house.project()
    strange = prediction(project, "from-the-future", schema="prediction/v2")
    house.publish([*predictions(project, 20), json.dumps(strange).encode()])
    house.client.lpush("predictions.deliver", json.dumps({"body": "e30=", "headers": {"task": "gone.task"}}))
    worker = house.worker()
    house.await_settled()
    house.judge()
    assert worker.process.poll() is None
    assert "prediction/v2" in [*house.letters.letters("invalid_message")][-1].about["problem"]


def rule(step: str, project: str, action: dict[str, Any], *, times: int | None = 1, skip: int = 0) -> dict[str, Any]:
    found = {"operation": step, "project": project, "skip": skip, "action": action}
    return found if times is None else {**found, "times": times}


def hanging(call: str) -> list[dict[str, Any]]:
    if call == "is never applied":
        return [HANG, {"kind": "reset"}]
    return [HANG] if call == "is applied late" else [{"kind": "lost"}, HANG]


def met(house: House, kind: str) -> int:
    rules = house.admin("faults")
    return sum(rule["applied"] for rule in rules if rule["action"]["kind"] == kind)


def said(worker: WorkerProcess, action: str) -> dict[str, Any]:
    lines = [json.loads(line) for line in worker.log.read_text().splitlines() if line.startswith("{")]
    return next(line for line in lines if line["action"] == action)
