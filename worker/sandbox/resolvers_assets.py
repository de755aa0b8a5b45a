"""Assets: import, change, delete, find."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from graphql import GraphQLResolveInfo

from .context import Context, context_of
from .errors import KiliError, bad_input, no_access
from .fields import Resolver
from .filters import select_assets
from .paging import counting, listing
from .records import Asset, Notification, Project

Where = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class NewAsset:
    """One row of an import."""

    id: str
    external_id: str
    content: str
    json_content: str
    json_metadata: str
    is_honeypot: bool


ARRAYS = (
    "idArray",
    "externalIDArray",
    "contentArray",
    "jsonContentArray",
    "jsonMetadataArray",
    "isHoneypotArray",
)


def _rows(context: Context, data: Mapping[str, Any]) -> list[NewAsset]:
    columns = {name: data[name] for name in ARRAYS if data.get(name) is not None}
    lengths = {len(column) for column in columns.values()}
    if len(lengths) != 1:
        raise bad_input(f"the arrays of an import must have one length, not {sorted(lengths)}")
    return [_row(context, columns, index) for index in range(lengths.pop())]


def _row(context: Context, columns: Mapping[str, Sequence[Any]], index: int) -> NewAsset:
    def cell(name: str, default: Any) -> Any:
        return columns[name][index] if name in columns else default

    asset_id = cell("idArray", None) or context.store.new_id()
    return NewAsset(
        id=asset_id,
        external_id=cell("externalIDArray", asset_id),
        content=cell("contentArray", ""),
        json_content=cell("jsonContentArray", ""),
        json_metadata=cell("jsonMetadataArray", None) or "{}",
        is_honeypot=cell("isHoneypotArray", default=False),
    )


def _check_row(context: Context, project: Project, row: NewAsset) -> None:
    context.check_refusals(row.id, row.external_id)
    _check_metadata(row.json_metadata)
    known = context.tables.assets.get(row.id)
    if known is None:
        return
    if known.project_id != project.id:
        raise no_access("asset")
    if context.config.resent_id == "refuse":
        raise KiliError(
            "unexpectedRetrieving",
            "Unexpected error when writing. -- This can be due to: Unique constraint failed on the fields: (`id`)",
        )


def _check_metadata(text: str) -> None:
    try:
        metadata = json.loads(text)
    except ValueError as error:
        raise bad_input(f"jsonMetadata is not valid JSON: {error}") from error
    if not isinstance(metadata, dict):
        raise bad_input("jsonMetadata must be the JSON text of an object")


def _write_row(context: Context, project: Project, row: NewAsset) -> Asset:
    known = context.tables.assets.get(row.id)
    asset = _new(context, project, row) if known is None else _renewed(context, known, row)
    context.store.put(asset)
    return asset


def _new(context: Context, project: Project, row: NewAsset) -> Asset:
    now = context.store.now()
    return Asset(
        id=row.id,
        project_id=project.id,
        external_id=row.external_id,
        content=row.content,
        json_content=row.json_content,
        json_metadata=row.json_metadata,
        is_honeypot=row.is_honeypot,
        created_at=now,
        updated_at=now,
        step_id=project.labeling_step.id,
        sequence=context.store.next_sequence(),
    )


def _renewed(context: Context, known: Asset, row: NewAsset) -> Asset:
    return replace(
        known,
        external_id=row.external_id,
        content=row.content,
        json_content=row.json_content,
        json_metadata=row.json_metadata,
        is_honeypot=row.is_honeypot,
        updated_at=context.store.now(),
    )


def _append_many(_: None, info: GraphQLResolveInfo, data: Mapping[str, Any], where: Where) -> list[Asset]:
    context = context_of(info)
    project = context.project(where.get("id"))
    return context.apply_batch(
        _rows(context, data),
        lambda row: _check_row(context, project, row),
        lambda row: _write_row(context, project, row),
    )


def _append_many_asynchronously(
    _: None, info: GraphQLResolveInfo, data: Mapping[str, Any], where: Where
) -> Notification:
    context = context_of(info)
    project = context.project(where.get("id"))
    rows = _rows(context, data)
    for row in rows:
        _check_row(context, project, row)
    notification = Notification(
        id=context.store.new_id(), user_id=context.user.id, created_at=context.store.now(), status="PENDING"
    )
    context.store.put(notification)
    context.store.later(context.config.import_delay, lambda: _finish_import(context, project.id, rows, notification))
    return notification


def _finish_import(context: Context, project_id: str, rows: Sequence[NewAsset], notification: Notification) -> None:
    project = context.tables.projects.get(project_id)
    missing = [row.external_id for row in rows if "/bucket/" in row.content and not context.buckets.holds(row.content)]
    if project is None or missing:
        message = f"not imported: nothing was uploaded for {missing[0]}" if missing else "the project is gone"
        context.store.put(replace(notification, status="FAILURE", message=message))
        return
    for row in rows:
        _write_row(context, project, row)
    context.store.put(replace(notification, status="SUCCESS"))


def _update_properties(
    _: None, info: GraphQLResolveInfo, where: Sequence[Where], data: Sequence[Mapping[str, Any]]
) -> list[Asset]:
    context = context_of(info)
    if len(where) != len(data):
        raise bad_input(f"where has {len(where)} elements and data {len(data)}; they must be pairs")
    pairs = list(zip(where, data, strict=True))
    return context.apply_batch(
        pairs,
        lambda pair: _check_properties(context, *pair),
        lambda pair: _write_properties(context, *pair),
    )


def _check_properties(context: Context, where: Where, data: Mapping[str, Any]) -> None:
    asset = context.asset(where.get("id"), (where.get("project") or {}).get("id"))
    context.check_refusals(asset.id, asset.external_id)
    if data.get("jsonMetadata") is not None:
        _check_metadata(data["jsonMetadata"])
    _assignees(context, asset, data)


#: Properties that are written as they come.
PLAIN = {
    "externalId": "external_id",
    "content": "content",
    "jsonContent": "json_content",
    "jsonMetadata": "json_metadata",
    "priority": "priority",
    "consensusMark": "consensus_mark",
    "honeypotMark": "honeypot_mark",
    "isHoneypot": "is_honeypot",
    "isUsedForConsensus": "is_used_for_consensus",
    "resolution": "resolution",
}


def _write_properties(context: Context, where: Where, data: Mapping[str, Any]) -> Asset:
    asset = context.asset(where.get("id"))
    columns = {PLAIN[key]: value for key, value in data.items() if key in PLAIN and value is not None}
    assignees = _assignees(context, asset, data)
    asset = replace(asset, **columns, assignee_ids=assignees, updated_at=context.store.now())
    context.store.put(asset)
    return asset


def _assignees(context: Context, asset: Asset, data: Mapping[str, Any]) -> tuple[str, ...]:
    emails = data.get("toBeLabeledBy")
    if not emails:
        return () if data.get("shouldResetToBeLabeledBy") else asset.assignee_ids
    known = {user.email: user.id for user in context.tables.users.values()}
    unknown = [email for email in emails if email not in known]
    if unknown:
        raise no_access(f"user {unknown[0]}")
    return tuple(known[email] for email in emails)


def _filter_existing(_: None, info: GraphQLResolveInfo, project_id: str, external_ids: Sequence[str]) -> list[str]:
    context = context_of(info)
    project = context.project(project_id)
    return [name for name in dict.fromkeys(external_ids) if context.tables.assets_called(project.id, name)]


def _signed_urls(_: None, info: GraphQLResolveInfo, file_paths: Sequence[str] | None = None) -> list[str]:
    context = context_of(info)
    return [context.buckets.signed_url(context.base_url, path) for path in file_paths or ()]


def select(context: Context, where: Where) -> Iterable[Asset]:
    """Return the assets that fulfil an AssetWhere, as this operation sees them."""
    return select_assets(where, context.tables)


QUERIES: dict[str, Resolver] = {
    "assets": listing(select),
    "countAssets": counting(select),
    "filterExistingAssets": _filter_existing,
    "createUploadBucketSignedUrls": _signed_urls,
}

MUTATIONS: dict[str, Resolver] = {
    "appendManyAssets": _append_many,
    "appendManyAssetsAsynchronously": _append_many_asynchronously,
    "updatePropertiesInAssets": _update_properties,
}
