"""Annotations: objects, entities, relations, and who is who among them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from worker.sandbox.interface import Category, Interface, Job

from .categories import chosen_one
from .ground import Ground
from .reading import Json, a_list, a_name, an_object, check_key_frame, check_percentage, inside, refuse
from .shapes import AREAS, check_pages, check_shape
from .texts import check_entity

OBJECTS = "OBJECT_DETECTION"
ENTITIES = "NAMED_ENTITIES_RECOGNITION"
#: What a relation joins, by its task: the key of its ends, and the task of what they name.
RELATIONS = {"OBJECT_RELATION": ("Objects", OBJECTS), "NAMED_ENTITIES_RELATION": ("Entities", ENTITIES)}
ANNOTATED = frozenset({OBJECTS, ENTITIES, *RELATIONS})


def check_annotation(job: Job, annotation: Any, where: str, interface: Interface, ground: Ground) -> Category:
    """Refuse an annotation that is malformed in itself; return its category."""
    source = an_object(annotation, where)
    category = chosen_one(job, source, where)
    check_percentage(source, "score", where, whole=True)
    check_key_frame(source, where)
    if source.get("mid") is not None:
        a_name(source["mid"], inside(where, "mid"))
    if job.task == OBJECTS:
        _check_object(job, source, category, where, interface, ground)
    elif job.task == ENTITIES and interface.input_type == "PDF":
        check_pages("area of a text", source, where, ground.range_in(interface))
    elif job.task == ENTITIES:
        check_entity(source, where, ground)
    return category


def _check_object(
    job: Job, annotation: Json, category: Category, where: str, interface: Interface, ground: Ground
) -> None:
    tool = tool_of(annotation, interface)
    if tool is None:
        refuse(inside(where, "type"), f"the tool is missing; the job has {', '.join(job.tools)}")
    if tool == "marker" and "points" in annotation and "pose" in job.tools:
        tool = "pose"
    if tool not in job.tools:
        refuse(inside(where, "type"), f"the job has no tool {tool}; it has {', '.join(job.tools)}")
    if interface.input_type == "PDF" and tool in AREAS:
        check_pages(tool, annotation, where, ground.range_in(interface))
    else:
        check_shape(tool, annotation, category, where, ground.range_in(interface))


def tool_of(annotation: Json, interface: Interface) -> str | None:
    """Return the tool an object is drawn with: a rectangle of a PDF may leave it out."""
    found = annotation.get("type")
    if found is None and interface.input_type == "PDF":
        return "rectangle"
    return found if isinstance(found, str) else None


class Identities:
    """Who is who among the annotations of a response, or of one frame of it."""

    def __init__(self) -> None:
        """Know nobody."""
        self._owners: dict[str, tuple[str, str]] = {}

    def add(self, job: Job, annotation: Json, category: Category, where: str) -> None:
        """Refuse a mid that belongs to something else: only parts of one object share theirs."""
        mid = annotation.get("mid")
        if mid is not None:
            me = (job.name, category.name)
            if mid in self._owners and (job.task != OBJECTS or self._owners[mid] != me):
                refuse(inside(where, "mid"), f"the mid {mid!r} is that of {' '.join(self._owners[mid])} already")
            self._owners[mid] = me
        for index, point in enumerate(annotation.get("points") or ()):
            self._add_point(job, point, mid, inside(inside(where, "points"), index))

    def _add_point(self, job: Job, point: Json, mid_of_pose: str | None, where: str) -> None:
        mid = point.get("mid")
        if mid is None or mid == mid_of_pose:
            return
        if a_name(mid, inside(where, "mid")) in self._owners:
            refuse(inside(where, "mid"), f"the mid {mid!r} is that of {' '.join(self._owners[mid])} already")
        self._owners[mid] = (job.name, point["code"])


#: The category names of what has a mid, by task and mid.
Known = Mapping[tuple[str, str], set[str]]


def check_relation(job: Job, annotation: Json, category: Category, where: str, known: Known) -> None:
    """Refuse a relation whose ends are not there, or are not what it joins."""
    things, task = RELATIONS[job.task]
    for end, allowed in (("start", category.starts), ("end", category.ends)):
        key = inside(where, f"{end}{things}")
        ends = a_list(annotation.get(f"{end}{things}"), key)
        if not ends:
            refuse(key, "the relation has no such end")
        for index, one in enumerate(ends):
            here = inside(inside(key, index), "mid")
            mid = a_name(an_object(one, inside(key, index)).get("mid"), here)
            names = known.get((task, mid))
            if names is None:
                refuse(here, f"the relation ends at {mid!r}, which is not there")
            if allowed is not None and not names & allowed:
                found = ", ".join(sorted(names))
                refuse(here, f"the relation {category.name} takes {', '.join(sorted(allowed))} there, not {found}")
