"""Workers that are killed and workers that are asked to stop, at every step of a wave."""

from __future__ import annotations

from typing import Any

import pytest

from tests.awaiting import PATIENCE
from tests.faults.chronicle import said_by
from tests.faults.house import House, predictions

STEPS = ["projects", "filterExistingAssets", "appendManyAssets", "appendManyLabels", "updatePropertiesInAssets"]
HANG = {"kind": "delay", "seconds": 3}
HANG_LONG = {"kind": "delay", "seconds": 12}
HANG_FOR_EVER = {"kind": "delay", "seconds": 600}
GONE = {"kind": "reset"}


@pytest.mark.guarantee(
    "Processes",
    fault="`kill -9` in any step of a wave, the call never applied, applied late, or applied and unanswered",
    promise="the next holder of the project finishes it",
)
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


@pytest.mark.guarantee(
    "Processes",
    fault="`kill -9` while bisecting, or right after a dead letter was written",
    promise="the culprits alone are condemned, once",
)
def test_a_worker_killed_while_it_bisects_or_has_just_written_a_dead_letter_condemns_the_culprits_alone(
    house: House,
) -> None:
    if house.has_one_document:
        pytest.skip("the document sets the priorities: none are left for after the dead letters")
    bisecting, buried = house.project(), house.project()
    culprits = ["a/3.jpg", "a/4.jpg", "a/77.jpg"]
    refuse = {"kind": "refuse", "external_ids": culprits, "key": "notAllowed"}
    house.harm(
        rule("appendManyLabels", bisecting, refuse, times=None),
        rule("appendManyLabels", bisecting, HANG_LONG, skip=5),
        rule("appendManyLabels", buried, refuse, times=None),
        rule("updatePropertiesInAssets", buried, HANG_LONG),
    )
    for project in (bisecting, buried):
        house.publish(predictions(project, 100))
    house.condemn(2 * len(culprits))
    house.await_that(lambda: met(house, "delay") == 2, "a bisection, and updates after dead letters")
    assert house.spool.ledger(bisecting).dead == 0
    assert house.spool.ledger(buried).dead == len(culprits)
    house.workers[-1].kill()
    house.worker()
    house.await_settled()
    house.judge()
    for project in (bisecting, buried):
        letters = [letter.about for letter in house.letters.letters("notAllowed") if letter.project == project]
        assert sorted(about["external_id"] for about in letters) == culprits


@pytest.mark.guarantee(
    "Processes",
    fault="one of two workers dies (each is its own scheduler)",
    promise="the other takes over within a lease",
)
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


@pytest.mark.guarantee(
    "Processes",
    fault="SIGTERM in mid-wave",
    promise="the rest is given back, what remained is logged, exit 0",
)
def test_a_worker_asked_to_stop_in_mid_wave_gives_back_what_is_left_and_says_so(house: House) -> None:
    house.workers[-1].kill()
    worker = house.worker(WORKER_SPOOL__LEASE_SECONDS="60")
    project = house.project()
    house.harm({"operation": "appendManyLabels", "action": {"kind": "delay", "seconds": 3}})
    delivered = house.ledger().delivered
    house.publish(predictions(project, 1500))
    house.await_that(lambda: met(house, "delay"), "a wave")
    assert worker.stop() == 0
    ledger = house.ledger()
    assert ledger.leased == 0
    assert ledger.delivered > delivered
    (drained,) = said_by(worker, "drained")
    assert drained["waiting"] == ledger.waiting > 0
    house.heal()
    house.worker()
    house.await_settled()
    house.judge()


@pytest.mark.guarantee(
    "Processes",
    fault="SIGTERM while Kili hangs",
    promise="ends within the drain limit",
)
def test_a_worker_asked_to_stop_while_kili_hangs_ends_within_the_limit(house: House) -> None:
    house.workers[-1].kill()
    worker = house.worker(WORKER_KILI__TIMEOUT_SECONDS=str(PATIENCE), WORKER_DELIVERY__DRAIN_SECONDS="0.5")
    project = house.project()
    house.harm(*(rule("appendManyLabels", project, action) for action in (HANG_FOR_EVER, GONE)))
    house.publish(predictions(project, 50))
    house.await_that(lambda: met(house, "delay"), "a call that hangs")
    assert worker.stop(PATIENCE / 2) == 1, "long before the call would have ended"
    (limit,) = said_by(worker, "drain_limit")
    assert limit["leased"] == 50
    house.worker()
    house.await_settled()
    house.judge()


@pytest.mark.guarantee(
    "Processes",
    fault="SIGTERM while paused",
    promise="stops at once",
)
def test_a_worker_asked_to_stop_while_it_is_paused_stops_at_once(house: House) -> None:
    project = house.project()
    house.harm({"action": {"kind": "status", "status": 401}})
    house.publish(predictions(project, 50))
    house.await_that(lambda: "endpoint" in house.pauses(), "a pause")
    worker = house.workers[-1]
    assert worker.stop() == 0
    (drained,) = said_by(worker, "drained")
    assert drained["waiting"] == 50
    house.heal()
    house.worker()
    house.await_settled()
    house.await_awake()
    house.judge()


def rule(step: str, project: str, action: dict[str, Any], *, times: int | None = 1, skip: int = 0) -> dict[str, Any]:
    found = {"operation": step, "project": project, "skip": skip, "action": action}
    return found if times is None else {**found, "times": times}


def hanging(call: str) -> list[dict[str, Any]]:
    if call == "is never applied":
        return [HANG, GONE]
    return [HANG] if call == "is applied late" else [{"kind": "lost"}, HANG]


def met(house: House, kind: str) -> int:
    rules = house.admin("faults")
    return sum(rule["applied"] for rule in rules if rule["action"]["kind"] == kind)
