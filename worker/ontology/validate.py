"""Is a json_response one that the project can take?"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import date
from typing import Any

from worker.ontology.interface import IGNORED_JOBS, RELATION_ENDS, Interface, Job
from worker.ontology.validate_annotations import check_entities, check_objects, check_relations
from worker.ontology.validate_categories import check_classification, check_comparison, is_answered, refuse_unknown_job
from worker.ontology.validate_context import Context, as_object, as_text, refuse

ASSET_LEVEL = "assetLevel"
"""Where a video's response keeps the jobs that are asked about the whole asset."""

_FRAME = re.compile(r"0|[1-9][0-9]*")


def validate(
    json_response: Mapping[str, Any],
    interface: Interface,
    *,
    text: str | None = None,
    parts: Mapping[str, str] | None = None,
    partial: bool = False,
    georeferenced: bool = False,
) -> None:
    """Refuse a json_response that Kili would refuse or silently break.

    ``text`` is the asset's text, against which entities are checked; ``parts`` are the texts of a rich text by id,
    in their order; ``partial`` allows required jobs to be
    left open; ``georeferenced`` says that the asset is an image with a place on the map, on which an ``IMAGE``
    project takes longitude and latitude. Jobs of unknown kinds pass unchecked. Raises :class:`OntologyError`, whose
    field is a path such as ``JOB.annotations[3].boundingPoly[0].normalizedVertices[2].x``.
    """
    response = as_object(json_response, "json_response")
    context = Context(interface, text, partial, _check_payload, georeferenced, parts)
    answered = _check_video(response, context) if interface.is_video else _check_jobs(response, "", context)
    if not partial:
        _check_required(interface, answered)


def _check_video(response: Mapping[str, Any], context: Context) -> set[str]:
    answered: set[str] = set()
    for key, jobs in response.items():
        if key in IGNORED_JOBS:
            continue
        if key != ASSET_LEVEL and not _FRAME.fullmatch(key):
            refuse(key, "is no frame number", "send the jobs by frame: {'0': {job: …}, …}", "bad_frame")
        context.mids.clear()
        answered |= _check_jobs(as_object(jobs, key), f"{key}.", context)
    return answered


def _check_jobs(response: Mapping[str, Any], prefix: str, context: Context) -> set[str]:
    """Check the jobs at the top of a response or a frame; relations last, when all mids are known."""
    jobs = [_root_job(name, f"{prefix}{name}", context) for name in response if name not in IGNORED_JOBS]
    in_turn = jobs if len(jobs) == 1 else sorted(jobs, key=lambda job: job.ml_task in RELATION_ENDS)
    for job in in_turn:
        _check_payload(response[job.name], job, f"{prefix}{job.name}", context)
    return {job.name for job in jobs if is_answered(response[job.name], job)}


def _root_job(name: str, where: str, context: Context) -> Job:
    job = context.interface.jobs.get(name)
    if job is None:
        refuse_unknown_job(name, where, context)
    if job.is_child:
        fix = "put it into children of the category that asks it"
        refuse(where, f"job {name} is asked only under a category", fix, "child_at_root")
    return job


def _check_payload(payload: object, job: Job, where: str, context: Context) -> None:
    check = CHECKS.get(job.ml_task)
    if check is not None:
        check(as_object(payload, where), job, where, context)


def _check_text(payload: Mapping[str, Any], job: Job, where: str, context: Context) -> None:  # noqa: ARG001
    if not payload:
        return
    text = as_text(payload.get("text"), f"{where}.text")
    if job.input == "date" and not _is_date(text):
        refuse(f"{where}.text", f"{text!r} is no date", "send year-month-day: 2024-12-31", "bad_text")
    if job.input == "number" and not _is_number(text):
        refuse(f"{where}.text", f"{text!r} is no number", "send digits", "bad_text")


def _is_date(text: str) -> bool:
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _check_file(payload: Mapping[str, Any], job: Job, where: str, context: Context) -> None:  # noqa: ARG001
    if payload and not as_text(payload.get("fileId"), f"{where}.fileId"):
        refuse(f"{where}.fileId", "is empty", "upload the file first and send its id", "malformed")


def _check_required(interface: Interface, answered: Iterable[str]) -> None:
    for job in interface.root_jobs:
        if job.required and job.name not in answered:
            refuse(
                job.name,
                f"job {job.name} is required and not answered",
                "answer it, make it optional, or allow partial answers",
                "missing_required_job",
            )


CHECKS: Mapping[str, Callable[[Mapping[str, Any], Job, str, Context], None]] = {
    "CLASSIFICATION": check_classification,
    "COMPARISON": check_comparison,
    "OBJECT_DETECTION": check_objects,
    "NAMED_ENTITIES_RECOGNITION": check_entities,
    "NAMED_ENTITIES_RELATION": check_relations,
    "OBJECT_RELATION": check_relations,
    "TRANSCRIPTION": _check_text,
    "FILE": _check_file,
}
