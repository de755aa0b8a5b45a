"""Several mutations in one document: what is sent, and what an answer says of each of them."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from kili_doubles import Rig, rig, single_attempt

from worker.kili import AssetUpdate, NewAsset, NewLabel, RefusedItems, UnknownOperation, UnknownOutcome, WriteResult

ASSETS = [NewAsset("a1", "one", "https://example.com/1"), NewAsset("a2", "two", "https://example.com/2")]
LABELS = [NewLabel("a1", "{}", "m:1"), NewLabel("a2", "{}", "m:1")]
UPDATES = [AssetUpdate("a2", priority=5)]
DONE = {"assets": [{"id": "a1"}, {"id": "a2"}], "labels": [{"id": "l1"}, {"id": "l2"}], "updates": [{"id": "a2"}]}


def answer(data: Any, *errors: dict[str, Any], status: int = 200) -> httpx.Response:
    return httpx.Response(status, json={"data": data, **({"errors": list(errors)} if errors else {})})


def write(server: Rig) -> WriteResult:
    return server.client.write_batch("p", assets=ASSETS, labels=LABELS, updates=UPDATES)


def test_three_mutations_are_one_call_in_their_order() -> None:
    server = single_attempt(answer(DONE))
    assert write(server) == WriteResult()
    [sent] = server.server.sent
    query = sent.body["query"]
    places = [query.index(name) for name in ("appendManyAssets", "appendManyLabels", "updatePropertiesInAssets")]
    assert places == sorted(places)
    assert sent.variables["assets_data"]["idArray"] == ["a1", "a2"]
    assert sent.variables["labels_data"]["overwrite"] is True
    assert sent.variables["updates_data"] == [{"priority": 5}]
    assert server.budget.taken == 1
    [record] = server.records
    assert record.operation == "appendManyAssets+appendManyLabels+updatePropertiesInAssets"
    assert (record.items, record.outcome) == (2, "ok")


def test_a_mutation_without_items_is_left_out() -> None:
    server = single_attempt(answer({"labels": DONE["labels"]}))
    assert server.client.write_batch("p", labels=LABELS) == WriteResult()
    assert "appendManyAssets" not in server.server.sent[0].body["query"]


def test_an_error_with_a_path_is_about_its_mutation_alone_and_names_its_item() -> None:
    error = {"message": "[assetLocked] no", "path": ["labels", 1], "extensions": {"code": "X"}}
    server = single_attempt(answer({**DONE, "labels": None}, error))
    written = write(server)
    assert (written.assets, written.updates) == (None, None)
    assert isinstance(written.labels, RefusedItems)
    assert written.labels.item_ids == ("a2",)
    assert written.labels.operation == "appendManyLabels"
    assert server.outcomes == ["RefusedItems"]


def test_an_error_that_names_no_mutation_may_be_about_each() -> None:
    written = write(single_attempt(answer(DONE, {"message": "[unexpectedRetrieving] Unexpected error"})))
    assert all(isinstance(error, UnknownOutcome) for error in (written.assets, written.labels, written.updates))


@pytest.mark.parametrize("labels", [None, [{"identifier": "l1"}], "ids"])
def test_a_mutation_that_says_nothing_readable_is_of_unknown_outcome(labels: Any) -> None:
    written = write(single_attempt(answer({**DONE, "labels": labels})))
    assert isinstance(written.labels, UnknownOutcome)
    assert (written.assets, written.updates) == (None, None)


def test_nothing_is_known_where_the_data_is_null() -> None:
    error = {"message": "[unexpectedRetrieving] Unexpected error", "path": ["labels"]}
    with pytest.raises(UnknownOutcome):
        write(single_attempt(answer(None, error)))


def test_a_refused_document_raises_and_is_tried_as_often_as_any_call() -> None:
    error = {"message": "Too many mutations", "extensions": {"code": "GRAPHQL_VALIDATION_FAILED"}}
    server = rig(httpx.Response(400, json={"errors": [error]}))
    with pytest.raises(UnknownOperation):
        write(server)
    assert len(server.server.sent) == 4


def test_a_lost_answer_is_asked_for_again() -> None:
    server = rig(httpx.ReadError("reset"), answer(DONE))
    assert write(server) == WriteResult()
    assert server.outcomes == ["UnknownOutcome", "ok"]
