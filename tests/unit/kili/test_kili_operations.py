from __future__ import annotations

import pytest
from graphql import parse

from worker.kili import operations as ops
from worker.kili.operations import AssetUpdate, NewAsset, NewLabel

ALL = [value for value in vars(ops).values() if isinstance(value, ops.Operation)]


@pytest.mark.parametrize("operation", ALL, ids=lambda operation: operation.field)
def test_every_document_is_graphql_with_one_root_field_aliased_to_data(operation: ops.Operation) -> None:
    definition = parse(operation.text).definitions[0]
    (root,) = definition.selection_set.selections  # type: ignore[attr-defined]
    assert (root.alias.value, root.name.value) == ("data", operation.field)
    assert [argument.name.value for argument in root.arguments] == [name for name, _ in operation.arguments]


def test_a_document_declares_the_types_of_its_variables() -> None:
    assert ops.APPEND_MANY_LABELS.text == (
        "mutation appendManyLabels($data: AppendManyLabelsData!, $where: AssetWhere!) "
        "{ data: appendManyLabels(data: $data, where: $where) { id } }"
    )


def test_new_assets_become_parallel_arrays() -> None:
    assets = [
        NewAsset("c1", "a.jpg", "https://h/a.jpg", metadata='{"k": 1}'),
        NewAsset("c2", "b.txt", "", json_content='[{"a": 1}]'),
    ]
    assert ops.append_assets_variables("p", assets) == {
        "data": {
            "contentArray": ["https://h/a.jpg", ""],
            "externalIDArray": ["a.jpg", "b.txt"],
            "idArray": ["c1", "c2"],
            "jsonContentArray": ["", '[{"a": 1}]'],
            "jsonMetadataArray": ['{"k": 1}', "{}"],
        },
        "where": {"id": "p"},
    }


def test_an_optional_array_that_says_nothing_is_left_out_for_servers_that_do_not_know_it() -> None:
    data = ops.append_assets_variables("p", [NewAsset("c1", "a.jpg", "https://h/a.jpg")])["data"]
    assert set(data) == {"contentArray", "externalIDArray", "idArray", "jsonMetadataArray"}


def test_labels_are_inferences_that_overwrite_their_own_model_version() -> None:
    variables = ops.append_labels_variables("p", [NewLabel("c1", '{"J": {}}', "m:1"), NewLabel("c1", "{}", "m:2")])
    assert variables["data"]["labelType"] == "INFERENCE"
    assert variables["data"]["overwrite"] is True
    assert variables["data"]["labelsData"][0] == {
        "assetID": "c1",
        "jsonResponse": '{"J": {}}',
        "modelName": "m:1",
    }
    assert variables["where"] == {"idIn": ["c1", "c1"], "project": {"id": "p"}}


def test_an_update_sends_only_what_it_changes() -> None:
    updates = [
        AssetUpdate("c1", priority=0),
        AssetUpdate("c2", metadata="{}"),
        AssetUpdate("c3", 7, '{"a": 1}'),
    ]
    assert ops.update_assets_variables(updates) == {
        "where": [{"id": "c1"}, {"id": "c2"}, {"id": "c3"}],
        "data": [{"priority": 0}, {"jsonMetadata": "{}"}, {"priority": 7, "jsonMetadata": '{"a": 1}'}],
    }


def test_an_update_that_changes_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match=r"c1.*priority or metadata"):
        ops.update_assets_variables([AssetUpdate("c1")])


@pytest.mark.parametrize(
    ("stored", "read"),
    [
        ('{"camera": "3"}', {"camera": "3"}),
        ({"camera": "3"}, {"camera": "3"}),
        (None, {}),
        ("", {}),
        ("[1]", {}),
        ("{broken", {}),
        ("[" * 100_000, {}),
    ],
    ids=["text", "object", "null", "empty", "list", "broken", "bottomless"],
)
def test_metadata_is_read_from_whatever_kili_stored(stored: object, read: dict[str, str]) -> None:
    row = {"id": "c1", "externalId": None, "jsonMetadata": stored, "priority": 3, "createdAt": "2026-01-01"}
    (found,) = ops.read_asset_rows([row])
    assert (found.asset.metadata, found.asset.external_id, found.asset.priority) == (read, "", 3)


def test_an_interface_that_cannot_be_read_is_an_error_and_not_an_empty_interface() -> None:
    row = {"id": "p", "title": "t", "inputType": "IMAGE"}
    for broken in ("{broken", "[]", 3):
        with pytest.raises((TypeError, ValueError)):
            ops.read_project([{**row, "jsonInterface": broken}])
    empty = ops.read_project([{**row, "jsonInterface": None}])
    assert empty is not None
    assert empty.json_interface == {}
