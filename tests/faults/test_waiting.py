"""Predictions for a project that Kili refuses for good: they wait, and an operator ends the wait while workers run."""

from __future__ import annotations

import pytest

from tests.faults.house import House, predictions
from tests.nursery import printed

WRONG = "no-such-project"


@pytest.mark.guarantee(
    "Kili",
    fault="a wrong project id",
    promise="waits; `waiting dead-letter` makes dead letters of it while workers run and deliver its neighbours",
)
def test_an_operator_ends_the_wait_of_a_project_that_does_not_exist_while_workers_run(house: House) -> None:
    good = house.project()
    house.publish(predictions(WRONG, 300))
    house.await_that(lambda: f"project:{WRONG}" in house.pauses(), "a pause")
    house.await_that(lambda: on_their_way(house) == 300, "all of them wait")
    house.publish(predictions(good, 50))
    assert run(house, "list").startswith(f"{WRONG}: 300 since ")
    assert run(house, "dead-letter", WRONG, "--yes") == f"300 predictions of {WRONG} were moved to the dead letters\n"
    house.condemn(300)
    house.await_settled()
    assert f"project:{WRONG}" not in house.pauses()
    assert len(house.case_letters("moved_by_operator")) == 300
    house.judge()


def on_their_way(house: House) -> int:
    ledger = house.spool.ledger(WRONG)
    return ledger.waiting + ledger.leased


def run(house: House, *arguments: str) -> str:
    """What the command prints in a process of its own."""
    return printed("waiting", *arguments, env=house.environment)
