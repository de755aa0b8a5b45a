"""A category disappears: only the predictions that need it wait, one line says so, a mapping sets them free."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from tests.faults.chronicle import said_by
from tests.faults.house import COLOURS, INTERFACE, House, found_labels, predictions
from tests.nursery import printed

UPDATE = """
mutation ($data: ProjectData!, $where: ProjectWhere!) {
  data: updatePropertiesInProject(data: $data, where: $where) { id }
}
"""


@pytest.fixture
def projects_file(tmp_path: Path) -> Path:
    path = tmp_path / "projects.toml"
    path.write_text("", "utf-8")
    return path


@pytest.fixture
def house(projects_file: Path) -> Iterator[House]:
    with House({"WORKER_PROJECTS_FILE": str(projects_file), "WORKER_DELIVERY__INTERFACE_SECONDS": "600"}) as house:
        yield house


def without(colour: str) -> dict[str, Any]:
    interface: dict[str, Any] = deepcopy(INTERFACE)
    del interface["jobs"]["COLOUR"]["content"]["categories"][colour]
    return interface


def answers(house: House) -> dict[str, str]:
    return {name: answer for (_, name, _), answer in found_labels(house.admin("state?full=1")).items()}


@pytest.mark.guarantee(
    "Data",
    fault="a category disappears",
    promise="only the items that need it die, one line says so; a mapping and a replay deliver them",
)
def test_a_category_that_disappears_holds_up_only_those_that_need_it(house: House, projects_file: Path) -> None:
    worker = house.worker()
    project = house.project()
    house.publish(predictions(project, 40))
    house.await_settled()
    house.graphql(UPDATE, {"data": {"jsonInterface": json.dumps(without("GREY"))}, "where": {"id": project}})
    house.publish(predictions(project, 400, start=40))
    house.await_settled()

    assert house.letters.causes() == {"unknown_class": 100}
    [change] = said_by(worker, "interface_changed")
    assert change["message"] == f"the interface of project {project} has changed: gone: COLOUR.GREY"
    about = next(house.letters.letters()).about
    assert (about["field"], about["stage"]) == ("output.scores.GREY", "label")
    assert "under categories in the projects file" in about["fix"]
    wanted = {f"a/{number}.jpg": COLOURS[number % 4] for number in range(440)}
    kept = {name: colour for name, colour in wanted.items() if colour != "GREY" or int(name[2:-4]) < 40}
    assert answers(house) == kept

    replay = ("dead-letters", "replay", "--cause", "unknown_class")
    projects_file.write_text('["*"]\ncategories = { GREY = "BLACK" }\n', "utf-8")
    assert "100 admitted" in printed(*replay, env={**os.environ, **house.environment})
    house.await_that(lambda: house.letters.count() == 0 and house.ledger().waiting == 0, "letters delivered")
    house.await_that(lambda: house.ledger().leased == 0, "nothing under way")
    assert house.letters.count() == 0
    assert answers(house) == {name: "BLACK" if name not in kept else colour for name, colour in wanted.items()}
