"""What people and models say about assets: labels, issues and questions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from graphql import GraphQLResolveInfo

from worker.sandbox.errors import bad_input, malformed, no_access
from worker.sandbox.records import Asset, Issue, Label
from worker.sandbox.resolvers.context import Context, context_of
from worker.sandbox.resolvers.fields import Resolver
from worker.sandbox.resolvers.filters import compact, counting, listing, select_labels
from worker.sandbox.resolvers.workflow import labeled, request_marks
from worker.sandbox.responses.reading import Malformed
from worker.sandbox.responses.validation import check_json_response, content_of

Where = Mapping[str, Any]

#: Labels that a batch replaces, by asset and model name.
Replaced = dict[tuple[str, str | None], list[Label]]


@dataclass(frozen=True, slots=True)
class NewLabel:
    """One label of a batch, with what the batch says for all of them."""

    asset_id: str | None
    project_id: str | None
    label_type: str
    data: Mapping[str, Any]


def _append_many(_: None, info: GraphQLResolveInfo, data: Mapping[str, Any], where: Where) -> list[Label]:
    context = context_of(info)
    project_id = (where.get("project") or {}).get("id")
    if project_id is not None:
        context.project(project_id)
    rows = [_row(index, item, data["labelType"], where, project_id) for index, item in enumerate(data["labelsData"])]
    replaced = _replaced(context, rows) if data.get("overwrite") else {}
    return context.apply_batch(rows, lambda row: _check(context, row), lambda row: _write(context, row, replaced))


def _row(index: int, item: Mapping[str, Any], label_type: str, where: Where, project_id: str | None) -> NewLabel:
    fallback = where.get("idIn") or [where.get("id")]
    asset_id = item.get("assetID") or (fallback[index] if index < len(fallback) else None)
    return NewLabel(asset_id=asset_id, project_id=project_id, label_type=label_type, data=item)


def _replaced(context: Context, rows: Sequence[NewLabel]) -> Replaced:
    return {
        (asset_id, model): [
            label
            for label in context.tables.labels_on(asset_id)
            if label.model_name == model and label.label_type == rows[0].label_type
        ]
        for asset_id, model in {(row.asset_id or "", row.data.get("modelName")) for row in rows}
    }


def _check(context: Context, row: NewLabel) -> None:
    asset = context.asset(row.asset_id, row.project_id)
    text = row.data["jsonResponse"]
    context.check_rejections(asset.id, asset.external_id, text)
    author_id = row.data.get("authorID")
    if author_id is not None and author_id not in context.tables.users:
        raise no_access("user")
    must_be_whole = row.label_type == "INFERENCE" and context.config.open_jobs == "refuse"
    _check_response(context, asset, text, partial=not must_be_whole)


def _check_response(context: Context, asset: Asset, response: str, *, partial: bool) -> None:
    project = context.project(asset.project_id)
    is_lenient = context.config.validation == "lenient"
    asset_content = None if is_lenient else content_of(asset, project.input_type, context.buckets)
    try:
        check_json_response(
            response, project.interface, asset_content=asset_content, partial=partial, lenient=is_lenient
        )
    except Malformed as error:
        raise malformed(str(error)) from error


def _write(context: Context, row: NewLabel, replaced: Replaced) -> Label:
    asset = context.asset(row.asset_id)
    for old in replaced.pop((asset.id, row.data.get("modelName")), ()):
        context.store.drop(old)
    label = _new(context, asset, row.label_type, row.data)
    context.store.put(label)
    _move(context, asset, row.label_type)
    request_marks(context, label)
    return label


def _new(context: Context, asset: Asset, label_type: str, data: Mapping[str, Any]) -> Label:
    return Label(
        id=context.store.new_id(),
        asset_id=asset.id,
        project_id=asset.project_id,
        label_type=label_type,
        json_response=data["jsonResponse"],
        author_id=data.get("authorID") or context.user.id,
        created_at=context.store.now(),
        sequence=context.store.next_sequence(),
        model_name=data.get("modelName"),
        seconds_to_label=data.get("secondsToLabel"),
        client_version=data.get("clientVersion"),
        referenced_label_id=data.get("referencedLabelId"),
        skipped=bool(data.get("skipped")),
    )


def _move(context: Context, asset: Asset, label_type: str) -> None:
    project = context.project(asset.project_id)
    moved = labeled(asset, project, label_type, context.store.now())
    if moved is not asset:
        context.store.put(moved)


def _append_one(_: None, info: GraphQLResolveInfo, data: Mapping[str, Any], where: Where) -> Label:
    context = context_of(info)
    label_type = data.get("labelType") or "DEFAULT"
    row = _row(0, data, label_type, where, (where.get("project") or {}).get("id"))
    _check(context, row)
    return _write(context, row, {})


def _create_honeypot(_: None, info: GraphQLResolveInfo, data: Mapping[str, Any], where: Where) -> Label:
    context = context_of(info)
    row = _row(0, data, "REVIEW", where, (where.get("project") or {}).get("id"))
    _check(context, row)
    asset = context.asset(row.asset_id)
    label = replace(_new(context, asset, "REVIEW", data), is_honeypot=True)
    context.store.put(label)
    context.store.put(replace(asset, is_honeypot=True, updated_at=context.store.now()))
    request_marks(context, label)
    return label


def _delete(_: None, info: GraphQLResolveInfo, ids: Sequence[str]) -> list[str]:
    context = context_of(info)
    for label_id in ids:
        if label_id not in context.tables.labels:
            raise no_access("label")
    for label_id in dict.fromkeys(ids):
        context.store.drop(context.tables.labels[label_id])
    return list(ids)


def select(context: Context, where: Where) -> Iterable[Label]:
    """Return the labels that fulfil a LabelWhere, as this operation sees them."""
    return select_labels(where, context.tables)


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


def _create_issues(_: None, info: GraphQLResolveInfo, issues: Sequence[Mapping[str, Any]], where: Where) -> list[Issue]:
    context = context_of(info)
    project_id = (where.get("project") or {}).get("id")
    return context.apply_batch(
        issues,
        lambda issue: _check_issue(context, issue, project_id),
        lambda issue: _write_issue(context, issue, _asset_of_issue(context, issue, project_id)),
    )


def _check_issue(context: Context, issue: Mapping[str, Any], project_id: str | None) -> None:
    asset = _asset_of_issue(context, issue, project_id)
    context.check_rejections(asset.id, asset.external_id)


def _asset_of_issue(context: Context, issue: Mapping[str, Any], project_id: str | None) -> Asset:
    label_id = issue.get("labelID")
    if label_id is None:
        return context.asset(issue.get("assetId"), project_id)
    label = context.tables.labels.get(label_id)
    if label is None:
        raise no_access("label")
    return context.asset(label.asset_id, project_id)


def _write_issue(context: Context, data: Mapping[str, Any], asset: Asset) -> Issue:
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


def _update_issue(_: None, info: GraphQLResolveInfo, data: Mapping[str, Any], where: Where) -> Issue:
    context = context_of(info)
    issue = context.tables.issues.get(where.get("id") or "")
    if issue is None:
        raise no_access("issue")
    if not data.get("status"):
        raise bad_input("data.status: give the new status of the issue")
    issue = replace(issue, status=data["status"], updated_at=context.store.now())
    context.store.put(issue)
    return issue


QUERIES: dict[str, Resolver] = {
    "labels": listing(select),
    "countLabels": counting(select),
    "issues": listing(select_issues),
    "countIssues": counting(select_issues),
}


MUTATIONS: dict[str, Resolver] = {
    "appendManyLabels": _append_many,
    "appendToLabels": _append_one,
    "createHoneypot": _create_honeypot,
    "deleteLabels": _delete,
    "createIssues": _create_issues,
    "updatePropertiesInIssue": _update_issue,
}
