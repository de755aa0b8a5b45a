"""From a model's class names to a job's categories."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from worker.ontology.errors import OntologyError
from worker.ontology.interface import Category, Job


@dataclass(slots=True)
class ClassPolicy:
    """How a model's classes become a project's categories.

    - ``classes``: model class to category; wins over every other spelling.
    - ``threshold``: what a class of a multiple-choice job must reach, 0 to 1.
    - ``ignores_unknown``: a class without a category is left out, instead of refusing the answer.
    """

    classes: Mapping[str, str] = field(default_factory=dict)
    threshold: float = 0.5
    ignores_unknown: bool = False


NEAR = 0.6
"""How alike (difflib's ratio) a name must be to be offered for another."""

MOST_LISTED = 8


def category_of(label: str, job: Job, classes: Mapping[str, str], field: str) -> str | None:
    """Find the category that a model's class stands for, None when the project has none.

    A class that the configured map names is looked up under its mapped name only. The spellings are
    tried strictest first: exact name, name in any case, display name, display name in any case.
    Raises :class:`OntologyError` (``ambiguous_class``) when a spelling fits several categories.
    """
    word = classes.get(label, label)
    if word in job.categories:
        return word
    folded = word.casefold()
    for table, key in zip(job.spellings, (folded, word, folded), strict=True):
        names = table.get(key)
        if names is not None:
            return _only(names, word, job, field)
    return None


def unknown_class(label: str, job: Job, classes: Mapping[str, str], field: str) -> OntologyError:
    """Say that the project has no category for a class, and name the nearest one."""
    word = classes.get(label, label)
    mapped = f" (mapped to {word!r})" if word != label else ""
    near = nearest(word, _names(job))
    to = f"for example to {near!r}" if near else f"to one of {listed(job.categories)}"
    known = f"map it, {to}, under categories in the projects file, or " if job.categories else ""
    fix = f"{known}add the category to the project"
    return OntologyError(field, f"no category of job {job.name} for class {label!r}{mapped}", fix, "unknown_class")


def nearest(word: str, names: Mapping[str, str] | Iterable[str]) -> str | None:
    """Pick the known name that looks most like a word, None when none is near.

    A mapping gives other spellings of its values.
    """
    known = names if isinstance(names, Mapping) else {name: name for name in names}
    folded = {spelling.casefold(): name for spelling, name in known.items()}
    found = difflib.get_close_matches(word.casefold(), folded, n=1, cutoff=NEAR)
    return folded[found[0]] if found else None


def point_code(name: str, category: Category, field: str) -> str:
    """Find the code of a pose's point: by code or displayed name, exact or in any case.

    A category that lists no points takes every name. Raises :class:`OntologyError` (``unknown_point``).
    """
    folded = name.casefold()
    for point in category.points:
        if folded in (point.code.casefold(), point.name.casefold()):
            return point.code
    if not category.points:
        return name
    near = nearest(name, [point.code for point in category.points])
    offered = f", for example {near}" if near else f": {listed(point.code for point in category.points)}"
    fix = f"name one of its points{offered}"
    raise OntologyError(field, f"category {category.name} has no point {name!r}", fix, "unknown_point")


def nearest_category(word: str, job: Job) -> str | None:
    """Pick the category whose name or display name looks most like a word."""
    return nearest(word, _names(job))


def listed(names: Iterable[str]) -> str:
    """The names, no more than can be read."""
    known = list(names)
    return ", ".join(known[:MOST_LISTED]) + (
        f" and {len(known) - MOST_LISTED} more" if len(known) > MOST_LISTED else ""
    )


def _names(job: Job) -> dict[str, str]:
    shown = {category.display_name: category.name for category in job.categories.values()}
    return shown | {name: name for name in job.categories}


def _only(names: tuple[str, ...], word: str, job: Job, field: str) -> str:
    if len(names) == 1:
        return names[0]
    choice = ", ".join(names)
    raise OntologyError(
        field,
        f"class {word!r} could be any of {choice} of job {job.name}",
        "map the class to one of them under categories in the projects file",
        "ambiguous_class",
    )
