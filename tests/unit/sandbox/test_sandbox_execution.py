"""Answers are those of graphql-core, although plain fields of rows do not take its way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from graphql import ExecutionContext

from tests.unit.sandbox.scene import Scene
from worker.sandbox import envelope, execution
from worker.sandbox.resolvers import fields

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


def priority_as_text(source: Any, field: str, real: Callable[[Any, str], Any] = fields.read_named) -> Any:
    """Read a field, the priority as what no number can be made of."""
    return "no number" if field == "priority" else real(source, field)


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
    for module in (execution, fields):
        monkeypatch.setattr(module, "read_named", priority_as_text)
    found, plain = both(scene, monkeypatch)
    assert found == plain
    assert found["errors"][0]["path"] == ["assets", 0, "priority"]
