"""Who asks: users, keys, the one organization, notifications."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from graphql import GraphQLResolveInfo

from worker.sandbox.context import Context, context_of
from worker.sandbox.errors import no_access
from worker.sandbox.fields import ORGANIZATION, Resolver
from worker.sandbox.filters import compact
from worker.sandbox.paging import counting, listing
from worker.sandbox.records import ApiKey, Notification, User

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


MUTATIONS: dict[str, Resolver] = {"updatePropertiesInUser": _update_user}

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
}
