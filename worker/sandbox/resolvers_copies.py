"""Copies of projects, and of the labels of their assets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from graphql import GraphQLResolveInfo

from worker.sandbox.context import Context, context_of
from worker.sandbox.fields import Resolver
from worker.sandbox.records import Asset, Project, Role


def _copy_project(_: None, info: GraphQLResolveInfo, data: Mapping[str, Any]) -> str:
    context = context_of(info)
    source = context.project(data["projectId"])
    now, new_id = context.store.now(), context.store.new_id
    roles = source.roles if data.get("shouldCopyUsers") else (Role(new_id(), context.user.id, "ADMIN"),)
    copy = replace(
        source,
        id=new_id(),
        author_id=context.user.id,
        created_at=now,
        updated_at=now,
        steps=tuple(replace(step, id=new_id()) for step in source.steps),
        roles=tuple(replace(role, id=new_id()) for role in roles),
    )
    context.store.put(copy)
    if data.get("shouldCopyAssets"):
        for asset in list(context.tables.assets_of(source.id).values()):
            _copy_asset(context, asset, copy)
    return copy.id


def _copy_asset(context: Context, asset: Asset, project: Project) -> None:
    """Copy an asset as if it had just been imported: nothing of its work comes along."""
    now = context.store.now()
    copy = Asset(
        id=context.store.new_id(),
        project_id=project.id,
        external_id=asset.external_id,
        content=asset.content,
        json_content=asset.json_content,
        json_metadata=asset.json_metadata,
        priority=asset.priority,
        is_honeypot=asset.is_honeypot,
        resolution=asset.resolution,
        created_at=now,
        updated_at=now,
        step_id=project.labeling_step.id,
        sequence=context.store.next_sequence(),
    )
    context.store.put(copy)


def _copy_labels(_: None, info: GraphQLResolveInfo, data: Mapping[str, Any]) -> bool:
    context = context_of(info)
    source = context.asset(data["srcAssetId"])
    target = context.asset(data["dstAssetId"], data["projectId"])
    steps = dict(
        zip(
            (step.id for step in context.project(source.project_id).steps),
            context.project(target.project_id).steps,
            strict=True,
        )
    )
    for label in list(context.tables.labels_on(source.id)):
        copy = replace(
            label,
            id=context.store.new_id(),
            asset_id=target.id,
            project_id=target.project_id,
            sequence=context.store.next_sequence(),
        )
        context.store.put(copy)
    context.store.put(
        replace(
            target,
            step_id=steps[source.step_id].id,
            step_status=source.step_status,
            skipped=source.skipped,
            updated_at=context.store.now(),
        )
    )
    return True


MUTATIONS: dict[str, Resolver] = {"copyProject": _copy_project, "copyLabels": _copy_labels}
