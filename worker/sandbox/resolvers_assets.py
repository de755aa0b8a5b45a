"""Assets: change, find, and the addresses their files go to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from graphql import GraphQLResolveInfo

from worker.sandbox.context import Context, context_of
from worker.sandbox.errors import bad_input, no_access
from worker.sandbox.fields import Resolver
from worker.sandbox.filters import select_assets
from worker.sandbox.paging import check_metadata, counting, listing
from worker.sandbox.records import Asset

Where = Mapping[str, Any]


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
    context.check_rejections(asset.id, asset.external_id)
    if data.get("jsonMetadata") is not None:
        check_metadata(data["jsonMetadata"])
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
    "updatePropertiesInAssets": _update_properties,
}
