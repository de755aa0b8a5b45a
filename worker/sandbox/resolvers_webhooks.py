"""Webhooks as the SDK registers them. The sandbox remembers them and calls nobody."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from graphql import GraphQLResolveInfo

from worker.sandbox.context import Context, context_of
from worker.sandbox.errors import KiliError, bad_input, no_access
from worker.sandbox.fields import Resolver
from worker.sandbox.records import Webhook

Where = Mapping[str, Any]


def _called(context: Context, name: str | None) -> Webhook:
    found = next((webhook for webhook in context.tables.webhooks.values() if webhook.name == name), None)
    if found is None:
        raise no_access("plugin")
    return found


def _create(_: None, info: GraphQLResolveInfo, data: Mapping[str, Any]) -> str:
    context = context_of(info)
    _check_url(data["webhookUrl"])
    if any(webhook.name == data["pluginName"] for webhook in context.tables.webhooks.values()):
        raise KiliError("objectAlreadyExists", f"an entity Plugin already exists with value {data['pluginName']}")
    now = context.store.now()
    webhook = Webhook(
        id=context.store.new_id(),
        name=data["pluginName"],
        url=data["webhookUrl"],
        created_at=now,
        updated_at=now,
        header=data.get("header"),
        events=_events(data),
    )
    context.store.put(webhook)
    return "Webhook created"


def _check_url(url: str) -> None:
    if not url.startswith(("http://", "https://")):
        raise bad_input(f"webhookUrl: '{url}' is no http address")


def _events(data: Mapping[str, Any]) -> tuple[str, ...]:
    if data.get("handlerTypes") and data.get("eventMatcher"):
        raise bad_input("give handlerTypes or eventMatcher, not both")
    return tuple(data.get("handlerTypes") or data.get("eventMatcher") or ("onSubmit", "onReview"))


def _update(_: None, info: GraphQLResolveInfo, data: Mapping[str, Any]) -> str:
    context = context_of(info)
    _check_url(data["webhookUrl"])
    webhook = _called(context, data["pluginName"])
    changed = {"url": data["webhookUrl"], "header": data.get("header"), "events": _events(data)}
    context.store.put(replace(webhook, **changed, updated_at=context.store.now()))
    return "Webhook updated"


def _activate(_: None, info: GraphQLResolveInfo, where: Where) -> str:
    context = context_of(info)
    webhook, project = _called(context, where.get("pluginName")), context.project(where.get("projectId"))
    if project.id in webhook.project_ids:
        raise KiliError("objectAlreadyExists", f"an entity Project already exists with value {project.id}")
    context.store.put(replace(webhook, project_ids=(*webhook.project_ids, project.id)))
    return "Plugin activated"


def _deactivate(_: None, info: GraphQLResolveInfo, where: Where) -> str:
    context = context_of(info)
    webhook, project = _called(context, where.get("pluginName")), context.project(where.get("projectId"))
    remaining = tuple(project_id for project_id in webhook.project_ids if project_id != project.id)
    context.store.put(replace(webhook, project_ids=remaining))
    return "Plugin deactivated"


def _delete(_: None, info: GraphQLResolveInfo, where: Where) -> str:
    context = context_of(info)
    context.store.drop(_called(context, where.get("pluginName")))
    return "Plugin deleted"


def _list(_: None, info: GraphQLResolveInfo) -> list[Webhook]:
    return list(context_of(info).tables.webhooks.values())


QUERIES: dict[str, Resolver] = {"listPlugins": _list}

MUTATIONS: dict[str, Resolver] = {
    "createWebhook": _create,
    "updateWebhook": _update,
    "activatePluginOnProject": _activate,
    "deactivatePluginOnProject": _deactivate,
    "deletePlugin": _delete,
}
