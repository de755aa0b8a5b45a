"""What the project's configuration says about how classes become categories."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(slots=True)
class Policy:
    """How a model's classes become a project's categories.

    - ``classes``: model class to category; wins over every other spelling.
    - ``threshold``: what a class of a multiple-choice job must reach, 0 to 1.
    - ``ignores_unknown``: a class without a category is left out, instead of refusing the answer.
    """

    classes: Mapping[str, str] = field(default_factory=dict)
    threshold: float = 0.5
    ignores_unknown: bool = False
