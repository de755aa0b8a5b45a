"""Are the chosen categories, and the child jobs below them, ones the project has?"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NoReturn

from worker.ontology.classes import listed, nearest, nearest_category
from worker.ontology.interface import Job
from worker.ontology.validate_context import (
    Context,
    as_list,
    as_object,
    as_text,
    check_key_frame,
    check_percent,
    refuse,
)

CATEGORY_KEYS = frozenset({"name", "confidence", "children"})
"""The keys of a chosen category; the official SDK fails to read any other."""

OPEN_CHOICE = frozenset({"children", "isKeyFrame", "annotations"})
"""The keys of a choice that was left open; Kili writes an empty list of annotations beside the choices of a video."""


def check_classification(payload: Mapping[str, Any], job: Job, where: str, context: Context) -> None:
    """Check the answer of a classification job; an empty payload is an open question."""
    check_key_frame(payload, where)
    strange = [key for key in payload if key not in OPEN_CHOICE or (key == "annotations" and payload[key])]
    if strange and "categories" not in payload:
        problem = f"job {job.name} is a choice and has no categories, but {', '.join(strange)}"
        refuse(f"{where}.categories", problem, "send the chosen categories", "malformed")
    names = check_categories(payload.get("categories", []), job, f"{where}.categories", context)
    if names or payload.get("children"):
        check_children(payload, names, job, where, context)


def check_comparison(payload: Mapping[str, Any], job: Job, where: str, context: Context) -> None:  # noqa: ARG001
    """Check the answer of a comparison: one of the job's options, and the two answers that were compared."""
    if not payload:
        return
    place = f"{where}.choice"
    choice = as_object(payload.get("choice"), place)
    code = as_text(choice.get("code"), f"{place}.code")
    if job.categories and code not in job.categories:
        fix = f"send one of its options: {listed(job.categories)}"
        refuse(f"{place}.code", f"job {job.name} has no option {code!r}", fix, "unknown_category")
    for end in ("firstId", "secondId"):
        if not as_text(choice.get(end), f"{place}.{end}"):
            refuse(f"{place}.{end}", "is empty", "name the compared answer", "malformed")


def check_categories(value: object, job: Job, where: str, context: Context) -> tuple[str, ...]:
    """Check a list of chosen categories and return their names."""
    items = as_list(value, where)
    names = tuple(_category(item, job, f"{where}[{index}]", context) for index, item in enumerate(items))
    if job.single_choice and len(names) > 1:
        refuse(
            where,
            f"job {job.name} takes one category, found {', '.join(names)}",
            "send the most probable one",
            "several_categories",
        )
    if len(names) > 1 and len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        refuse(where, f"category {twice} is chosen twice", "send it once", "duplicate_category")
    return names


def check_children(holder: Mapping[str, Any], names: tuple[str, ...], job: Job, where: str, context: Context) -> None:
    """Check the child jobs beside or inside the chosen categories, and that the required ones are there."""
    allowed = job.children_of(names)
    if "children" in holder:
        check_nested(holder["children"], allowed, where, context)
    if context.partial or not allowed:
        return
    beside = set(holder.get("children") or ())
    for index, item in enumerate(holder["categories"]):
        asked = job.children_of((item["name"],))
        _check_required(asked, beside | set(item.get("children") or ()), f"{where}.categories[{index}]", context)


def check_nested(value: object, allowed: Iterable[str], where: str, context: Context) -> None:
    """Check an object of child jobs against the jobs that may be asked here."""
    if value is None:
        return
    for name, payload in as_object(value, f"{where}.children").items():
        place = f"{where}.children.{name}"
        child = context.interface.jobs.get(name)
        if child is None:
            refuse_unknown_job(name, place, context)
        if name not in allowed:
            fix = f"put {name} under a category that asks it"
            refuse(place, f"job {name} is not asked here", fix, "wrong_parent")
        context.check_payload(payload, child, place, context)


def refuse_unknown_job(name: str, where: str, context: Context) -> NoReturn:
    """Refuse a job that the project does not have and name the nearest one."""
    near = nearest(name, list(context.interface.jobs))
    jobs = listed(context.interface.jobs)
    known = f"for example {near}" if near else f"one of {jobs}"
    fix = f"name a job of the project, {known}" if jobs else "add the job to the project"
    refuse(where, f"the project has no job {name!r}", fix, "unknown_job")


def is_answered(payload: object, job: Job) -> bool:
    """Whether a payload answers its job at all; an empty list of annotations does."""
    if type(payload) is not dict and not isinstance(payload, Mapping):
        return payload is not None
    return bool(payload.get("categories") if job.ml_task == "CLASSIFICATION" else payload)


def _category(item: object, job: Job, where: str, context: Context) -> str:
    body = as_object(item, where)
    name = as_text(body.get("name"), f"{where}.name")
    if name not in job.categories:
        _refuse_category(name, job, f"{where}.name")
    check_percent(body.get("confidence"), f"{where}.confidence")
    if not body.keys() <= CATEGORY_KEYS:
        key = min(body.keys() - CATEGORY_KEYS)
        refuse(f"{where}.{key}", "is no part of a chosen category", "leave it out", "unknown_key")
    if "children" in body:
        check_nested(body["children"], job.categories[name].children, where, context)
    return name


def _refuse_category(name: str, job: Job, where: str) -> None:
    for category in job.categories.values():
        if category.display_name == name:
            problem = f"{name!r} is what category {category.name} is displayed as"
            refuse(where, problem, f"send {category.name}", "category_by_display_name")
    near = nearest_category(name, job)
    known = f"for example {near}" if near else f"which are {listed(job.categories)}"
    fix = f"send one of its categories, {known}" if job.categories else "give the job categories"
    refuse(where, f"job {job.name} has no category {name!r}", fix, "unknown_category")


def _check_required(asked: Iterable[str], given: set[str], where: str, context: Context) -> None:
    for name in asked:
        child = context.interface.jobs.get(name)
        if child is not None and child.required and name not in given:
            refuse(
                f"{where}.children.{name}",
                f"job {name} is required here",
                "answer it, make it optional, or allow partial answers",
                "missing_required_job",
            )
