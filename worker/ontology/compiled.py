"""The text of a single choice, compiled class by class.

The general way composes and validates a response in which a class is certain, and its text is cut where the confidence
goes. So no rule stands here a second time. What only the general way can decide is left to it: ties, scores that are no
row of one choice, classes without a category, classes that share one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from pydantic_core import to_json

from worker.contract.output import OutputError
from worker.ontology.compose_classification import EVEN, percent
from worker.ontology.errors import OntologyError
from worker.ontology.interface import Interface

CERTAIN = '"confidence":100'
TOLERANCE = 0.01
"""How far a sum may be from 1 that every rule takes for that of a whole row."""

MOST_CLASSES = 10_000
"""So many are kept compiled."""

MOST_ROWS = 100
"""So many sets of classes are kept; a model has one, or sends its best classes alone."""

Respond = Callable[[Mapping[str, float]], Mapping[str, Any]]
Text = tuple[str, str]
"""What stands before and behind the confidence."""


class CompiledChoice:
    """The responses to scores by class, as text, for one interface, job and configuration."""

    def __init__(self, interface: Interface) -> None:
        self._interface = interface
        self._texts: dict[str, Text | None] = {}
        self._rows: dict[tuple[str, ...], tuple[Text, ...] | None] = {}
        self._needs_majority: bool | None = None

    def text(self, scores: Mapping[str, float], respond: Respond) -> str | None:
        """What the general way would write; None where only that can tell.

        Args:
            scores: probabilities by class, at least one.
            respond: the general way, which raises OntologyError or OutputError for what the project does not take.
        """
        values = list(scores.values())
        top, total = max(values), sum(values)
        if total > 1 + TOLERANCE or values.count(top) > 1:
            return None
        texts = self._row(tuple(scores), respond)
        if texts is None:
            return None
        if top <= EVEN and (total < 1 - TOLERANCE or self._is_majority_needed(scores, respond)):
            return None
        before, behind = texts[values.index(top)]
        return f"{before}{percent(top)}{behind}"

    def _row(self, labels: tuple[str, ...], respond: Respond) -> tuple[Text, ...] | None:
        """The texts of a row's classes; None where one has none, or two share one."""
        if labels in self._rows:
            return self._rows[labels]
        texts = [text for text in (self._compiled(label, respond) for label in labels) if text is not None]
        row = tuple(texts) if len(set(texts)) == len(labels) else None
        if len(self._rows) >= MOST_ROWS:
            self._rows.clear()
        self._rows[labels] = row
        return row

    def _compiled(self, label: str, respond: Respond) -> Text | None:
        text = self._texts.get(label)
        if label not in self._texts:
            text = _cut(self._composed({label: 1.0}, respond))
            if len(self._texts) >= MOST_CLASSES:
                self._texts.clear()
            self._texts[label] = text
        return text

    def _composed(self, scores: Mapping[str, float], respond: Respond) -> str:
        """The text of a response that answers one single choice; nothing where there is none."""
        try:
            response = respond(scores)
        except (OntologyError, OutputError):
            return ""
        jobs = [self._interface.jobs.get(name) for name in response]
        is_choice = len(jobs) == 1 and jobs[0] is not None and jobs[0].single_choice
        return to_json(response).decode() if is_choice else ""

    def _is_majority_needed(self, labels: Iterable[str], respond: Respond) -> bool:
        """Whether a whole row has no answer where no class has the majority; configuration decides it."""
        if self._needs_majority is None:
            first, *others = labels
            if len(others) < 2:
                return True
            text, row = self._compiled(first, respond), {first: 0.4} | dict.fromkeys(others, 0.6 / len(others))
            self._needs_majority = text is None or self._composed(row, respond) != f"{text[0]}40{text[1]}"
        return self._needs_majority


def _cut(text: str) -> Text | None:
    before, mark, behind = text.partition(CERTAIN)
    return (before + mark.removesuffix("100"), behind) if mark and CERTAIN not in behind else None
