"""Answers are those of graphql-core, although plain fields of rows do not take its way."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest
from graphql import ExecutionContext

from tests.unit.sandbox.scene import Scene
from worker.sandbox import envelope
from worker.sandbox.admin import queue
from worker.sandbox.resolvers.workflow import is_queued, queue_order

QUERY = """
query ($where: AssetWhere!) {
  assets(where: $where, first: 10, skip: 0) {
    id externalId name: externalId priority createdAt jsonMetadata skipped status
    latestLabel { id secondsToLabel labelType modelName createdAt author { id email } jsonResponse }
    labels { id labelType }
  }
}"""


@pytest.fixture
def scene() -> Scene:
    scene = Scene()
    scene.label(scene.add("a", "b", "c")[:2], ["RED", "GREY"])
    return scene


def both(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> tuple[dict[str, Any], dict[str, Any]]:
    """The sandbox's answer, and that of graphql-core alone."""
    where = {"project": {"id": scene.project_id}}
    found = scene.answer(QUERY, where=where)
    monkeypatch.setattr(envelope, "Execution", ExecutionContext)
    return found, scene.answer(QUERY, where=where)


def test_plain_fields_are_what_graphql_core_answers(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    found, plain = both(scene, monkeypatch)
    assert found == plain
    assert [list(row) for row in found["data"]["assets"]] == [list(row) for row in plain["data"]["assets"]]
    assert [row["name"] for row in found["data"]["assets"]] == ["a", "b", "c"]
    assert found["data"]["assets"][2]["latestLabel"] is None


def test_a_value_that_cannot_be_written_is_an_error_with_its_path(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = scene.sandbox.store
    label = next(iter(store.tables.labels_of(scene.project_id).values()))
    store.put(replace(label, seconds_to_label="no number"))  # type: ignore[arg-type]
    found, plain = both(scene, monkeypatch)
    assert found == plain
    assert found["errors"][0]["path"] == ["assets", 0, "latestLabel", "secondsToLabel"]


def test_what_may_not_be_null_and_is_makes_what_holds_it_null(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    store = scene.sandbox.store
    label = next(iter(store.tables.labels_of(scene.project_id).values()))
    store.put(replace(label, label_type=None))  # type: ignore[arg-type]
    found, plain = both(scene, monkeypatch)
    assert found == plain
    assert found["errors"][0]["path"][-1] == "labelType"


def test_fragments_directives_and_names_of_types_are_what_graphql_core_answers(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    query = """
    query ($where: AssetWhere!, $with: Boolean!) {
      assets(where: $where, first: 10, skip: 0) {
        __typename ...Named externalId @include(if: $with) labels { ... on Label { id } id __typename }
      }
    }
    fragment Named on Asset { name: externalId labels { labelType } }"""
    for shown in (True, False):
        variables = {"where": {"project": {"id": scene.project_id}}, "with": shown}
        with monkeypatch.context() as patch:
            found = scene.answer(query, **variables)
            patch.setattr(envelope, "Execution", ExecutionContext)
            assert found == scene.answer(query, **variables)
        first = found["data"]["assets"][0]
        assert (first["__typename"], first["name"], "externalId" in first) == ("Asset", "a", shown)
        assert list(first["labels"][0]) == ["labelType", "id", "__typename"]


def test_the_queue_is_in_the_order_of_priority_and_creation_whatever_has_happened() -> None:
    scene, dice = Scene(), random.Random(1)
    scene.add(*(f"{number}" for number in range(60)))
    store, project_id = scene.sandbox.store, scene.project_id
    project = store.tables.projects[project_id]
    for _ in range(300):
        asset = dice.choice(list(store.tables.assets_of(project_id).values()))
        if dice.random() < 0.05:
            store.drop(asset)
        else:
            status = dice.choice(("TO_DO", "DONE", "REWORK", "IN_PROGRESS"))
            store.put(replace(asset, priority=dice.randint(-1, 3), step_status=status, skipped=dice.random() < 0.1))
        waiting = [one for one in store.tables.assets_of(project_id).values() if is_queued(one, project)]
        wanted = [one.id for one in sorted(waiting, key=queue_order)]
        for first in (0, 3, len(wanted), 100):
            assert [one["id"] for one in queue(store.tables, project_id=project_id, first=first)] == wanted[:first]
    assert len(wanted) > 10
