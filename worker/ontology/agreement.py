"""How two responses of one project agree.

Every measure is symmetric, lies in [0, 1] and is 1 for a response and itself. Each module named
``agreement_*`` states its formula and where it comes from.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from math import fsum
from typing import Any

from worker.ontology.agreement_annotations import AgreementPart, entities_agreement, objects_agreement
from worker.ontology.agreement_choice import choice_agreement, equality, text_agreement
from worker.ontology.interface import IGNORED_JOBS, RELATION_ENDS, Interface, Job
from worker.ontology.validate_categories import is_answered

Edge = tuple[tuple[str, ...], object, object]


def relations_agreement(
    a: Mapping[str, Any], b: Mapping[str, Any], job: Job, same: Sequence[tuple[object, object]]
) -> AgreementPart:
    """Return the F1 of the connections: categories, start and end must be the same.

    A relation with several starts or ends is all of their connections. Two ends are the same when the
    annotations they name were matched by content (``same`` pairs their mids; of several pairs the first counts).
    ``F1 = 2 · common / (connections of a + connections of b)``.
    """
    ranked = list(enumerate(same))[::-1]
    edges_a = _edges(a, job, "a", {one: index for index, (one, _) in ranked})
    edges_b = _edges(b, job, "b", {other: index for index, (_, other) in ranked})
    total = edges_a.total() + edges_b.total()
    common = (edges_a & edges_b).total()
    return AgreementPart(2.0 * common / total if total else 1.0, max(1.0, total - common))


def _edges(payload: Mapping[str, Any], job: Job, side: str, matched: Mapping[object, int]) -> Counter[Edge]:
    start, end = RELATION_ENDS[job.ml_task]
    edges: Counter[Edge] = Counter()
    for relation in payload.get("annotations") or ():
        names = tuple(sorted(item["name"] for item in relation.get("categories") or ()))
        starts, ends = ([item["mid"] for item in relation.get(key) or ()] for key in (start, end))
        for one, other in product(starts, ends):
            edges[names, matched.get(one, (side, one)), matched.get(other, (side, other))] += 1
    return edges


_ANNOTATED = frozenset({"OBJECT_DETECTION", "NAMED_ENTITIES_RECOGNITION", *RELATION_ENDS})

Payloads = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Agreement:
    """How two responses agree, 0-1: overall, and for each job that either of them answers.

    ``overall`` is the mean of ``jobs`` weighted by ``weights``: the number of annotations compared in a
    job, 1 for a job without annotations. It is 1 when neither response answers anything.
    """

    overall: float
    jobs: dict[str, float]
    weights: dict[str, float]


def agreement(a: Mapping[str, Any], b: Mapping[str, Any], interface: Interface) -> Agreement:
    """Compare two valid json_responses of one project.

    A video is compared frame by frame: a job's agreement is the mean over the frames in which either
    response answers it. Jobs that the interface does not have are left out.
    """
    parts: dict[str, list[AgreementPart]] = defaultdict(list)
    for jobs_a, jobs_b in _levels(a, b, interface):
        for name, part in _Comparison(interface).jobs(jobs_a, jobs_b).items():
            parts[name].append(part)
    jobs = {name: fsum(part.value for part in found) / len(found) for name, found in parts.items()}
    weights = {name: fsum(part.weight for part in found) / len(found) for name, found in parts.items()}
    return Agreement(_weighted(jobs, weights), jobs, weights)


def _levels(a: Payloads, b: Payloads, interface: Interface) -> Iterator[tuple[Payloads, Payloads]]:
    if not interface.is_video:
        yield a, b
        return
    for key in sorted((a.keys() | b.keys()) - IGNORED_JOBS):
        yield a.get(key) or {}, b.get(key) or {}


def _weighted(values: Mapping[str, float], weights: Mapping[str, float]) -> float:
    total = fsum(weights.values())
    if not total:
        return 1.0
    return min(1.0, fsum(values[name] * weights[name] for name in values) / total)


class _Comparison:
    """Compares the jobs of one response, or of one frame, and remembers which annotations matched."""

    def __init__(self, interface: Interface) -> None:
        self._interface = interface
        self._same: list[tuple[object, object]] = []

    def jobs(self, a: Payloads, b: Payloads) -> dict[str, AgreementPart]:
        """Compare the jobs either side answers; relations last, when the annotations are matched."""
        known = [job for job in self._interface.jobs.values() if job.name in a or job.name in b]
        asked = [job for job in known if _answers(a, job) or _answers(b, job)]
        asked.sort(key=lambda job: job.ml_task in RELATION_ENDS)
        return {job.name: self._part(a.get(job.name) or {}, b.get(job.name) or {}, job) for job in asked}

    def _nested(self, a: Payloads, b: Payloads) -> float | None:
        if not a and not b:
            return None
        parts = _Comparison(self._interface).jobs(a, b)
        values = {name: part.value for name, part in parts.items()}
        return _weighted(values, {name: part.weight for name, part in parts.items()}) if parts else None

    def _part(self, a: Any, b: Any, job: Job) -> AgreementPart:
        if job.ml_task == "CLASSIFICATION":
            return AgreementPart(choice_agreement(a, b, job, self._nested))
        if job.ml_task == "TRANSCRIPTION":
            return AgreementPart(text_agreement(a.get("text") or "", b.get("text") or ""))
        if job.ml_task in RELATION_ENDS:
            return relations_agreement(a, b, job, self._same)
        if job.ml_task not in _ANNOTATED:
            return AgreementPart(equality(a, b))
        part = self._annotated(a, b, job)
        self._same += part.same
        return part

    def _annotated(self, a: Payloads, b: Payloads, job: Job) -> AgreementPart:
        """Entities of a PDF are areas on its pages, as objects are."""
        if job.ml_task == "NAMED_ENTITIES_RECOGNITION" and not self._interface.is_pdf:
            return entities_agreement(a, b, self._nested)
        return objects_agreement(a, b, job, self._nested)


def _answers(payloads: Payloads, job: Job) -> bool:
    return is_answered(payloads.get(job.name), job)
