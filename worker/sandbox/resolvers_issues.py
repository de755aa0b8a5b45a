"""Issues and questions about assets: create, find, close."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from graphql import GraphQLResolveInfo

from worker.sandbox.context import Context, context_of
from worker.sandbox.errors import bad_input, no_access
from worker.sandbox.fields import Resolver
from worker.sandbox.filters import compact
from worker.sandbox.paging import counting, listing
from worker.sandbox.records import Asset, Issue

Where = Mapping[str, Any]


def select_issues(context: Context, where: Where) -> Iterable[Issue]:
    """Return the issues that fulfil an IssueWhere."""
    where = compact(where)
    asset_ids = set(where.get("assetIn", ())) | {value for key, value in where.get("asset", {}).items() if key == "id"}
    own = {"id": "id", "type": "type", "status": "status"}
    for issue in context.tables.issues.values():
        fits = all(getattr(issue, own[key]) == value for key, value in where.items() if key in own)
        in_project = where.get("project", {}).get("id", issue.project_id) == issue.project_id
        if fits and in_project and (not asset_ids or issue.asset_id in asset_ids):
            yield issue


def _create(_: None, info: GraphQLResolveInfo, issues: Sequence[Mapping[str, Any]], where: Where) -> list[Issue]:
    context = context_of(info)
    project_id = (where.get("project") or {}).get("id")
    return context.apply_batch(
        issues,
        lambda issue: _check(context, issue, project_id),
        lambda issue: _write(context, issue, _asset(context, issue, project_id)),
    )


def _check(context: Context, issue: Mapping[str, Any], project_id: str | None) -> None:
    asset = _asset(context, issue, project_id)
    context.check_rejections(asset.id, asset.external_id)


def _asset(context: Context, issue: Mapping[str, Any], project_id: str | None) -> Asset:
    label_id = issue.get("labelID")
    if label_id is None:
        return context.asset(issue.get("assetId"), project_id)
    label = context.tables.labels.get(label_id)
    if label is None:
        raise no_access("label")
    return context.asset(label.asset_id, project_id)


def _write(context: Context, data: Mapping[str, Any], asset: Asset) -> Issue:
    now = context.store.now()
    number = sum(issue.project_id == asset.project_id for issue in context.tables.issues.values()) + 1
    issue = Issue(
        id=context.store.new_id(),
        project_id=asset.project_id,
        asset_id=asset.id,
        type=data["type"],
        author_id=context.user.id,
        created_at=now,
        updated_at=now,
        issue_number=number,
        label_id=data.get("labelID"),
        object_mid=data.get("objectMid"),
        text=data.get("text"),
    )
    context.store.put(issue)
    return issue


def _update(_: None, info: GraphQLResolveInfo, data: Mapping[str, Any], where: Where) -> Issue:
    context = context_of(info)
    issue = context.tables.issues.get(where.get("id") or "")
    if issue is None:
        raise no_access("issue")
    if not data.get("status"):
        raise bad_input("data.status: give the new status of the issue")
    issue = replace(issue, status=data["status"], updated_at=context.store.now())
    context.store.put(issue)
    return issue


QUERIES: dict[str, Resolver] = {"issues": listing(select_issues), "countIssues": counting(select_issues)}

MUTATIONS: dict[str, Resolver] = {"createIssues": _create, "updatePropertiesInIssue": _update}
