"""The GraphQL operations the worker uses: their texts, their variables, and how their answers are read.

Documents are assembled from the parts of an :class:`Operation`. Every root field is aliased to ``data``.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Literal

PAGE_SIZE = 100
"""Rows of one page of a query, and items of one mutation."""

EXTERNAL_IDS_PER_CALL = 1000
SIGNED_URLS_PER_CALL = 30

Variables = dict[str, Any]
UploadType = Literal["GEO_SATELLITE", "NATIVE_VIDEO", "TILED_IMAGE"]
"""What Kili imports in the background; its own SDK sends video files, tiled and satellite images in no other way."""


class Blame(Enum):
    """Who is at fault when the server speaks of missing access or a missing object."""

    ITEMS = "items"
    PROJECT = "project"
    KEY = "key"


@dataclass(frozen=True, slots=True)
class Operation:
    """One root field: its arguments as (name, GraphQL type) and its selection.

    ``blames`` and ``holds_items`` (the variables carry a list that could be bisected) serve the judgement of errors;
    ``heavy`` operations get the longer timeout.
    """

    kind: Literal["query", "mutation"]
    field: str
    arguments: tuple[tuple[str, str], ...]
    selection: str
    blames: Blame
    holds_items: bool = True
    heavy: bool = False

    @property
    def text(self) -> str:
        """The whole document."""
        declared = self.declared()
        head = f"{self.kind} {self.field}" + (f"({declared})" if declared else "")
        return f"{head} {{ data: {self.called()}" + " }"

    def declared(self, prefix: str = "") -> str:
        """The variables as a document declares them, their names with a prefix."""
        return ", ".join(f"${prefix}{name}: {type_}" for name, type_ in self.arguments)

    def called(self, prefix: str = "") -> str:
        """The root field with its arguments from variables of that prefix, and its selection."""
        passed = ", ".join(f"{name}: ${prefix}{name}" for name, _ in self.arguments)
        return f"{self.field}{f'({passed})' if passed else ''} {self.selection}".rstrip()


def _page_of(type_: str) -> tuple[tuple[str, str], ...]:
    return (("where", f"{type_}Where!"), ("first", "PageSize!"), ("skip", "Int!"))


VIEWER = Operation("query", "viewer", (), "{ id email }", Blame.KEY, holds_items=False)
PROJECTS = Operation(
    "query",
    "projects",
    _page_of("Project"),
    "{ id title inputType jsonInterface }",
    Blame.PROJECT,
    holds_items=False,
)
GEOSPATIAL_SETTINGS = Operation(
    "query", "projects", _page_of("Project"), "{ geospatialSettings }", Blame.PROJECT, holds_items=False
)
"""Asked of GEOSPATIAL projects alone: backends on the premises may not know the field."""
ASSETS = Operation(
    "query",
    "assets",
    _page_of("Asset"),
    "{ id externalId jsonMetadata priority createdAt }",
    Blame.PROJECT,
)
FILTER_EXISTING_ASSETS = Operation(
    "query",
    "filterExistingAssets",
    (("projectID", "ID!"), ("externalIDs", "[String!]!")),
    "",
    Blame.PROJECT,
)
SIGNED_URLS = Operation("query", "createUploadBucketSignedUrls", (("filePaths", "[String!]"),), "", Blame.ITEMS)
APPEND_MANY_ASSETS = Operation(
    "mutation",
    "appendManyAssets",
    (("data", "AppendManyAssetsData!"), ("where", "ProjectWhere!")),
    "{ id }",
    Blame.PROJECT,
)
APPEND_MANY_LABELS = Operation(
    "mutation",
    "appendManyLabels",
    (("data", "AppendManyLabelsData!"), ("where", "AssetWhere!")),
    "{ id }",
    Blame.ITEMS,
    heavy=True,
)
UPDATE_PROPERTIES_IN_ASSETS = Operation(
    "mutation",
    "updatePropertiesInAssets",
    (("where", "[AssetWhere!]!"), ("data", "[AssetData!]!")),
    "{ id }",
    Blame.ITEMS,
)
APPEND_MANY_ASSETS_ASYNCHRONOUSLY = Operation(
    "mutation",
    "appendManyAssetsAsynchronously",
    (("data", "AppendManyAssetsAsynchronouslyData!"), ("where", "ProjectWhere!")),
    "{ id }",
    Blame.PROJECT,
)
NOTIFICATIONS = Operation(
    "query",
    "notifications",
    (("where", "NotificationWhere!"), ("first", "PageSize!"), ("skip", "Int!")),
    "{ id status message }",
    Blame.PROJECT,
    holds_items=False,
)


@dataclass(slots=True)
class NewAsset:
    """An asset to create; ``metadata`` is a JSON text, ``json_content`` one or its address, ``""`` stands for none."""

    id: str
    external_id: str
    content: str
    json_content: str = ""
    metadata: str = "{}"


@dataclass(slots=True)
class NewLabel:
    """An INFERENCE label to write; ``json_response`` is a JSON text, ``model_name`` is ``name:version``."""

    asset_id: str
    json_response: str
    model_name: str


@dataclass(frozen=True, slots=True)
class AssetUpdate:
    """New properties of an asset; None leaves a property as it is. ``metadata`` replaces all metadata."""

    asset_id: str
    priority: int | None = None
    metadata: str | None = None


@dataclass(frozen=True, slots=True)
class FoundAsset:
    """An asset as Kili has it. Metadata that is not a JSON object reads as ``{}``."""

    id: str
    external_id: str
    metadata: dict[str, Any]
    priority: int


@dataclass(frozen=True, slots=True)
class ProjectInterface:
    """What a project asks of its labelers; ``labeling_crs`` says what the coordinates of a map or scene are."""

    project_id: str
    input_type: str
    json_interface: dict[str, Any]
    title: str
    labeling_crs: str | None = None


@dataclass(frozen=True, slots=True)
class Notification:
    """What Kili says of an import; ``status`` is SUCCESS, FAILURE, or any other word while it is under way."""

    status: str
    message: str = ""

    @property
    def is_pending(self) -> bool:
        """Whether the import has not ended yet."""
        return self.status not in ("SUCCESS", "FAILURE")


def append_assets_variables(project_id: str, assets: Sequence[NewAsset]) -> Variables:
    """Build the parallel arrays of ``appendManyAssets``; an optional one that says nothing is left out."""
    data = {
        "contentArray": [asset.content for asset in assets],
        "externalIDArray": [asset.external_id for asset in assets],
        "idArray": [asset.id for asset in assets],
        "jsonMetadataArray": [asset.metadata for asset in assets],
    }
    if any(asset.json_content for asset in assets):
        data["jsonContentArray"] = [asset.json_content for asset in assets]
    return {"data": data, "where": {"id": project_id}}


def append_labels_variables(project_id: str, labels: Sequence[NewLabel]) -> Variables:
    """Build an ``appendManyLabels`` that replaces each model version's INFERENCE label."""
    data = {
        "labelType": "INFERENCE",
        "overwrite": True,
        "labelsData": [
            {"assetID": label.asset_id, "jsonResponse": label.json_response, "modelName": label.model_name}
            for label in labels
        ],
    }
    return {
        "data": data,
        "where": {"idIn": [label.asset_id for label in labels], "project": {"id": project_id}},
    }


def update_assets_variables(updates: Sequence[AssetUpdate]) -> Variables:
    """Build ``updatePropertiesInAssets`` with only the properties that are given.

    Raises :class:`ValueError` for an update that changes nothing.
    """
    return {
        "where": [{"id": update.asset_id} for update in updates],
        "data": [_changes(update) for update in updates],
    }


def _changes(update: AssetUpdate) -> Variables:
    changes = {"priority": update.priority, "jsonMetadata": update.metadata}
    given = {name: value for name, value in changes.items() if value is not None}
    if not given:
        raise ValueError(f"asset {update.asset_id}: nothing is to be changed; give priority or metadata")
    return given


def find_assets_variables(project_id: str, external_ids: Sequence[str], skip: int) -> Variables:
    """Build a page of ``assets`` by exact external ids."""
    where = {"project": {"id": project_id}, "externalIdStrictlyIn": list(external_ids)}
    return {"where": where, "first": PAGE_SIZE, "skip": skip}


def assets_by_id_variables(project_id: str, asset_ids: Sequence[str]) -> Variables:
    """Build the one page of ``assets`` that holds at most 100 asset ids."""
    where = {"project": {"id": project_id}, "idIn": list(asset_ids)}
    return {"where": where, "first": PAGE_SIZE, "skip": 0}


def project_variables(project_id: str) -> Variables:
    """Build ``projects`` for one project."""
    return {"where": {"id": project_id}, "first": 1, "skip": 0}


def signed_urls_variables(project_id: str, asset_ids: Sequence[str], file: str = "content") -> Variables:
    """Build ``createUploadBucketSignedUrls`` for one file of each asset."""
    return {"filePaths": [f"projects/{project_id}/assets/{asset_id}/{file}" for asset_id in asset_ids]}


def import_variables(project_id: str, assets: Sequence[NewAsset], upload_type: UploadType) -> Variables:
    """Build ``appendManyAssetsAsynchronously``."""
    data = {
        "contentArray": [asset.content for asset in assets],
        "externalIDArray": [asset.external_id for asset in assets],
        "idArray": [asset.id for asset in assets],
        "jsonMetadataArray": [asset.metadata for asset in assets],
        "uploadType": upload_type,
    }
    return {"data": data, "where": {"id": project_id}}


def notification_variables(notification_id: str) -> Variables:
    """Build ``notifications`` for one of them."""
    return {"where": {"id": notification_id}, "first": 1, "skip": 0}


@dataclass(frozen=True, slots=True)
class AssetRow:
    """A row of ``assets`` with the key that orders duplicates of an external id."""

    asset: FoundAsset
    age: tuple[str, str]


def read_asset_rows(root: Any) -> list[AssetRow]:
    """Read the rows of ``assets``."""
    return [_asset_row(row) for row in root]


def _asset_row(row: Variables) -> AssetRow:
    asset = FoundAsset(
        id=row["id"],
        external_id=row["externalId"] or "",
        metadata=_json_object(row["jsonMetadata"]),
        priority=int(row["priority"]),
    )
    return AssetRow(asset, (row["createdAt"], asset.id))


def read_project(root: Any) -> ProjectInterface | None:
    """Read the answer of ``projects``; None when no such project is visible to the key."""
    if not root:
        return None
    row = root[0]
    return ProjectInterface(
        project_id=row["id"],
        input_type=row["inputType"],
        json_interface=_interface(row["jsonInterface"]),
        title=row["title"],
    )


def read_labeling_crs(root: Any) -> str | None:
    """Read the ``labelingCRSCode`` of a project's ``geospatialSettings``; None where it has none."""
    settings = _json_object(root[0]["geospatialSettings"]) if root else {}
    code = settings.get("labelingCRSCode")
    return code if isinstance(code, str) else None


def _interface(value: Any) -> dict[str, Any]:
    parsed = json.loads(value) if isinstance(value, str) else value
    if parsed is None:
        return {}
    if not isinstance(parsed, dict):
        raise TypeError("jsonInterface is not a JSON object")
    return parsed


def read_strings(root: Any) -> list[str]:
    """Read a list of strings."""
    if not isinstance(root, list) or not all(isinstance(entry, str) for entry in root):
        raise TypeError("is not a list of strings")
    return root


def read_ids(root: Any) -> list[str]:
    """Read the ids of a list of objects."""
    return [row["id"] for row in root]


def read_id(root: Any) -> str:
    """Read the id of one object."""
    if not isinstance(root["id"], str):
        raise TypeError("the id is no string")
    return root["id"]


def read_notification(root: Any) -> Notification | None:
    """Read the answer of ``notifications``; None when there is none."""
    if not root:
        return None
    return Notification(str(root[0]["status"]), str(root[0]["message"] or ""))


def _json_object(value: Any) -> dict[str, Any]:
    try:
        parsed = json.loads(value) if isinstance(value, str) else value
    except (ValueError, RecursionError):
        return {}
    return parsed if isinstance(parsed, dict) else {}
