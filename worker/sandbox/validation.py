"""Does a json_response fit the interface? The first thing that is wrong, in words, or nothing.

Checked: the jobs and where they stand, categories and how many, children, geometry by tool, offsets, mids and the
relations between them, texts. Confidences must be numbers from 0 to 100. Tasks without a public description of
their payload pass unread. Whether Kili is as strict is not known; a client that passes here does not depend on it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeGuard

from .interface import Job

#: Keys that Kili's own interface adds next to the jobs.
BOOKKEEPING = frozenset({"ANNOTATION_JOB_COUNTER", "ANNOTATION_NAMES_JOB", "ROTATION_JOB"})
ASSET_LEVEL = "assetLevel"

#: Coordinates are 0 to 1, on maps degrees or metres; beyond this they mean nothing.
FAR = 1e9

Jobs = Mapping[str, Job]


class Malformed(ValueError):
    """The reason why a json_response is refused."""


def check_json_response(text: str, jobs: Jobs, *, is_video: bool) -> None:
    """Raise Malformed when a json_response (a JSON string) does not fit the jobs of the interface."""
    response = _parse(text)
    for place, part in _parts(response, is_video=is_video):
        mids: set[str] = set()
        for name, payload in part.items():
            if name not in BOOKKEEPING:
                _check_job(place, name, payload, jobs, mids, child_of=None)
        _check_relations(part, jobs, mids)


def _parse(text: str) -> dict[str, Any]:
    try:
        response = DECODER.decode(text)
    except (ValueError, RecursionError) as error:
        raise Malformed(f"it is not valid JSON: {error}") from error
    return _object(response, "the response")


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is no JSON number")


DECODER = json.JSONDecoder(parse_constant=_refuse_constant)


def _parts(response: dict[str, Any], *, is_video: bool) -> Iterator[tuple[str, dict[str, Any]]]:
    if not is_video:
        yield "", response
        return
    for frame, part in response.items():
        if frame != ASSET_LEVEL and not frame.isdecimal():
            raise Malformed(f"'{frame}' is no frame number")
        yield f"frame {frame}, ", _object(part, f"frame {frame}")


def _check_job(
    place: str, name: str, payload: Any, jobs: Jobs, mids: set[str], child_of: frozenset[str] | None
) -> None:
    where = f"{place}job '{name}'"
    job = jobs.get(name)
    if job is None:
        raise Malformed(f"{where} is not in the interface")
    if job.is_child != (child_of is not None):
        raise Malformed(f"{where} {'is a child job' if job.is_child else 'is no child job'}")
    if child_of is not None and name not in child_of:
        raise Malformed(f"{where} is no child of the chosen category")
    check = CHECKS.get(job.task)
    if check is not None:
        check(where, job, _object(payload, where), jobs, mids)


def _check_classification(where: str, job: Job, payload: dict[str, Any], jobs: Jobs, mids: set[str]) -> None:
    chosen = _categories(where, job, payload)
    if job.is_single and len(chosen) > 1:
        raise Malformed(f"{where} takes one category, not {len(chosen)}")
    _check_children(where, job, chosen, payload, jobs, mids)


def _check_objects(where: str, job: Job, payload: dict[str, Any], jobs: Jobs, mids: set[str]) -> None:
    for annotation in _annotations(where, payload):
        tool = str(annotation.get("type"))
        if job.tools and tool not in job.tools:
            raise Malformed(f"{where}: type '{tool}' is none of {', '.join(sorted(job.tools))}")
        _take_mid(where, annotation, mids, needed=True)
        chosen = _categories(where, job, annotation)
        _check_children(where, job, chosen, annotation, jobs, mids)
        if "annotations" not in annotation:
            _check_geometry(where, tool, annotation)


def _check_entities(where: str, job: Job, payload: dict[str, Any], jobs: Jobs, mids: set[str]) -> None:
    for annotation in _annotations(where, payload):
        _take_mid(where, annotation, mids, needed=True)
        chosen = _categories(where, job, annotation)
        _check_children(where, job, chosen, annotation, jobs, mids)
        if "annotations" not in annotation and not isinstance(annotation.get("beginOffset"), int):
            raise Malformed(f"{where}: beginOffset must be an integer")
        if not isinstance(annotation.get("content", ""), str):
            raise Malformed(f"{where}: content must be a text")


def _check_relation(where: str, job: Job, payload: dict[str, Any], jobs: Jobs, mids: set[str]) -> None:
    del jobs
    for annotation in _annotations(where, payload):
        _take_mid(where, annotation, mids, needed=False)
        _categories(where, job, annotation)


def _check_transcription(where: str, job: Job, payload: dict[str, Any], jobs: Jobs, mids: set[str]) -> None:
    del job, jobs, mids
    if not isinstance(payload.get("text"), str):
        raise Malformed(f"{where}: text must be a text")


def _check_file(where: str, job: Job, payload: dict[str, Any], jobs: Jobs, mids: set[str]) -> None:
    del job, jobs, mids
    if not isinstance(payload.get("fileId"), str):
        raise Malformed(f"{where}: fileId must be a text")


Check = Callable[[str, Job, dict[str, Any], Jobs, set[str]], None]

CHECKS: Mapping[str, Check] = {
    "CLASSIFICATION": _check_classification,
    "OBJECT_DETECTION": _check_objects,
    "NAMED_ENTITIES_RECOGNITION": _check_entities,
    "NAMED_ENTITIES_RELATION": _check_relation,
    "OBJECT_RELATION": _check_relation,
    "TRANSCRIPTION": _check_transcription,
    "FILE": _check_file,
}

#: The two ends of a relation, by task.
ENDS = {
    "NAMED_ENTITIES_RELATION": ("startEntities", "endEntities"),
    "OBJECT_RELATION": ("startObjects", "endObjects"),
}


def _check_relations(part: dict[str, Any], jobs: Jobs, mids: set[str]) -> None:
    for name, payload in part.items():
        job = jobs.get(name)
        for end in ENDS.get(job.task, ()) if job else ():
            for annotation in payload["annotations"]:
                for reference in _list(annotation.get(end), f"job '{name}': {end}"):
                    mid = _object(reference, f"job '{name}': {end}").get("mid")
                    if not isinstance(mid, str) or mid not in mids:
                        raise Malformed(f"job '{name}': no annotation has the mid '{mid}'")


def _categories(where: str, job: Job, holder: dict[str, Any]) -> list[dict[str, Any]]:
    chosen = _list(holder.get("categories"), f"{where}: categories")
    for category in chosen:
        name = _object(category, f"{where}: a category").get("name")
        if not isinstance(name, str) or name not in job.categories:
            raise Malformed(f"{where} has no category '{name}'")
        _check_confidence(where, category.get("confidence"))
    return chosen


def _check_confidence(where: str, confidence: Any) -> None:
    if confidence is None:
        return
    if not is_number(confidence) or not 0 <= confidence <= 100:
        raise Malformed(f"{where}: confidence {confidence!r} is no number from 0 to 100")


def _check_children(
    where: str, job: Job, chosen: list[dict[str, Any]], holder: dict[str, Any], jobs: Jobs, mids: set[str]
) -> None:
    allowed = frozenset[str]().union(*(job.children[category["name"]] for category in chosen))
    for owner in (holder, *chosen):
        for name, payload in _object(owner.get("children") or {}, f"{where}: children").items():
            _check_job(f"{where}, ", name, payload, jobs, mids, child_of=allowed)


def _annotations(where: str, payload: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for annotation in _list(payload.get("annotations"), f"{where}: annotations"):
        yield _object(annotation, f"{where}: an annotation")


def _take_mid(where: str, annotation: dict[str, Any], mids: set[str], *, needed: bool) -> None:
    mid = annotation.get("mid")
    if mid is None and not needed:
        return
    if not isinstance(mid, str) or not mid:
        raise Malformed(f"{where}: mid must be a text that is not empty")
    if mid in mids:
        raise Malformed(f"{where}: the mid '{mid}' occurs twice")
    mids.add(mid)


def _check_geometry(where: str, tool: str, annotation: dict[str, Any]) -> None:
    if tool not in GEOMETRY:
        return
    key, least = GEOMETRY[tool]
    for ring in _rings(where, key, annotation.get(key)):
        if len(ring) < least:
            raise Malformed(f"{where}: {key} of a {tool} needs {least} points, not {len(ring)}")
        for point in ring:
            _check_point(where, point)


def _rings(where: str, key: str, shape: Any) -> list[list[Any]]:
    match key:
        case "boundingPoly":
            polygons = [_object(ring, f"{where}: {key}") for ring in _list(shape, f"{where}: {key}")]
            return [_list(ring.get("normalizedVertices"), f"{where}: {key}") for ring in polygons] or [[]]
        case "point":
            return [[shape]]
        case "points":
            markers = [_object(marker, f"{where}: {key}") for marker in _list(shape, f"{where}: {key}")]
            return [[marker.get("point") for marker in markers]]
        case _:
            return [_list(shape, f"{where}: {key}")]


#: Where a tool's geometry is, and the least number of points.
GEOMETRY = {
    "rectangle": ("boundingPoly", 4),
    "polygon": ("boundingPoly", 3),
    "semantic": ("boundingPoly", 3),
    "marker": ("point", 1),
    "polyline": ("polyline", 2),
    "vector": ("polyline", 2),
    "pose": ("points", 1),
}


def _check_point(where: str, point: Any) -> None:
    for axis in ("x", "y"):
        value = _object(point, f"{where}: a point").get(axis)
        if not is_number(value) or not -FAR < value < FAR:
            raise Malformed(f"{where}: {axis} of a point must be a number, not {value!r}")


def is_number(value: Any) -> TypeGuard[int | float]:
    """Tell whether a JSON value is a number."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def _object(value: Any, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise Malformed(f"{what} must be an object")
    return value


def _list(value: Any, what: str) -> list[Any]:
    if not isinstance(value, list):
        raise Malformed(f"{what} must be a list")
    return value
