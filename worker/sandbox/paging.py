"""Resolvers of lists and their lengths: Kili has both for everything."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sized
from itertools import islice
from typing import Any

from graphql import GraphQLResolveInfo

from .context import Context, context_of
from .fields import Resolver

Where = Mapping[str, Any]
Select = Callable[[Context, Where], Iterable[Any]]


def listing(select: Select) -> Resolver:
    """Return the resolver of a page of the rows that `select` finds."""

    def resolve(_: None, info: GraphQLResolveInfo, where: Where, first: int, skip: int) -> list[Any]:
        return list(islice(select(context_of(info), where), skip, skip + first))

    return resolve


def counting(select: Select) -> Resolver:
    """Return the resolver of the number of rows that `select` finds."""

    def resolve(_: None, info: GraphQLResolveInfo, where: Where) -> int:
        rows = select(context_of(info), where)
        return len(rows) if isinstance(rows, Sized) else sum(1 for _ in rows)

    return resolve
