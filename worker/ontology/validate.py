"""Is a json_response one that the project can take? Its jobs, and their objects, entities and relations."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import date
from typing import Any

from worker.ontology.compose_annotations import fits, reads
from worker.ontology.interface import ANY_CATEGORY, IGNORED_JOBS, RELATED, RELATION_ENDS, Interface, Job
from worker.ontology.validate_context import (
    Context,
    as_list,
    as_object,
    as_text,
    check_key_frame,
    check_score,
    is_int,
    refuse,
)
from worker.ontology.validate_parts import (
    check_categories,
    check_children,
    check_classification,
    check_comparison,
    check_geometry,
    check_pages,
    is_answered,
    refuse_unknown_job,
)


def rich_text_parts(content: object) -> dict[str, str]:
    """Return the texts of a rich text (a ``jsonContent``) by the ids of their elements, in reading order."""
    parts: dict[str, str] = {}
    waiting = [content]
    while waiting:
        element = waiting.pop()
        if isinstance(element, list):
            waiting += reversed(element)
        elif isinstance(element, Mapping):
            if isinstance(element.get("id"), str) and isinstance(element.get("text"), str):
                parts[element["id"]] = element["text"]
            waiting.append(element.get("children"))
    return parts


def check_parts(annotation: Mapping[str, Any], begin: int, end: int, where: str, parts: Mapping[str, str]) -> None:
    """Refuse an entity whose parts are not there, end before they begin, or do not reach to its offsets.

    What it says of its content is held against a text only within one part: what stands between two is not known.
    """
    order = list(parts)
    for key, offset in (("begin", begin), ("end", end)):
        part = annotation[f"{key}Id"]
        if part not in parts:
            fix = "send the id of an element that has a text"
            refuse(f"{where}.{key}Id", f"the rich text has no part {part!r}", fix, "offset_outside_text")
        if not fits(offset, parts[part]):
            problem = f"{offset} lies behind part {part!r}, which has {len(parts[part])} characters"
            refuse(f"{where}.{key}Offset", problem, "count within the part", "offset_outside_text")
    first, last = annotation["beginId"], annotation["endId"]
    if order.index(last) < order.index(first):
        problem = f"the entity ends in part {last!r}, before part {first!r}, where it begins"
        refuse(f"{where}.endId", problem, "send the parts in reading order", "offset_outside_text")
    content = annotation.get("content")
    if first == last and content is not None and not reads(begin, end, content, parts[first]):
        problem = f"{content!r} is not what part {first!r} has there: {parts[first][begin:end]!r}"
        refuse(f"{where}.content", problem, "send the text between the offsets, end exclusive", "content_mismatch")


DRAWN_FREELY = frozenset({"semantic", "polygon"})
"""Tools whose drawings may be the parts of one object in one frame; any other's are a track that is there twice."""


def check_objects(payload: Mapping[str, Any], job: Job, where: str, context: Context) -> None:
    """Check the annotations of an object detection job."""
    for place, annotation in _annotations(payload, where):
        names = _chosen(annotation, job, place, context)
        tool = _tool(annotation, job, place, context)
        _register(
            annotation, job, names, place, context, is_part=tool in DRAWN_FREELY or not context.interface.is_video
        )
        check_score(annotation.get("score"), f"{place}.score")
        if context.interface.is_pdf:
            check_pages(annotation.get("annotations"), tool, f"{place}.annotations")
        else:
            check_geometry(annotation, tool, (job, job.categories[names[0]]), place, context)


def check_entities(payload: Mapping[str, Any], job: Job, where: str, context: Context) -> None:
    """Check the annotations of a named entities job: offsets into a text, or areas of a PDF."""
    for place, annotation in _annotations(payload, where):
        names = _chosen(annotation, job, place, context)
        _register(annotation, job, names, place, context, is_part=False)
        if context.interface.is_pdf:
            check_pages(annotation.get("annotations"), None, f"{place}.annotations")
        else:
            _check_span(annotation, place, context)


def check_relations(payload: Mapping[str, Any], job: Job, where: str, context: Context) -> None:
    """Check the annotations of a relation job; the mids of the response must be known by now."""
    start, end = RELATION_ENDS[job.ml_task]
    for place, annotation in _annotations(payload, where):
        names = _chosen(annotation, job, place, context)
        _register(annotation, job, names, place, context, is_part=False)
        category = job.categories[names[0]]
        _check_end(annotation.get(start), job, category.starts, f"{place}.{start}", context)
        _check_end(annotation.get(end), job, category.ends, f"{place}.{end}", context)


def _annotations(payload: Mapping[str, Any], where: str) -> list[tuple[str, Mapping[str, Any]]]:
    place = f"{where}.annotations"
    items = as_list(payload.get("annotations"), place) if payload else []
    places = [f"{place}[{index}]" for index in range(len(items))]
    return [(place, as_object(item, place)) for place, item in zip(places, items, strict=True)]


def _chosen(annotation: Mapping[str, Any], job: Job, where: str, context: Context) -> tuple[str, ...]:
    names = check_categories(annotation.get("categories", []), job, f"{where}.categories", context)
    if not names:
        refuse(f"{where}.categories", "names no category", "send one category", "no_category")
    check_key_frame(annotation, where)
    check_children(annotation, names, job, where, context)
    return names


def _register(
    annotation: Mapping[str, Any], job: Job, names: tuple[str, ...], where: str, context: Context, *, is_part: bool
) -> None:
    if "mid" in annotation:
        context.register(annotation["mid"], job, names, f"{where}.mid", is_part=is_part)


def _tool(annotation: Mapping[str, Any], job: Job, where: str, context: Context) -> str:
    """PDF annotations may leave the tool out: they are rectangles then. Poses may be typed as their points are."""
    default = "rectangle" if context.interface.is_pdf else None
    tool = as_text(annotation.get("type", default), f"{where}.type")
    if tool == "marker" and "pose" in job.tools:
        return "pose" if "points" in annotation else tool
    if tool not in job.tools:
        found = ", ".join(job.tools) or "none"
        problem = f"job {job.name} has the tools {found}, not {tool!r}"
        refuse(f"{where}.type", problem, "use a tool of the job", "wrong_tool")
    return tool


def _check_span(annotation: Mapping[str, Any], where: str, context: Context) -> None:
    begin = _offset(annotation.get("beginOffset"), f"{where}.beginOffset")
    content = as_text(annotation["content"], f"{where}.content") if "content" in annotation else None
    parts = "beginId" in annotation or "endId" in annotation or context.parts is not None
    if parts:
        as_text(annotation.get("beginId"), f"{where}.beginId")
        as_text(annotation.get("endId"), f"{where}.endId")
    end = _end(annotation, begin, content, where)
    if end <= begin and not (parts and annotation["beginId"] != annotation["endId"]):
        refuse(
            f"{where}.endOffset",
            f"the entity ends at {end}, where it begins ({begin}) or before",
            "send the offset after its last character",
            "offset_outside_text",
        )
    if context.parts is not None:
        check_parts(annotation, begin, end, where, context.parts)
    elif context.text is not None and not parts:
        _check_text(begin, end, content, where, context.text)


def _end(annotation: Mapping[str, Any], begin: int, content: str | None, where: str) -> int:
    if "endOffset" in annotation:
        return _offset(annotation["endOffset"], f"{where}.endOffset")
    if content is None:
        refuse(f"{where}.endOffset", "is missing, and so is content", "send endOffset", "malformed")
    return begin + len(content)


def _offset(value: object, where: str) -> int:
    if not isinstance(value, int) or not is_int(value):
        refuse(where, f"must be a whole number, found {value!r}", "send an offset", "malformed")
    if value < 0:
        refuse(where, f"{value} lies before the text", "count from 0", "offset_outside_text")
    return value


def _check_text(begin: int, end: int, content: str | None, where: str, text: str) -> None:
    if not fits(end, text):
        refuse(
            f"{where}.endOffset",
            f"{end} lies behind the text, which has {len(text)} characters",
            "send offsets into the asset's text",
            "offset_outside_text",
        )
    if content is not None and not reads(begin, end, content, text):
        refuse(
            f"{where}.content",
            f"{content!r} is not what the text has there: {text[begin:end]!r}",
            "send the text between the offsets, end exclusive",
            "content_mismatch",
        )


def _check_end(value: object, job: Job, allowed: tuple[str, ...], where: str, context: Context) -> None:
    ends = as_list(value, where)
    if not ends:
        refuse(where, "is empty", "send at least one end", "dangling_relation")
    for index, item in enumerate(ends):
        place = f"{where}[{index}].mid"
        mid = as_text(as_object(item, f"{where}[{index}]").get("mid"), place)
        if mid not in context.mids:
            fix = "send the annotation too, or leave the relation out"
            refuse(place, f"no annotation has the mid {mid!r}", fix, "dangling_relation")
        known = context.mids[mid]
        names = [name for chosen in known.categories.values() for name in chosen]
        if known.ml_task != RELATED[job.ml_task]:
            problem = f"{mid!r} is of a {known.ml_task} job, the relation connects {RELATED[job.ml_task]}"
            refuse(place, problem, "connect what the relation is about", "wrong_relation_end")
        if allowed and ANY_CATEGORY not in allowed and not set(allowed) & {*names, *_shown(known.categories, context)}:
            problem = f"{mid!r} is {', '.join(names)}, the relation takes {', '.join(allowed)}"
            refuse(place, problem, "connect categories that the relation takes", "wrong_relation_end")


def _shown(chosen: Mapping[str, Iterable[str]], context: Context) -> set[str]:
    """What categories are displayed as: some interfaces name the ends of relations so."""
    jobs = context.interface.jobs
    return {jobs[job].categories[name].display_name for job, names in chosen.items() for name in names}


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


def _check_transcription(payload: Mapping[str, Any], job: Job, where: str, context: Context) -> None:  # noqa: ARG001
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
    "TRANSCRIPTION": _check_transcription,
    "FILE": _check_file,
}
