"""One bad project among many: it waits, and the others neither wait nor slow down."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.faults.chronicle import said
from tests.faults.house import COUNTED, INTERFACE, House, prediction, predictions

HEALTHY = 19
PROBE = 5
LIMITED = {
    **COUNTED,
    "WORKER_KILI__CALLS_PER_MINUTE": "4800",
    "WORKER_KILI__BURST": "2",
    "WORKER_KILI__BACKOFF_SECONDS": "0.5",
    "WORKER_DELIVERY__PROBE_SECONDS": "2",
    "WORKER_DELIVERY__PROBE_CAP_SECONDS": str(PROBE),
}
DELETE = "mutation ($where: ProjectWhere!) { data: deleteProjectAsynchronously(where: $where) }"
UPDATE = """
mutation ($where: ProjectWhere!, $data: ProjectData!) {
  data: updatePropertiesInProject(where: $where, data: $data) { id }
}
"""
NO_ACCESS = {"kind": "errors", "message": "[noAccessRights] You do not have the access to this project."}
ALWAYS_500 = {"kind": "status", "status": 500, "body": "Internal Server Error"}
BAD = {
    "gone": "the key sees no project",
    "no access": "You do not have the access to this project.",
    "always 500": "HTTP 500: Internal Server Error",
}
"""What may be wrong with a project, and what ``status`` then says."""


class Street:
    """Nineteen healthy projects in a house whose call budget is the bottleneck."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.projects = [house.project() for _ in range(HEALTHY)]
        self.sent = 0

    def deliver(self, count: int) -> None:
        """Let the healthy projects have so many predictions each; all the while none of them may be paused."""
        for project in self.projects:
            self.house.publish(sure(project, self.sent, count))
        self.sent += count
        self.house.await_that(self._has_delivered, "the healthy projects")

    def _has_delivered(self) -> bool:
        paused = self.house.pauses()
        assert not paused.keys() & {"endpoint", *(f"project:{project}" for project in self.projects)}, paused
        return sum(self.house.spool.ledger(project).delivered for project in self.projects) == HEALTHY * self.sent


@pytest.fixture(scope="module")
def street(redis_binary: Path | None) -> Iterator[Street]:
    """A house with a worker and its healthy projects, known to the worker."""
    with House(LIMITED, binary=redis_binary) as house:
        house.worker()
        street = Street(house)
        street.deliver(10)
        yield street


@pytest.mark.guarantee(
    "Kili",
    fault="one project refused, nineteen healthy",
    promise="no call of the nineteen is taken from them and none of them is paused",
)
def test_nineteen_healthy_projects_do_not_feel_the_twentieth(street: Street) -> None:
    house = street.house
    kept = 0
    for harm, reason in BAD.items():
        bad = house.project()
        go_bad(house, bad, harm)
        house.publish(predictions(bad, 40))
        kept += 40
        seen, begun = house.calls_made(), time.monotonic()
        street.deliver(20)
        probes = (time.monotonic() - begun) / PROBE
        assert house.calls_made() - seen <= 3 * HEALTHY + 8 + 2 * probes, "three a wave, and few for the bad one"
        house.await_that(lambda scope=f"project:{bad}": scope in house.pauses(), "a pause")
        pauses = {pause["scope"]: pause["reason"] for pause in house.status()["pauses"]}
        assert reason in pauses[f"project:{bad}"]
        assert "endpoint" not in pauses
    house.judge(waiting=kept)


def sure(project: str, start: int, count: int) -> list[dict[str, Any]]:
    """Predictions that need no priority: three calls a wave."""
    return [prediction(project, f"a/{number}.jpg", score=0.95) for number in range(start, start + count)]


def go_bad(house: House, project: str, harm: str) -> None:
    if harm == "gone":
        house.graphql(DELETE, {"where": {"id": project}})
        return
    house.harm({"project": project, "action": NO_ACCESS if harm == "no access" else ALWAYS_500})


@pytest.mark.guarantee(
    "Kili",
    fault="a project deleted or closed, then served again",
    promise="waits, goes on by itself",
)
def test_a_project_that_is_served_again_goes_on_by_itself(house: House) -> None:
    bad, good = house.project(), house.project()
    house.harm({"project": bad, "action": NO_ACCESS})
    house.publish(predictions(bad, 60))
    house.await_that(lambda: f"project:{bad}" in house.pauses(), "a pause")
    house.publish(predictions(good, 60))
    house.await_that(lambda: house.spool.ledger(good).delivered == 60, "the neighbour")
    house.await_that(lambda: house.pauses()[f"project:{bad}"].failures >= 2, "a failed probe")
    house.heal()
    house.await_settled()
    house.judge()
    house.await_awake()
    house.await_that(lambda: bad in scopes_of(house, "resumed"), "it says that it goes on")
    assert scopes_of(house, "paused").count(bad) == scopes_of(house, "resumed").count(bad) == 1


def scopes_of(house: House, action: str) -> list[str]:
    """The projects of which the workers have said that."""
    return [line["scope"].removeprefix("project:") for line in said(house, action)]


@pytest.mark.guarantee(
    "Data",
    fault="a renamed class",
    promise="only what needs it dies; a mended interface lets it be replayed",
)
def test_a_renamed_class_stops_only_what_needs_it_and_a_mended_interface_lets_it_be_replayed(house: House) -> None:
    project = house.project()
    house.publish(predictions(project, 20))
    house.await_settled()
    set_interface(house, project, renamed(INTERFACE, "RED", "CRIMSON"))
    house.publish(predictions(project, 200, start=20))
    house.await_settled()
    ledger = house.spool.ledger(project)
    assert (ledger.delivered, ledger.dead) == (20 + 150, 50)
    assert house.calls_with("appendManyLabels") <= 12
    letters = house.case_letters()
    assert {letter.about["cause"] for letter in letters} == {"unknown_class"}
    set_interface(house, project, INTERFACE)
    house.replay(letter.id for letter in letters)
    house.await_settled()
    house.judge()


def renamed(interface: dict[str, Any], old: str, new: str) -> dict[str, Any]:
    changed: dict[str, Any] = json.loads(json.dumps(interface))
    categories = changed["jobs"]["COLOUR"]["content"]["categories"]
    categories[new] = categories.pop(old) | {"name": new.title()}
    return changed


def set_interface(house: House, project: str, interface: dict[str, Any]) -> None:
    house.graphql(UPDATE, {"where": {"id": project}, "data": {"jsonInterface": json.dumps(interface)}})
