"""Much waits: memory stays bounded, doubtful predictions overtake, and no project starves."""

from __future__ import annotations

from typing import Any

import pytest

from tests.awaiting import PATIENCE
from tests.faults.backlog import most_memory, work_off
from tests.faults.house import House, prediction, predictions

SCARCE = {"WORKER_KILI__CALLS_PER_MINUTE": "600", "WORKER_KILI__BURST": "2", "WORKER_DELIVERY__WAVE_ITEMS": "200"}
"""Ten calls a second: the budget is what everybody waits for, as in production."""


@pytest.mark.heavy
@pytest.mark.guarantee(
    "Dead letters and load",
    fault="a large backlog",
    promise="bounded memory, measured below",
)
def test_a_backlog_is_worked_off_by_two_workers_in_bounded_memory() -> None:
    found = work_off(messages=4000, workers=2, limit=3 * PATIENCE)
    assert found.most_megabytes < 200
    assert found.calls < 4000 * 2.1 / 100 + 4000 * 0.2 / 100 + 150


@pytest.mark.heavy
@pytest.mark.guarantee(
    "Dead letters and load",
    fault="large messages",
    promise="do not add up in memory",
)
def test_large_messages_do_not_add_up_in_memory() -> None:
    with House() as house:
        project = house.project(input_type="TEXT")
        house.publish(prediction(project, f"{n}", asset={"text": "x" * 2_000_000}) for n in range(24))
        worker = house.worker()
        house.await_that(lambda: house.ledger().delivered == 24, "all are delivered")
        house.judge()
        most = most_memory(worker.pid)
        assert most < 350_000_000, f"{most:,} bytes, of 48 MB that waited"


@pytest.mark.heavy
@pytest.mark.guarantee(
    "Dead letters and load",
    fault="a backlog of routine predictions",
    promise="doubtful ones overtake",
)
def test_doubtful_predictions_overtake_a_backlog_of_routine_ones() -> None:
    with House(SCARCE) as house:
        project = house.project()
        house.harm({"operation": "appendManyLabels", "action": {"kind": "delay", "seconds": 4}})
        house.publish(prediction(project, f"routine/{n}", score=0.95) for n in range(2000))
        house.worker()
        house.await_that(lambda: sum(house.struck()), "routine predictions are under way")
        house.publish(prediction(project, f"doubtful/{n}", score=0.55) for n in range(100))
        house.await_that(lambda: house.ledger().received == 2100, "the doubtful ones wait too")
        earlier = len(by_creation(house.admin("state?full=1"), project))
        house.heal()
        house.await_settled()
        order = [item["externalId"] for item in by_creation(house.judge(), project)]
        last = max(place for place, name in enumerate(order) if name.startswith("doubtful"))
        assert last < earlier + 1000, "but for what had begun, all doubtful ones went before what had come first"


@pytest.mark.heavy
@pytest.mark.guarantee(
    "Dead letters and load",
    fault="a flood in one project",
    promise="no other starves",
)
def test_a_flood_in_one_project_starves_no_other() -> None:
    with House({**SCARCE, "WORKER_DELIVERY__CONCURRENCY": "2"}) as house:
        flooded, trickling = house.project(), [house.project() for _ in range(6)]
        house.worker()
        house.worker()
        flood = 7000 if house.has_one_document else 3500
        house.publish(predictions(flooded, flood))
        house.await_that(lambda: house.ledger().delivered >= 200, "the flood is under way")
        for round_ in range(2):
            for project in trickling:
                house.publish(predictions(project, 20, start=20 * round_))
            wanted = 20 * (round_ + 1)
            house.await_that(
                lambda: all(house.spool.ledger(project).delivered == wanted for project in trickling),  # noqa: B023
                "every other project is served",
            )
        assert house.spool.ledger(flooded).waiting > 0, "while the flood still waits"
        house.await_settled()
        house.judge()


def by_creation(state: dict[str, Any], project: str) -> list[dict[str, Any]]:
    items = [item for item in state["items"] if item["projectId"] == project]
    return sorted(items, key=lambda item: item["createdAt"])
