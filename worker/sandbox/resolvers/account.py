"""The caller's account: users, keys, the one organization, notifications and webhooks.

The sandbox remembers webhooks and calls nobody.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from graphql import GraphQLResolveInfo

from worker.sandbox.errors import KiliError, bad_input, no_access
from worker.sandbox.records import ApiKey, Notification, User, Webhook
from worker.sandbox.resolvers.context import Context, context_of
from worker.sandbox.resolvers.fields import ORGANIZATION, Resolver
from worker.sandbox.resolvers.filters import compact, counting, listing

Where = Mapping[str, Any]


def _viewer(_: None, info: GraphQLResolveInfo) -> User:
    return context_of(info).user


def _users(context: Context, where: Where) -> Iterable[User]:
    where = compact(where)
    for user in context.tables.users.values():
        ids = where.get("idIn", [where.get("id", user.id)])
        if user.id in ids and where.get("email", user.email) == user.email:
            yield user


def _api_keys(context: Context, where: Where) -> Iterable[ApiKey]:
    where = compact(where)
    owners = {user.id for user in _users(context, where.get("user", {}))}
    for key in context.tables.api_keys.values():
        wanted = (where.get("id", key.id), where.get("key", key.key))
        if wanted == (key.id, key.key) and key.user_id in owners:
            yield key


def _organizations(context: Context, where: Where) -> Iterable[Mapping[str, Any]]:
    where = compact(where)
    if where.get("id", ORGANIZATION["id"]) == ORGANIZATION["id"]:
        person = {"email": where["email"]} if "email" in where else where.get("user", {})
        if any(True for _ in _users(context, person)):
            yield ORGANIZATION


def _notifications(context: Context, where: Where) -> Iterable[Notification]:
    where = compact(where)
    for notification in context.tables.notifications.values():
        mine = notification.user_id == context.user.id
        if mine and where.get("id", notification.id) == notification.id and not where.get("hasBeenSeen"):
            yield notification


def _update_user(_: None, info: GraphQLResolveInfo, data: Mapping[str, Any], where: Where) -> User:
    context = context_of(info)
    user = next(iter(_users(context, where)), None) if compact(where) else None
    if user is None:
        raise no_access("user")
    user = replace(user, **{key: value for key, value in data.items() if value is not None})
    context.store.put(user)
    return user


def _called(context: Context, name: str | None) -> Webhook:
    found = next((webhook for webhook in context.tables.webhooks.values() if webhook.name == name), None)
    if found is None:
        raise no_access("plugin")
    return found


def _create_webhook(_: None, info: GraphQLResolveInfo, data: Mapping[str, Any]) -> str:
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


def _update_webhook(_: None, info: GraphQLResolveInfo, data: Mapping[str, Any]) -> str:
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


def _delete_webhook(_: None, info: GraphQLResolveInfo, where: Where) -> str:
    context = context_of(info)
    context.store.drop(_called(context, where.get("pluginName")))
    return "Plugin deleted"


def _webhooks(_: None, info: GraphQLResolveInfo) -> list[Webhook]:
    return list(context_of(info).tables.webhooks.values())


QUERIES: dict[str, Resolver] = {
    "viewer": _viewer,
    "users": listing(_users),
    "countUsers": counting(_users),
    "apiKeys": listing(_api_keys),
    "countApiKeys": counting(_api_keys),
    "organizations": listing(_organizations),
    "countOrganizations": counting(_organizations),
    "notifications": listing(_notifications),
    "countNotifications": counting(_notifications),
    "listPlugins": _webhooks,
}


MUTATIONS: dict[str, Resolver] = {
    "updatePropertiesInUser": _update_user,
    "createWebhook": _create_webhook,
    "updateWebhook": _update_webhook,
    "activatePluginOnProject": _activate,
    "deactivatePluginOnProject": _deactivate,
    "deletePlugin": _delete_webhook,
}
