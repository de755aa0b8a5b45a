"""What resolvers share: lists and their lengths, the project a call is about, the rule for jsonMetadata."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sized
from itertools import islice
from typing import Any

from graphql import GraphQLResolveInfo

from worker.sandbox.context import Context, context_of
from worker.sandbox.errors import bad_input
from worker.sandbox.fields import Resolver
from worker.sandbox.store import Tables


def check_metadata(text: str) -> None:
    """Raise KiliError unless the text is that of a JSON object."""
    try:
        metadata = json.loads(text)
    except ValueError as error:
        raise bad_input(f"jsonMetadata is not valid JSON: {error}") from error
    if not isinstance(metadata, dict):
        raise bad_input("jsonMetadata must be the JSON text of an object")


def project_of(arguments: Mapping[str, Any], tables: Tables) -> str | None:
    """Return the project named by a root field's arguments, or the one of the first asset or label they name."""
    for candidate in _candidates(arguments):
        if candidate in tables.projects:
            return candidate
        row = tables.assets.get(candidate) or tables.labels.get(candidate)
        if row is not None:
            return row.project_id
    return None


def _candidates(arguments: Mapping[str, Any]) -> Iterator[str]:
    where = arguments.get("where") or {}
    wheres = where if isinstance(where, list) else [where]
    data = arguments.get("data") or {}
    yield from _strings(arguments.get("project_id"))
    for one in wheres[:1]:
        yield from _strings((one.get("project") or {}).get("id"))
        yield from _strings(((one.get("asset") or {}).get("project") or {}).get("id"))
        yield from _strings(one.get("id"))
        yield from _strings(one.get("idIn"))
    if isinstance(data, Mapping):
        yield from _strings([label.get("assetID") for label in (data.get("labelsData") or ())[:1]])
    yield from _strings(arguments.get("ids"))


def _strings(value: Any) -> Iterator[str]:
    values = value[:1] if isinstance(value, list) else [value]
    yield from (one for one in values if isinstance(one, str))


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
