"""From Kili's where-objects to rows, lists and their lengths.

Candidates come from an index first, then every condition is one predicate. A null and an empty object mean no
condition. Rows come in the order of their creation.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sized
from itertools import islice
from typing import Any, TypeVar

from graphql import GraphQLResolveInfo

from worker.sandbox.errors import bad_input, no_access
from worker.sandbox.records import Asset, Label
from worker.sandbox.resolvers.conditions import (
    ASSET_CONDITIONS,
    LABEL_CONDITIONS,
    Predicate,
    Where,
    first_day,
    predicates_of,
)
from worker.sandbox.resolvers.context import Context, context_of
from worker.sandbox.resolvers.fields import Resolver
from worker.sandbox.store import Tables

Row = TypeVar("Row")


def select_assets(where: Where, tables: Tables) -> Iterable[Asset]:
    """Return the assets that fulfil an AssetWhere; raises KiliError for a project that is not there."""
    where = compact(where)
    predicates = predicates_of(where, ASSET_CONDITIONS, tables)
    return _narrow(_asset_candidates(where, tables), predicates)


def select_labels(where: Where, tables: Tables) -> Iterable[Label]:
    """Return the labels that fulfil a LabelWhere; raises KiliError for a project that is not there."""
    where = compact(where)
    predicates = predicates_of(where, LABEL_CONDITIONS, tables)
    predicates += _asset_of_label(where, tables)
    return _narrow(_label_candidates(where, tables), predicates)


def compact(where: Where | None) -> dict[str, Any]:
    """Return a where-object without its nulls and empty objects."""
    cleaned = {
        key: compact(value) if isinstance(value, Mapping) and key != "metadata" else value
        for key, value in (where or {}).items()
        if value is not None
    }
    return {key: value for key, value in cleaned.items() if value != {}}


def _narrow(rows: Iterable[Row], predicates: list[Predicate]) -> Iterable[Row]:
    for predicate in predicates:
        rows = filter(predicate, rows)
    return rows


def _project_id(where: Where, tables: Tables) -> str | None:
    project_id: str | None = where.get("project", {}).get("id")
    if project_id is not None and project_id not in tables.projects:
        raise no_access("project")
    return project_id


def _asset_candidates(where: Where, tables: Tables) -> Iterable[Asset]:
    project_id = _project_id(where, tables)
    ids = _ids(where)
    if ids is not None:
        known = (tables.assets[key] for key in ids if key in tables.assets)
        found = [asset for asset in known if project_id in {None, asset.project_id}]
        return sorted(found, key=lambda asset: asset.sequence)
    if project_id is None:
        return tables.assets.values()
    if "externalIdStrictlyIn" in where:
        names = set(where["externalIdStrictlyIn"])
        called = (asset for name in names for asset in tables.assets_called(project_id, name))
        return sorted(called, key=lambda asset: asset.sequence)
    return tables.assets_of(project_id).values()


def _label_candidates(where: Where, tables: Tables) -> Iterable[Label]:
    project_id = _project_id(where, tables)
    ids = _ids(where)
    known: Iterable[Label]
    if ids is not None:
        known = (tables.labels[key] for key in ids if key in tables.labels)
    elif {"id", "idIn", "externalIdStrictlyIn"} & set(where.get("asset", {})):
        assets = select_assets(where["asset"], tables)
        known = (label for asset in assets for label in tables.labels_on(asset.id))
    elif project_id is None:
        return tables.labels.values()
    elif "createdAtGte" in where:
        return tables.labels_since(project_id, first_day(where["createdAtGte"]))
    else:
        return tables.labels_of(project_id).values()
    found = [label for label in known if project_id in {None, label.project_id}]
    return sorted(found, key=lambda label: label.sequence)


def _ids(where: Where) -> set[str] | None:
    given = [set(where[key] if key == "idIn" else [where[key]]) for key in ("id", "idIn") if key in where]
    return set.intersection(*given) if given else None


def _asset_of_label(where: Where, tables: Tables) -> list[Predicate]:
    on_asset = where.get("asset", {})
    predicates = predicates_of(on_asset, ASSET_CONDITIONS, tables)
    project_id = _project_id(on_asset, tables)
    if project_id is not None and project_id != where.get("project", {}).get("id"):
        predicates.append(lambda asset: asset.project_id == project_id)
    if not predicates:
        return []
    return [lambda label: all(predicate(tables.assets[label.asset_id]) for predicate in predicates)]


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
