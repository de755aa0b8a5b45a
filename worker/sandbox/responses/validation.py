"""Does a jsonResponse fit the project's interface? The first thing that is wrong, as text, or nothing.

How strict Kili is with predictions is not known: `strict` holds them to every rule that Kili's public material shows,
`lenient` to the two that its server is known to have. People may leave required jobs open.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import date
from typing import Any, NamedTuple

from worker.sandbox.records import Asset
from worker.sandbox.responses.annotations import (
    ANNOTATED,
    RELATIONS,
    Identities,
    check_annotation,
    check_relation,
    read_categories,
)
from worker.sandbox.responses.reading import (
    AnnotatedContent,
    Category,
    Interface,
    Job,
    Json,
    Malformed,
    a_list,
    a_name,
    a_text,
    an_object,
    check_key_frame,
    inside,
    may_be_georeferenced,
    refuse,
    rich_text_parts,
)
from worker.sandbox.store import Buckets


def check_leniently(response: Any, interface: Interface) -> None:
    """Raise Malformed for a response that names a job or category the project does not have."""
    for name, payload, where in _answers(an_object(response, ""), interface):
        job = interface.jobs.get(name)
        if job is None:
            refuse(where, f"the project has no job {name!r}; it has {', '.join(interface.jobs)}")
        _check_names(payload, job, interface, where)


def _answers(response: dict[str, Any], interface: Interface) -> Iterator[tuple[str, Any, str]]:
    scenes = [("", response)]
    if interface.input_type in BY_FRAME:
        scenes = [(key, value) for key, value in response.items() if key.isdecimal() or key == WHOLE]
        scenes.append(("", {key: value for key, value in response.items() if key not in dict(scenes)}))
    for where, jobs in scenes:
        for name, payload in jobs.items() if isinstance(jobs, dict) else ():
            if name not in NO_JOBS:
                yield name, payload, inside(where, name)


def _check_names(value: Any, job: Job, interface: Interface, where: str) -> None:
    for index, item in enumerate(value) if isinstance(value, list) else ():
        _check_names(item, job, interface, inside(where, index))
    for key, inner in value.items() if isinstance(value, dict) else ():
        here = inside(where, key)
        if key == "children" and isinstance(inner, dict):
            for name, payload in inner.items():
                if name not in interface.jobs:
                    refuse(inside(here, name), f"the project has no job {name!r}")
                _check_names(payload, interface.jobs[name], interface, inside(here, name))
            continue
        if key == "categories" and isinstance(inner, list):
            _check_chosen(inner, job, here)
        _check_names(inner, job, interface, here)


def _check_chosen(chosen: list[Any], job: Job, where: str) -> None:
    for index, category in enumerate(chosen):
        name = category.get("name") if isinstance(category, dict) else None
        if isinstance(name, str) and job.categories and name not in job.categories:
            refuse(inside(inside(where, index), "name"), f"the job {job.name} has no category {name!r}")


#: Entries of a response that are no jobs.
NO_JOBS = frozenset({"ANNOTATION_JOB_COUNTER", "ANNOTATION_NAMES_JOB", "ROTATION_JOB"})
#: Where a video's answers to the whole of it lie.
WHOLE = "assetLevel"
#: What a field for numbers takes.
NUMBER = re.compile(r"[+-]?\d*\.?\d+(e[+-]?\d+)?", re.IGNORECASE | re.ASCII)
BY_FRAME = frozenset({"VIDEO", "VIDEO_LEGACY"})

Placed = tuple[Job, Json, Category, str]


class Below(NamedTuple):
    """Answers to child jobs, where they stand, and the categories that may ask for them."""

    where: str
    source: Any
    parents: list[Category]


def check_strictly(response: Any, interface: Interface, asset_content: AnnotatedContent, *, partial: bool) -> None:
    """Raise Malformed for the first thing that is wrong; `partial` lets required jobs stay open."""
    _Check(interface, asset_content, partial=partial).response(an_object(response, ""))


class _Check:
    """One response under examination."""

    def __init__(self, interface: Interface, asset_content: AnnotatedContent, *, partial: bool) -> None:
        self._interface = interface
        self._asset_content = asset_content
        self._partial = partial
        self._known: dict[tuple[str, str], set[str]] = {}
        self._relations: list[Placed] = []
        self._answered: set[str] = set()

    def response(self, response: Json) -> None:
        if self._interface.input_type in BY_FRAME:
            for frame, content in response.items():
                if frame != WHOLE and not (frame.isascii() and frame.isdecimal() and str(int(frame)) == frame):
                    refuse(frame, "a video is answered by frame: the key must be a frame's number, such as '0'")
                self._scene(an_object(content, frame), frame)
        else:
            self._scene(response, "")
        for job, annotation, category, where in self._relations:
            check_relation(job, annotation, category, where, self._known)
        self._check_required(self._interface.jobs.values(), self._answered, "")

    def _scene(self, jobs: Json, where: str) -> None:
        """Check the answers to one asset, or to one frame."""
        identities = Identities()
        for name, payload in jobs.items():
            here = inside(where, name)
            if name in NO_JOBS:
                continue
            job = self._job(name, here)
            if job.is_child:
                refuse(here, f"the job {name} belongs below its parent")
            if self._payload(job, payload, here, identities):
                self._answered.add(name)

    def _job(self, name: str, where: str) -> Job:
        job = self._interface.jobs.get(name)
        if job is None:
            refuse(where, f"the project has no job {name!r}; it has {', '.join(self._interface.jobs)}")
        return job

    def _check_required(self, jobs: Iterable[Job], answered: set[str], where: str) -> None:
        for job in jobs:
            if job.required and not self._partial and job.name not in answered and (where or not job.is_child):
                refuse(inside(where, job.name), f"the job {job.name} is required")

    def _payload(self, job: Job, payload: Any, where: str, identities: Identities) -> bool:
        """Check the answer to one job; tell whether it is one."""
        source = an_object(payload, where)
        check_key_frame(source, where)
        if job.task == "CLASSIFICATION":
            return self._choice(job, source, where, identities)
        if job.task in ANNOTATED:
            return self._annotations(job, source, where, identities)
        if job.task == "TRANSCRIPTION":
            return _check_text(job, source, where)
        if job.task == "FILE":
            return bool(source) and bool(a_name(source.get("fileId"), inside(where, "fileId")))
        if job.task == "COMPARISON":
            return _check_comparison(job, source, where)
        return bool(source)

    def _choice(self, job: Job, source: Json, where: str, identities: Identities) -> bool:
        if "categories" not in source:
            if source.get("annotations") or source.keys() - {"isKeyFrame", "annotations", "children"}:
                refuse(inside(where, "categories"), "the choice is missing")
            return False
        chosen = read_categories(job, source, where)
        if len(chosen) > 1 and job.takes_one:
            names = ", ".join(category.name for category, _, _ in chosen)
            refuse(inside(where, "categories"), f"the input {job.input} takes one category, not several: {names}")
        categories = [category for category, _, _ in chosen]
        below = [Below(inside(here, "children"), value.get("children"), [category]) for category, value, here in chosen]
        beside = Below(inside(where, "children"), source.get("children"), categories)
        self._children(categories, [*below, beside], chosen[0][2] if len(chosen) == 1 else where, identities)
        return bool(chosen)

    def _annotations(self, job: Job, source: Json, where: str, identities: Identities) -> bool:
        if not source.keys() - {"isKeyFrame"}:
            return False
        key = inside(where, "annotations")
        for index, annotation in enumerate(a_list(source.get("annotations"), key)):
            here = inside(key, index)
            category = check_annotation(job, annotation, here, self._interface, self._asset_content)
            identities.add(job, annotation, category, here)
            if job.task in RELATIONS:
                self._relations.append((job, annotation, category, here))
            elif annotation.get("mid") is not None:
                self._known.setdefault((job.task, annotation["mid"]), set()).update((category.name, category.shown))
            own = Below(inside(here, "children"), annotation.get("children"), [category])
            inner = Below(
                inside(here, "categories[0].children"), annotation["categories"][0].get("children"), [category]
            )
            self._children([category], [own, inner], here, identities)
            self._points(annotation, here, identities)
        return True

    def _points(self, annotation: Json, where: str, identities: Identities) -> None:
        """Points of a pose may have answers of their own; no interface says to which jobs, so any child will do."""
        for index, point in enumerate(annotation.get("points") or ()):
            key = inside(inside(inside(where, "points"), index), "children")
            for name, payload in an_object(point.get("children") or {}, key).items():
                self._payload(self._job(name, inside(key, name)), payload, inside(key, name), identities)

    def _children(self, parents: list[Category], below: list[Below], where: str, identities: Identities) -> None:
        answered = set()
        for place in below:
            for name, payload in an_object(place.source if place.source is not None else {}, place.where).items():
                here = inside(place.where, name)
                job = self._job(name, here)
                if not any(name in category.children for category in place.parents):
                    parents_here = ", ".join(category.name for category in place.parents) or "nothing chosen"
                    refuse(here, f"the job {name} does not belong below {parents_here}")
                if self._payload(job, payload, here, identities):
                    answered.add(name)
        names = {name for category in parents for name in category.children}
        asked = [self._interface.jobs[name] for name in sorted(names) if name in self._interface.jobs]
        self._check_required(asked, answered, inside(where, "children"))


def _check_text(job: Job, source: Json, where: str) -> bool:
    if not source.keys() - {"isKeyFrame"}:
        return False
    key = inside(where, "text")
    text = a_text(source.get("text"), key)
    if text and job.input == "date" and not _is_date(text):
        refuse(key, f"{text!r} is no date such as 2026-11-01")
    if text and job.input == "number" and not NUMBER.fullmatch(text):
        refuse(key, f"{text!r} is no number")
    return bool(text)


def _is_date(text: str) -> bool:
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


def _check_comparison(job: Job, source: Json, where: str) -> bool:
    if not source:
        return False
    key = inside(where, "choice")
    choice = an_object(source.get("choice"), key)
    code = a_text(choice.get("code"), inside(key, "code"))
    if code not in job.categories:
        refuse(inside(key, "code"), f"the job {job.name} has no option {code!r}; it has {', '.join(job.categories)}")
    for name in ("firstId", "secondId"):
        a_name(choice.get(name), inside(key, name))
    return True


def content_of(asset: Asset, input_type: str, buckets: Buckets) -> AnnotatedContent:
    """Return what is known of an asset; a content that lies elsewhere is not fetched."""
    if input_type == "TEXT":
        if asset.json_content:
            return AnnotatedContent(parts=_parts(asset.json_content, buckets))
        return AnnotatedContent(text=_text(asset.content, buckets))
    if input_type == "IMAGE":
        found = buckets.read_url(asset.content)
        return AnnotatedContent(is_georeferenced=may_be_georeferenced(asset.content, found[1] if found else ""))
    return AnnotatedContent()


def _text(content: str, buckets: Buckets) -> str | None:
    if "://" not in content:
        return content or None
    found = buckets.read_url(content)
    return found[0].decode("utf-8", "replace") if found else None


def _parts(content: str, buckets: Buckets) -> dict[str, str] | None:
    found = buckets.read_url(content) if "://" in content.partition("[")[0] else (content.encode(), "")
    rich: Any = None
    with suppress(ValueError):
        rich = json.loads(found[0]) if found else None
    return rich_text_parts(rich) or None


def check_json_response(
    response: str,
    interface: Interface,
    *,
    text: str | None = None,
    asset_content: AnnotatedContent | None = None,
    partial: bool = False,
    lenient: bool = False,
) -> None:
    """Raise Malformed when a json_response (a JSON string) does not fit the interface.

    `ground` is what is known of the asset (`text` alone is a shorter way), `partial` lets required jobs stay open.
    """
    parsed = parse_response(response)
    try:
        if lenient:
            check_leniently(parsed, interface)
        else:
            check_strictly(parsed, interface, asset_content or AnnotatedContent(text=text), partial=partial)
    except RecursionError as error:
        raise Malformed("it is nested too deep") from error


def parse_response(response: str) -> Any:
    """Read the JSON of a response; raises Malformed."""
    try:
        return DECODER.decode(response)
    except (ValueError, RecursionError) as error:
        raise Malformed(f"it is not valid JSON: {error}") from error


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is no JSON number")


DECODER = json.JSONDecoder(parse_constant=_refuse_constant)
