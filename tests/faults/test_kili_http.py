"""Kili fails below GraphQL: refusals for load, gateways, broken connections, answers that are none."""

from __future__ import annotations

import time
from email.utils import formatdate
from typing import Any

import pytest

from tests.faults.house import House, prediction, predictions

OPERATIONS = ["filterExistingAssets", "appendManyAssets", "appendManyLabels", "updatePropertiesInAssets"]
NO_BACKEND = "no healthy upstream"
BACKEND_GONE = "upstream connect error or disconnect/reset before headers. reset reason: connection termination"


def status(code: int, body: str = "", **options: Any) -> dict[str, Any]:
    return {"kind": "status", "status": code, "body": body, **options}


FAULTS = {
    "429": (status(429), "RateLimited"),
    "401": (status(401, "Unauthorized"), "Unauthorized"),
    "500": (status(500, "Internal Server Error"), "UnknownOutcome"),
    "500 although it was applied": (status(500, "Internal Server Error", after=True), "UnknownOutcome"),
    "502": (status(502, "Bad Gateway"), "UnknownOutcome"),
    "503 without a backend": (status(503, NO_BACKEND), "Unavailable"),
    "503 with a backend gone": (status(503, BACKEND_GONE, after=True), "UnknownOutcome"),
    "504": (status(504, "Gateway Timeout"), "TimedOut"),
    "504 although it was applied": (status(504, "Gateway Timeout", after=True), "TimedOut"),
    "521": (status(521, "Web server is down"), "Unavailable"),
    "a reset": ({"kind": "reset"}, "UnknownOutcome"),
    "an answer lost after the write": ({"kind": "lost"}, "UnknownOutcome"),
    "a connection cut in mid-answer": ({"kind": "cut"}, "UnknownOutcome"),
    "HTML with status 200": ({"kind": "html", "status": 200}, "UnknownOutcome"),
    "HTML after the write": ({"kind": "html", "status": 200, "after": True}, "UnknownOutcome"),
    "half a JSON text": ({"kind": "truncated"}, "UnknownOutcome"),
}


@pytest.mark.guarantee(
    "Kili",
    fault="401, 429, 500, 502, 503 (both Envoy kinds), 504, 521, resets, answers lost or cut or truncated, HTML",
    promise="sat out at every step",
)
@pytest.mark.parametrize("fault", FAULTS)
def test_what_passes_is_sat_out_at_every_step(house: House, fault: str) -> None:
    action, outcome = FAULTS[fault]
    seen = house.outcomes()
    project = house.project()
    house.harm(*({"operation": step, "times": 1, "action": action} for step in OPERATIONS))
    house.publish(predictions(project, 60))
    house.await_settled()
    house.judge()
    assert house.struck() == [1, 1, 1, 1]
    house.await_outcome(outcome, seen, 4)


@pytest.mark.guarantee(
    "Kili",
    fault="bursts of 401",
    promise="nobody is paused for long",
)
def test_a_burst_of_401_pauses_nobody_for_long(house: House) -> None:
    projects = [house.project() for _ in range(4)]
    house.harm({"times": 15, "action": status(401, "Unauthorized")})
    for project in projects:
        house.publish(predictions(project, 20))
    house.await_settled()
    house.judge()
    assert house.struck() == [15]
    house.await_awake()


@pytest.mark.guarantee(
    "Kili",
    fault="`Retry-After` in seconds, as a date, absurd, absent",
    promise="the fleet waits as asked, never longer than allowed",
)
@pytest.mark.parametrize(
    ("value", "least"),
    [("1", 1.0), ("in ten seconds, as a date", 1.0), ("99999999999", 1.0), ("-3", 0.0)],
)
def test_retry_after_holds_the_fleet_back_as_long_as_it_asks_and_no_longer_than_allowed(
    house: House, value: str, least: float
) -> None:
    project = house.project()
    begun = time.monotonic()
    after = formatdate(time.time() + 10, usegmt=True) if value.endswith("date") else value
    house.harm({"operation": "appendManyAssets", "times": 1, "action": status(429, headers={"Retry-After": after})})
    house.publish(predictions(project, 40))
    house.await_settled()
    assert house.struck() == [1]
    assert time.monotonic() - begun >= least
    house.judge()


@pytest.mark.guarantee(
    "Kili",
    fault="answers slower than the timeout",
    promise="sent again, harmless",
)
def test_answers_slower_than_the_timeout_may_come_to_nothing_or_be_applied_late(house: House) -> None:
    project = house.project()
    house.workers[-1].kill()
    worker = house.worker(WORKER_KILI__TIMEOUT_SECONDS="0.75")
    late = 1 if house.has_one_document else 2
    seen = house.outcomes()
    house.harm(
        {"operation": "appendManyAssets", "times": 1, "action": {"kind": "delay", "seconds": 1}},
        {"operation": "appendManyLabels", "times": 1, "action": {"kind": "delay", "seconds": 1.8}},
    )
    house.publish(predictions(project, 60))
    house.await_settled()
    house.judge()
    house.await_that(lambda: (house.outcomes() - seen)["TimedOut"] >= late, "every answer that was late is counted")
    house.await_awake()
    worker.kill()


@pytest.mark.guarantee(
    "Kili",
    fault="413",
    promise="bytes halved and remembered",
)
def test_bodies_that_are_too_large_are_halved_and_the_size_is_remembered(house: House) -> None:
    project = house.project()
    house.harm({"action": {"kind": "too_large", "bytes": 20_000}})
    house.publish(predictions(project, 300))
    house.await_settled()
    house.judge()
    learned = house.struck()[0]
    assert 1 <= learned <= 12
    house.publish(predictions(project, 300, start=300))
    house.await_settled()
    house.judge()
    cut_before = 8 if house.has_one_document else 1
    assert house.struck()[0] <= learned + cut_before


@pytest.mark.guarantee(
    "Kili",
    fault="an item too large by itself",
    promise="a dead letter; its neighbours go",
)
def test_an_item_that_is_too_large_by_itself_becomes_a_dead_letter_and_its_neighbours_go(house: House) -> None:
    project = house.project()
    house.harm({"action": {"kind": "too_large", "bytes": 20_000}})
    giant = prediction(project, "giant.jpg", metadata={"notes": "x" * 30_000})
    house.publish([*predictions(project, 50), giant])
    house.condemn(1)
    house.await_settled()
    house.judge()
    assert [letter.about["external_id"] for letter in house.case_letters()] == ["giant.jpg"]
