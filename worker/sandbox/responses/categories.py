"""Choices: names that the job has, as many as it takes, with confidences and children of their own."""

from __future__ import annotations

from typing import Any

from worker.sandbox.interface import REPEATED_LEVELS, Category, Job

from .reading import Json, a_list, a_text, an_object, check_percentage, inside, refuse

#: What the SDK reads of a category; it fails on anything else.
KEYS = frozenset({"name", "confidence", "children"})


def read_categories(job: Job, source: Json, where: str) -> list[tuple[Category, Json, str]]:
    """Return the chosen categories, what the response says of each, and where."""
    key = inside(where, "categories")
    chosen: list[tuple[Category, Json, str]] = []
    for index, value in enumerate(a_list(source.get("categories"), key)):
        here = inside(key, index)
        chosen.append((_read(job, value, here), value, here))
    names = [category.name for category, _, _ in chosen]
    if len(set(names)) < len(names) and job.level not in REPEATED_LEVELS:
        refuse(key, f"a category is there twice: {', '.join(names)}")
    return chosen


def chosen_one(job: Job, source: Json, where: str) -> Category:
    """Return the category of an annotation, which has exactly one."""
    chosen = read_categories(job, source, where)
    if len(chosen) != 1:
        refuse(inside(where, "categories"), f"an annotation has one category, not {len(chosen)}")
    return chosen[0][0]


def _read(job: Job, value: Any, where: str) -> Category:
    source = an_object(value, where)
    name = a_text(source.get("name"), inside(where, "name"))
    if name not in job.categories:
        known = ", ".join(job.categories)
        refuse(inside(where, "name"), f"the job {job.name} has no category {name!r}; it has {known}")
    unknown = sorted(source.keys() - KEYS)
    if unknown:
        refuse(inside(where, unknown[0]), f"a category has no such key; it has {', '.join(sorted(KEYS))}")
    check_percentage(source, "confidence", where, whole=False)
    return job.categories[name]
