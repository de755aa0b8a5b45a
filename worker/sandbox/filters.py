"""Turns Kili's where-objects into rows: candidates from an index first, then one predicate per condition.

A null and an empty object mean no condition. Rows come in the order of their creation.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from worker.sandbox.store import Tables

from .conditions import ASSET_CONDITIONS, LABEL_CONDITIONS, Predicate, Where, first_day, predicates_of
from .errors import no_access
from .records import Asset, Label

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
    if not predicates:
        return rows
    return (row for row in rows if all(predicate(row) for predicate in predicates))


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
