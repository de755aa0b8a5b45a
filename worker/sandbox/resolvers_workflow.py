"""Actions on many assets that answer asset by asset, and the moves of single ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from graphql import GraphQLResolveInfo

from worker.sandbox.context import Context, context_of
from worker.sandbox.errors import KiliError, bad_input, no_access
from worker.sandbox.fields import Resolver
from worker.sandbox.filters import select_assets
from worker.sandbox.records import Asset
from worker.sandbox.workflow import back_to_queue, is_waiting, to_review

Where = Mapping[str, Any]
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


MUTATIONS: dict[str, Resolver] = {
    "setAssetsPriority": _set_priority,
    "assignAssets": _assign,
    "addAssetsToReview": _add_to_review,
    "sendAssetsBackToQueue": _send_back,
    "deleteAssets": _delete,
    "skipAsset": _skip,
    "unskipAsset": _unskip,
    "setAssetConsensus": _set_consensus,
}
