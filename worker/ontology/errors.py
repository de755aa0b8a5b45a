"""What can be wrong with a project's interface, or with an answer to it.

::

    ValueError
     ├── InterfaceError   the jsonInterface itself cannot be read
     └── OntologyError    an answer does not fit the interface; ``cause`` groups dead letters
"""

from __future__ import annotations

from typing import Literal, get_args

Cause = Literal[
    # the class, the job or the tool
    "unknown_class",
    "ambiguous_class",
    "unknown_category",
    "category_by_display_name",
    "unknown_job",
    "ambiguous_job",
    "no_fitting_job",
    "wrong_tool",
    "unknown_point",
    # the choice
    "no_category",
    "several_categories",
    "duplicate_category",
    "missing_required_job",
    "wrong_parent",
    "child_at_root",
    # the numbers
    "missing_score",
    "bad_score",
    "not_a_distribution",
    "bad_confidence",
    # the geometry
    "too_few_vertices",
    "too_many_vertices",
    "outside_image",
    "not_finite",
    "bad_page",
    "page_missing",
    # the text
    "offset_outside_text",
    "content_mismatch",
    "bad_text",
    # the identity
    "duplicate_mid",
    "empty_mid",
    "dangling_relation",
    "wrong_relation_end",
    # the frames
    "bad_frame",
    "duplicate_frame",
    "frames_missing",
    # the form
    "malformed",
    "unknown_key",
    "not_expressible",
]
"""Stable words for why an answer was refused."""

CAUSES: tuple[Cause, ...] = get_args(Cause)


class InterfaceError(ValueError):
    """A ``jsonInterface`` that cannot be read: names the field and what is wrong with it."""

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(field, problem)
        self.field = field
        self.problem = problem

    def __str__(self) -> str:
        return f"{self.field}: {self.problem}"


class OntologyError(ValueError):
    """An answer that does not fit the project's interface: names the field, the problem and the fix."""

    def __init__(self, field: str, problem: str, fix: str, cause: Cause) -> None:
        super().__init__(field, problem, fix, cause)
        self.field = field
        self.problem = problem
        self.fix = fix
        self.cause = cause

    def __str__(self) -> str:
        return f"{self.field}: {self.problem}; {self.fix}"
