"""How two sets of chosen categories agree."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import fsum, sqrt
from typing import Any

from .interface import Job

Nested = Callable[[Mapping[str, Any], Mapping[str, Any]], float | None]
"""Agreement of two objects of child jobs; None when neither answers one."""


def choice_agreement(a: Mapping[str, Any], b: Mapping[str, Any], job: Job, nested: Nested) -> float:
    """Return the Jaccard index of two choices, which is exact equality for single choice.

    ``sum of g(c) over the common categories / number of categories in either``, where ``g(c)``, the
    geometric mean of 1 and the agreement of the category's child jobs, is 1 without children.
    Source: Kili's calculation rules for quality metrics (Jaccard; geometric average for nested jobs).
    """
    chosen_a, chosen_b = _chosen(a, job), _chosen(b, job)
    union = chosen_a.keys() | chosen_b.keys()
    if not union:
        return 1.0
    common = chosen_a.keys() & chosen_b.keys()
    return fsum(with_children(1.0, nested(chosen_a[name], chosen_b[name])) for name in common) / len(union)


def with_children(own: float, children: float | None) -> float:
    """Combine an element's agreement with its children's by their geometric mean."""
    return own if children is None else sqrt(own * children)


def children_of(holder: Mapping[str, Any]) -> Mapping[str, Any]:
    """Collect the child jobs beside and inside the chosen categories of an annotation."""
    children = dict(holder.get("children") or {})
    for item in holder.get("categories") or ():
        children |= item.get("children") or {}
    return children


def _chosen(payload: Mapping[str, Any], job: Job) -> dict[str, Mapping[str, Any]]:
    """Map each chosen category to its child jobs, wherever the response keeps them."""
    beside = payload.get("children") or {}
    chosen: dict[str, Mapping[str, Any]] = {}
    for item in payload.get("categories") or ():
        asked = {name: beside[name] for name in job.children_of((item["name"],)) if name in beside}
        chosen[item["name"]] = {**asked, **(item.get("children") or {})}
    return chosen
