"""Imports of assets: at once, or in the background with a notification to wait for.

The SDK sends video files in the background only, and frames and rich text as a file in the bucket; frames are a map
from index to address there. What the server makes of anything else is not known: the switch `imports` decides.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from graphql import GraphQLResolveInfo

from worker.sandbox.errors import KiliError, bad_input, no_access
from worker.sandbox.records import Asset, Notification, Project
from worker.sandbox.resolvers.context import Context, context_of
from worker.sandbox.resolvers.fields import Resolver
from worker.sandbox.resolvers.filters import check_metadata
from worker.sandbox.store import Buckets

VIDEOS = frozenset({"VIDEO", "VIDEO_LEGACY"})

#: What goes in the background, by input type.
UPLOAD_TYPES: Mapping[str, frozenset[str]] = {
    "IMAGE": frozenset({"TILED_IMAGE"}),
    "GEOSPATIAL": frozenset({"GEO_SATELLITE"}),
    **{video: frozenset({"NATIVE_VIDEO", "FRAME_VIDEO"}) for video in VIDEOS},
}


def check_in_background(input_type: str, upload_type: str) -> None:
    """Raise KiliError when a project takes no such import in the background."""
    if upload_type not in UPLOAD_TYPES.get(input_type, frozenset()):
        raise bad_input(f"uploadType {upload_type} is not for projects of {input_type}")


def check_shape(input_type: str, content: str, json_content: str, buckets: Buckets) -> None:
    """Raise KiliError for an asset that the SDK would not import at once, or not in this form."""
    if input_type in VIDEOS and content and not json_content:
        raise KiliError(
            "videoMustBeImportedAsynchronously",
            "A video file is imported in the background: use appendManyAssetsAsynchronously.",
        )
    if json_content and input_type in VIDEOS | {"TEXT"}:
        _check_json_content(input_type, _uploaded(json_content, buckets))


def _uploaded(url: str, buckets: Buckets) -> Any:
    found = buckets.read_url(url)
    if found is None:
        raise bad_input("jsonContent must be the address of a file in the bucket")
    try:
        return json.loads(found[0])
    except ValueError as error:
        raise bad_input(f"jsonContent: the file is not valid JSON: {error}") from error


def _check_json_content(input_type: str, content: Any) -> None:
    if input_type == "TEXT":
        if not isinstance(content, list):
            raise bad_input("jsonContent: rich text is a list of elements")
        return
    if not _is_index_map(content):
        raise bad_input("jsonContent: frames are a map from index to address, such as {'0': 'https://…'}")


def _is_index_map(content: Any) -> bool:
    if not isinstance(content, dict) or not content:
        return False
    indexes = {str(number) for number in range(len(content))}
    return indexes == set(content) and all(isinstance(url, str) for url in content.values())


Where = Mapping[str, Any]

ARRAYS = (
    "idArray",
    "externalIDArray",
    "contentArray",
    "multiLayerContentArray",
    "jsonContentArray",
    "jsonMetadataArray",
    "isHoneypotArray",
)


@dataclass(frozen=True, slots=True)
class NewAsset:
    """One row of an import."""

    id: str
    external_id: str
    content: str
    json_content: str
    json_metadata: str
    is_honeypot: bool


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
    context.check_rejections(row.id, row.external_id)
    check_metadata(row.json_metadata)
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

    def check(row: NewAsset) -> None:
        if context.config.imports == "strict":
            check_shape(project.input_type, row.content, row.json_content, context.buckets)
        _check_row(context, project, row)

    return context.apply_batch(_rows(context, data), check, lambda row: _write_row(context, project, row))


def _append_many_asynchronously(
    _: None, info: GraphQLResolveInfo, data: Mapping[str, Any], where: Where
) -> Notification:
    context = context_of(info)
    project = context.project(where.get("id"))
    if context.config.imports == "strict":
        check_in_background(project.input_type, data["uploadType"])
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
    """Import what can be imported, then tell: one asset that cannot be makes the whole import a FAILURE."""
    project = context.store.tables.projects.get(project_id)
    troubles = ["the project is gone"]
    if project is not None:
        found = {row.id: _trouble(context, row) for row in rows}
        troubles = [trouble for trouble in found.values() if trouble]
        for row in rows:
            if not found[row.id]:
                _write_row(context, project, row)
    status, message = ("FAILURE", troubles[0]) if troubles else ("SUCCESS", "")
    context.store.put(replace(notification, status=status, message=message))


def _trouble(context: Context, row: NewAsset) -> str:
    """Return why a row cannot be imported, or nothing."""
    if "/bucket/" in row.content and not context.buckets.holds(row.content):
        return f"not imported: nothing was uploaded for {row.external_id}"
    return next((failure.message for failure in context.failures if failure.hits(row.external_id)), "")


MUTATIONS: dict[str, Resolver] = {
    "appendManyAssets": _append_many,
    "appendManyAssetsAsynchronously": _append_many_asynchronously,
}
