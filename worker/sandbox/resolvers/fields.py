"""How the fields of the API's objects are read from rows."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from functools import cache, lru_cache
from typing import Any

from graphql import GraphQLResolveInfo

from worker.sandbox.records import HUMAN_TYPES, ApiKey, Asset, Issue, Label, Project, Role, User
from worker.sandbox.resolvers.context import context_of
from worker.sandbox.resolvers.workflow import is_waiting, legacy_status
from worker.sandbox.store import Tables, label_url

Resolver = Callable[..., Any]

ORGANIZATION = {"id": "sandbox-organization", "name": "Sandbox", "license": {"uploadLocalData": True}}


def read_field(source: Any, info: GraphQLResolveInfo) -> Any:
    """Read a field of the same name, in snake case when the source is a row."""
    return reading_of(info.field_name)(source)


@lru_cache(maxsize=512)
def reading_of(field: str) -> Callable[[Any], Any]:
    """Return what reads a field by its name."""
    attribute = attribute_of(field)

    def read(source: Any) -> Any:
        return source.get(field) if _has_keys(source.__class__) else getattr(source, attribute)

    return read


@cache
def _has_keys(kind: type) -> bool:
    return issubclass(kind, Mapping)


@lru_cache(maxsize=512)
def attribute_of(field: str) -> str:
    """Return the attribute of a field: jsonResponse is json_response."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", field).lower()


def _tables(info: GraphQLResolveInfo) -> Tables:
    return context_of(info).tables


def constant(value: Any) -> Resolver:
    """Return a resolver of a field that is the same for all."""
    return lambda _source, _info: value


def setting(default: Any = None) -> Resolver:
    """Return a resolver of a project property that updatePropertiesInProject writes."""
    return lambda project, info: project.settings.get(info.field_name, default)


def _author(row: Project | Label | Issue, info: GraphQLResolveInfo) -> User:
    return _tables(info).users[row.author_id]


def _user(row: ApiKey | Role, info: GraphQLResolveInfo) -> User:
    return _tables(info).users[row.user_id]


def _asset_step(asset: Asset, info: GraphQLResolveInfo) -> dict[str, Any]:
    steps = _tables(info).projects[asset.project_id].steps
    step = next(step for step in steps if step.id == asset.step_id)
    return {"id": step.id, "name": step.name, "status": asset.step_status, "step": step}


def _asset_labels(asset: Asset, info: GraphQLResolveInfo) -> list[Label]:
    return list(_tables(info).labels_on(asset.id))


def _asset_latest_label(asset: Asset, info: GraphQLResolveInfo) -> Label | None:
    return next(iter(reversed(_asset_labels(asset, info))), None)


def _asset_latest_labels(asset: Asset, info: GraphQLResolveInfo) -> list[Label]:
    latest = {(label.author_id, label.label_type): label for label in _asset_labels(asset, info)}
    return sorted(latest.values(), key=lambda label: label.sequence)


def _assignees(asset: Asset, info: GraphQLResolveInfo) -> list[User]:
    return [_tables(info).users[key] for key in asset.assignee_ids]


def _to_be_labeled_by(asset: Asset, _info: GraphQLResolveInfo) -> list[Role]:
    return [Role(id=key, user_id=key, role="LABELER") for key in asset.assignee_ids]


def _json_response(label: Label, info: GraphQLResolveInfo) -> str:
    # The SDK drops what is inline when there is a file; whoever does not look for the file gets an empty answer.
    return label.json_response if context_of(info).config.label_json == "inline" else "{}"


def _json_response_url(label: Label, info: GraphQLResolveInfo) -> str | None:
    context = context_of(info)
    return None if context.config.label_json == "inline" else label_url(context.base_url, context.buckets, label.id)


def _is_latest(*types: str) -> Resolver:
    def resolve(label: Label, info: GraphQLResolveInfo) -> bool:
        if types and label.label_type not in types:
            return False
        mine = (
            other
            for other in _tables(info).labels_on(label.asset_id)
            if other.author_id == label.author_id and (not types or other.label_type in types)
        )
        return max(other.sequence for other in mine) == label.sequence

    return resolve


def _number_of_annotations(label: Label, _info: GraphQLResolveInfo) -> int:
    parts = json.loads(label.json_response).values()
    return sum(len(part.get("annotations") or ()) for part in parts if isinstance(part, dict))


def _count_assets(wanted: Callable[[Asset, Project], bool]) -> Resolver:
    def resolve(project: Project, info: GraphQLResolveInfo) -> int:
        return sum(wanted(asset, project) for asset in _tables(info).assets_of(project.id).values())

    return resolve


def _count_latest_labels(project: Project, info: GraphQLResolveInfo) -> int:
    labels = _tables(info).labels_of(project.id).values()
    return len({(label.asset_id, label.author_id) for label in labels if label.label_type == "DEFAULT"})


def _count_issues(kind: str, status: str) -> Resolver:
    def resolve(project: Project, info: GraphQLResolveInfo) -> int:
        wanted = (project.id, kind, status)
        issues = _tables(info).issues.values()
        return sum((issue.project_id, issue.type, issue.status) == wanted for issue in issues)

    return resolve


def _comments(issue: Issue, info: GraphQLResolveInfo) -> list[dict[str, Any]]:
    if issue.text is None:
        return []
    return [{"text": issue.text, "author": _author(issue, info), "createdAt": issue.created_at}]


def _is_last_for_step(label: Label, info: GraphQLResolveInfo) -> bool:
    if label.label_type not in HUMAN_TYPES:
        return False
    others = _tables(info).labels_on(label.asset_id)
    return max(other.sequence for other in others if other.label_type == label.label_type) == label.sequence


PROJECT: dict[str, Resolver] = {
    "author": _author,
    "archived": setting(default=False),
    "instructions": setting(),
    "metadataProperties": setting(),
    "geospatialSettings": setting(),
    "dataConnections": constant([]),
    "workflowVersion": constant("V2"),
    "stepGroups": constant([]),
    "numberOfAssets": lambda project, info: len(_tables(info).assets_of(project.id)),
    "numberOfRemainingAssets": _count_assets(lambda asset, _: is_waiting(asset)),
    "numberOfReviewedAssets": _count_assets(
        lambda asset, project: asset.step_id == project.review_step.id and asset.step_status == "DONE"
    ),
    "numberOfSkippedAssets": _count_assets(lambda asset, _: asset.skipped),
    "numberOfLatestLabels": _count_latest_labels,
    "numberOfOpenIssues": _count_issues("ISSUE", "OPEN"),
    "numberOfSolvedIssues": _count_issues("ISSUE", "SOLVED"),
    "numberOfOpenQuestions": _count_issues("QUESTION", "OPEN"),
    "numberOfSolvedQuestions": _count_issues("QUESTION", "SOLVED"),
    "canNavigateBetweenAssets": setting(default=True),
    "canSkipAsset": setting(default=True),
    "consensusMark": setting(),
    "consensusTotCoverage": setting(default=0),
    "honeypotMark": setting(),
    "minConsensusSize": setting(default=1),
    "reviewCoverage": setting(default=0),
    "shouldAutoAssign": setting(default=True),
    "shouldRelaunchKpiComputation": setting(default=False),
    "useHoneyPot": setting(default=False),
}

STEP: dict[str, Resolver] = {
    "isActivated": constant(value=True),
    "stepCoverage": constant(None),
    "stepGroupId": constant(None),
    "assignees": constant([]),
}

ASSET: dict[str, Resolver] = {
    "project": lambda asset, info: _tables(info).projects[asset.project_id],
    "metadata": lambda asset, _info: json.loads(asset.json_metadata),
    "status": lambda asset, info: legacy_status(asset, _tables(info)),
    "currentStep": _asset_step,
    "assignees": _assignees,
    "toBeLabeledBy": _to_be_labeled_by,
    "isToReview": lambda asset, info: legacy_status(asset, _tables(info)) == "TO_REVIEW",
    "pageResolutions": constant(None),
    "isConsensus": lambda asset, _info: bool(asset.is_used_for_consensus),
    "issues": lambda asset, info: _tables(info).issues_on(asset.id),
    "labels": _asset_labels,
    "latestLabel": _asset_latest_label,
    "latestLabels": _asset_latest_labels,
}

LABEL: dict[str, Resolver] = {
    "author": _author,
    "labelOf": lambda label, info: _tables(info).assets.get(label.asset_id),
    "jsonResponse": _json_response,
    "jsonResponseUrl": _json_response_url,
    "totalSecondsToLabel": lambda label, _info: round(label.seconds_to_label or 0),
    "clientVersion": lambda label, _info: label.client_version or 0,
    "version": constant(0),
    "isLastForStep": _is_last_for_step,
    "isSentBackToQueue": constant(value=False),
    "isLatestLabelForUser": _is_latest(),
    "isLatestDefaultLabelForUser": _is_latest("DEFAULT"),
    "isLatestReviewLabelForUser": _is_latest("REVIEW"),
    "isLatestPredictionLabelForUser": _is_latest("INFERENCE", "PREDICTION"),
    "numberOfAnnotations": _number_of_annotations,
    "referencedLabel": lambda label, info: _tables(info).labels.get(label.referenced_label_id or ""),
}

#: Field resolvers by object type; fields not named here are read by `read_field`.
FIELDS: dict[str, dict[str, Resolver]] = {
    "Project": PROJECT,
    "Step": STEP,
    "Asset": ASSET,
    "Label": LABEL,
    "User": {"organization": constant(ORGANIZATION)},
    "ApiKey": {"user": _user},
    "Issue": {"author": _author, "comments": _comments},
    "ProjectUser": {
        "user": _user,
        "activated": lambda role, info: _user(role, info).activated,
        "status": lambda role, info: "ACTIVATED" if _user(role, info).activated else "ORG_SUSPENDED",
        "deletedAt": constant(None),
    },
    "Notification": {
        "hasBeenSeen": constant(value=False),
        "progress": lambda row, _info: 100 if row.status != "PENDING" else 0,
    },
}
