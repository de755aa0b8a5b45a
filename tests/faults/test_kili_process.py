"""Workers that die and workers that are asked to stop, while Kili answers slowly."""

from __future__ import annotations

import pytest

from tests.faults.house import House, predictions

STEPS = ["projects", "filterExistingAssets", "appendManyAssets", "appendManyLabels", "updatePropertiesInAssets"]


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("applied", [False, True], ids=["before it is applied", "after it was applied"])
def test_a_worker_killed_during_a_step_of_a_wave_loses_and_doubles_nothing(step: str, applied: bool) -> None:
    with House() as house:
        project = house.project()
        house.harm({"operation": step, "times": 1, "action": slow_answer(applied)})
        victim = house.worker()
        house.publish(predictions(project, 250))
        house.await_that(lambda: step in house.calls(), f"a call of {step}")
        victim.kill()
        house.heal()
        house.worker()
        house.await_settled()
        house.judge()


def slow_answer(applied: bool) -> dict[str, object]:
    return {"kind": "lost"} if applied else {"kind": "delay", "seconds": 3}
