"""Answers are those of graphql-core, although plain fields of rows do not take its way."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from graphql import ExecutionContext

from tests.unit.sandbox.scene import Scene
from worker.sandbox import envelope

QUERY = """
query ($where: AssetWhere!) {
  assets(where: $where, first: 10, skip: 0) {
    id externalId name: externalId priority createdAt jsonMetadata skipped status
    latestLabel { id labelType modelName createdAt author { id email } jsonResponse }
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
    _, second, _ = store.tables.assets_of(scene.project_id).values()
    store.put(replace(second, priority="no number"))  # type: ignore[arg-type]
    found, plain = both(scene, monkeypatch)
    assert found == plain
    assert found["errors"][0]["path"] == ["assets", 1, "priority"]


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
