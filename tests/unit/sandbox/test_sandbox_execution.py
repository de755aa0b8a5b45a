"""Answers are those of graphql-core, although plain fields of rows do not take its way."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from graphql import ExecutionContext

from tests.unit.sandbox.scene import Scene
from worker.sandbox import execution

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
    monkeypatch.setattr(execution, "_Execution", ExecutionContext)
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
    assets = scene.sandbox.store.tables.assets
    first = next(iter(assets))
    assets[first] = replace(assets[first], priority="no number")  # type: ignore[arg-type]
    found, plain = both(scene, monkeypatch)
    assert found == plain
    assert found["errors"][0]["path"] == ["assets", 0, "priority"]
