"""Assets: change, find, the addresses of their files, and the moves of one or of many."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from graphql import GraphQLResolveInfo

from worker.sandbox.errors import KiliError, bad_input, no_access
from worker.sandbox.records import Asset
from worker.sandbox.resolvers.context import Context, context_of
from worker.sandbox.resolvers.fields import Resolver
from worker.sandbox.resolvers.filters import check_metadata, counting, listing, select_assets
from worker.sandbox.resolvers.workflow import back_to_queue, is_waiting, to_review

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


Outcome = dict[str, list[dict[str, Any]]]

#: Applies an action to one asset, or returns False when it does not apply.
Action = Callable[[Context, Asset], bool]


def _act(context: Context, where: Where, action: Action) -> Outcome:
    outcome: Outcome = {"succeeded": [], "declined": [], "failed": []}
    for asset in list(select_assets(where, context.tables)):
        reference = {"assetId": asset.id, "externalId": asset.external_id}
        try:
            context.check_rejections(asset.id, asset.external_id)
        except KiliError as error:
            outcome["failed"].append({**reference, "details": error.message})
            continue
        outcome["succeeded" if action(context, asset) else "declined"].append(reference)
    return outcome


def _check_ids(context: Context, where: Where) -> None:
    for asset_id in where.get("idIn") or ():
        context.asset(asset_id)


def _set_priority(_: None, info: GraphQLResolveInfo, where: Where, priority: int) -> Outcome:
    context = context_of(info)
    _check_ids(context, where)

    def action(context: Context, asset: Asset) -> bool:
        if is_waiting(asset):
            context.store.put(replace(asset, priority=priority, updated_at=context.store.now()))
        return is_waiting(asset)

    return _act(context, where, action)


def _assign(
    _: None,
    info: GraphQLResolveInfo,
    where: Where,
    user_ids: Sequence[str],
) -> Outcome:
    context = context_of(info)
    _check_ids(context, where)
    if any(user_id not in context.tables.users for user_id in user_ids):
        raise no_access("user")

    def action(context: Context, asset: Asset) -> bool:
        busy = asset.step_status == "IN_PROGRESS" and not set(asset.assignee_ids) <= set(user_ids)
        if not busy:
            now = context.store.now()
            context.store.put(replace(asset, assignee_ids=tuple(user_ids), updated_at=now))
        return not busy

    return _act(context, where, action)


def _add_to_review(_: None, info: GraphQLResolveInfo, where: Where) -> Outcome:
    context = context_of(info)
    _check_ids(context, where)
    return _act(context, where, _moving(to_review))


def _send_back(_: None, info: GraphQLResolveInfo, where: Where) -> Outcome:
    context = context_of(info)
    _check_ids(context, where)
    return _act(context, where, _moving(back_to_queue))


def _moving(move: Callable[..., Asset | None]) -> Action:
    def action(context: Context, asset: Asset) -> bool:
        moved = move(asset, context.project(asset.project_id), context.store.now())
        if moved is not None:
            context.store.put(moved)
        return moved is not None

    return action


def _delete(_: None, info: GraphQLResolveInfo, where: Where) -> Outcome:
    context = context_of(info)

    def action(context: Context, asset: Asset) -> bool:
        context.store.drop(asset)
        return True

    outcome = _act(context, where, action)
    gone = set(where.get("idIn") or ()) - {ref["assetId"] for refs in outcome.values() for ref in refs}
    outcome["succeeded"] += [{"assetId": asset_id, "externalId": None} for asset_id in sorted(gone)]
    return outcome


def _skip(_: None, info: GraphQLResolveInfo, reason: str, where: Where) -> Asset:
    context = context_of(info)
    if not reason:
        raise bad_input("reason: say why the asset is skipped")
    asset = context.asset(where.get("id"), (where.get("project") or {}).get("id"))
    asset = replace(asset, skipped=True, step_status="SKIPPED", updated_at=context.store.now())
    context.store.put(asset)
    return asset


def _unskip(_: None, info: GraphQLResolveInfo, project_id: str, asset_id: str) -> bool:
    context = context_of(info)
    asset = context.asset(asset_id, project_id)
    if asset.skipped:
        now = context.store.now()
        context.store.put(replace(asset, skipped=False, step_status="TO_DO", updated_at=now))
    return asset.skipped


def _set_consensus(
    _: None,
    info: GraphQLResolveInfo,
    *,
    project_id: str,
    is_consensus: bool,
    asset_id: str | None = None,
    external_id: str | None = None,
) -> bool:
    context = context_of(info)
    called = context.tables.assets_called(context.project(project_id).id, external_id or "")
    asset = context.asset(asset_id or next((asset.id for asset in called), None), project_id)
    if asset.step_status != "TO_DO":
        raise bad_input("consensus can only be set while the step of the asset is TO_DO")
    context.store.put(replace(asset, is_used_for_consensus=is_consensus, updated_at=context.store.now()))
    return is_consensus


QUERIES: dict[str, Resolver] = {
    "assets": listing(select),
    "countAssets": counting(select),
    "filterExistingAssets": _filter_existing,
    "createUploadBucketSignedUrls": _signed_urls,
}


MUTATIONS: dict[str, Resolver] = {
    "updatePropertiesInAssets": _update_properties,
    "setAssetsPriority": _set_priority,
    "assignAssets": _assign,
    "addAssetsToReview": _add_to_review,
    "sendAssetsBackToQueue": _send_back,
    "deleteAssets": _delete,
    "skipAsset": _skip,
    "unskipAsset": _unskip,
    "setAssetConsensus": _set_consensus,
}
