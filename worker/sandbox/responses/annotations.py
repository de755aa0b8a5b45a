"""Choices of a job with their children, and annotations: objects, entities of a text, relations, and who is who."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from math import dist
from typing import Any, TypeVar

from worker.sandbox.responses.reading import (
    REPEATED_LEVELS,
    AnnotatedContent,
    Category,
    Interface,
    Job,
    Json,
    a_list,
    a_name,
    a_text,
    a_whole_number,
    an_object,
    check_key_frame,
    check_percentage,
    inside,
    refuse,
)
from worker.sandbox.responses.shapes import AREAS, Part, Point, around, check_pages, check_shape, overlap

#: What the SDK reads of a category; it fails on anything else.
KEYS = frozenset({"name", "confidence", "children"})


def read_categories(job: Job, source: Json, where: str) -> list[tuple[Category, Json, str]]:
    """Return the chosen categories, what the response says of each, and where."""
    key = inside(where, "categories")
    chosen: list[tuple[Category, Json, str]] = []
    for index, value in enumerate(a_list(source.get("categories"), key)):
        here = inside(key, index)
        chosen.append((_read(job, value, here), value, here))
    names = [category.name for category, _, _ in chosen]
    if len(set(names)) < len(names) and job.level not in REPEATED_LEVELS:
        refuse(key, f"a category is there twice: {', '.join(names)}")
    return chosen


def chosen_one(job: Job, source: Json, where: str) -> Category:
    """Return the category of an annotation, which has exactly one."""
    chosen = read_categories(job, source, where)
    if len(chosen) != 1:
        refuse(inside(where, "categories"), f"an annotation has one category, not {len(chosen)}")
    return chosen[0][0]


def _read(job: Job, value: Any, where: str) -> Category:
    source = an_object(value, where)
    name = a_text(source.get("name"), inside(where, "name"))
    if name not in job.categories:
        known = ", ".join(job.categories)
        refuse(inside(where, "name"), f"the job {job.name} has no category {name!r}; it has {known}")
    unknown = sorted(source.keys() - KEYS)
    if unknown:
        refuse(inside(where, unknown[0]), f"a category has no such key; it has {', '.join(sorted(KEYS))}")
    check_percentage(source, "confidence", where, whole=False)
    return job.categories[name]


def check_entity(annotation: Json, where: str, asset_content: AnnotatedContent) -> None:
    """Refuse an entity that does not say where it lies, or lies where its text is not."""
    begin = a_whole_number(annotation.get("beginOffset"), inside(where, "beginOffset"))
    end = annotation.get("endOffset")
    content = annotation.get("content")
    if end is not None:
        end = a_whole_number(end, inside(where, "endOffset"))
    if content is not None:
        a_text(content, inside(where, "content"))
    if end is None and content is None:
        refuse(inside(where, "endOffset"), "give the end of the entity, or its content")
    if "beginId" in annotation or "endId" in annotation or asset_content.parts is not None:
        _check_rich(annotation, where, asset_content.parts, begin, end)
    else:
        if end is not None and end <= begin:
            refuse(inside(where, "endOffset"), f"the entity ends at {end}, before it begins at {begin}")
        if asset_content.text is not None:
            _check_plain(asset_content.text, where, begin, end, content)


def _check_plain(text: str, where: str, begin: int, end: int | None, content: str | None) -> None:
    length = _units(text)
    stop = end if end is not None else begin + _units(content or "")
    if begin > length:
        refuse(inside(where, "beginOffset"), f"{begin} is outside the text of {length}")
    if stop > length:
        refuse(inside(where, "endOffset"), f"{stop} is outside the text of {length}")
    if content is not None and content not in _readings(text, begin, stop, end is None, content):
        refuse(inside(where, "content"), f"the text has other words there than {content!r}")


def _readings(text: str, begin: int, stop: int, is_open: bool, content: str) -> set[str]:
    """What a text has between two offsets, which count characters to some and UTF-16 units to others."""
    stop_in_characters = begin + len(content) if is_open else stop
    units = text.encode("utf-16-le")[2 * begin : 2 * stop].decode("utf-16-le", "replace")
    return {text[begin:stop_in_characters], units}


def _units(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2


def _check_rich(annotation: Json, where: str, parts: object, begin: int, end: int | None) -> None:
    first = a_name(annotation.get("beginId"), inside(where, "beginId"))
    last = a_name(annotation.get("endId"), inside(where, "endId"))
    if first == last and end is not None and end <= begin:
        refuse(inside(where, "endOffset"), f"the entity ends at {end}, before it begins at {begin}")
    if isinstance(parts, dict):
        _check_parts(annotation, where, parts, begin, end)


def _check_parts(annotation: Json, where: str, parts: dict[str, str], begin: int, end: int | None) -> None:
    order = list(parts)
    for key, offset in (("begin", begin), ("end", end)):
        part = annotation[f"{key}Id"]
        if part not in parts:
            refuse(inside(where, f"{key}Id"), f"the text has no part {part!r}")
        if offset is not None and offset > _units(parts[part]):
            refuse(inside(where, f"{key}Offset"), f"{offset} is outside the part {part!r}")
    first, last = order.index(annotation["beginId"]), order.index(annotation["endId"])
    if last < first:
        refuse(inside(where, "endId"), "the entity ends in a part before the one it begins in")
    content = annotation.get("content")
    if content is not None and end is not None:
        whole = "".join(parts[name] for name in order[first : last + 1])
        readings = {_bare(found) for found in _cuts(whole, parts[order[last]], begin, end)}
        if _bare(content) not in readings:
            refuse(inside(where, "content"), f"the text has other words there than {content!r}")


def _cuts(whole: str, last: str, begin: int, end: int) -> tuple[str, str]:
    """What parts have from an offset in the first to one in the last, in characters and in UTF-16 units."""
    units = whole.encode("utf-16-le")
    stop = len(units) - 2 * (_units(last) - end)
    return whole[begin : len(whole) - len(last) + end], units[2 * begin : stop].decode("utf-16-le", "replace")


def _bare(text: str) -> str:
    """A text without its blanks: what stands between two parts is not written down."""
    return "".join(text.split())


T = TypeVar("T")


def paired(one: Sequence[T], other: Sequence[T], alike: Callable[[T, T], float]) -> tuple[float, int]:
    """Pair the most alike first; return the sum over the pairs, and how many pairs and leftovers there are."""
    scored = [(alike(a, b), i, j) for i, a in enumerate(one) for j, b in enumerate(other)]
    scored.sort(key=lambda row: (-row[0], abs(row[1] - row[2]), row[1] + row[2]))
    left, right, total = set(range(len(one))), set(range(len(other))), 0.0
    pairs = 0
    for score, i, j in scored:
        if score > 0 and i in left and j in right:
            left.discard(i)
            right.discard(j)
            total += score
            pairs += 1
    return total, pairs + len(left) + len(right)


def share_paired(one: Sequence[T], other: Sequence[T], alike: Callable[[T, T], float]) -> float:
    """Return the mean over pairs and leftovers, 0 to 1; nothing on both sides is 1."""
    total, count = paired(one, other, alike)
    return total / count if count else 1.0


#: How far apart two points may lie before they have nothing in common, as a share of the image.
REACH = 0.1


@dataclass(slots=True)
class DrawnObject:
    """One object: its category, its answers to child jobs, and its drawings by kind; areas lie on pages."""

    category: str
    children: Json = field(default_factory=dict)
    areas: dict[int, list[Part]] = field(default_factory=dict)
    lines: list[list[Point]] = field(default_factory=list)
    markers: list[Point] = field(default_factory=list)
    pose: dict[str, Point] | None = None

    def add(self, annotation: Json) -> None:
        """Add what one annotation draws."""
        self.children |= annotation.get("children") or {}
        self.children |= annotation["categories"][0].get("children") or {}
        for page in annotation.get("annotations") or ():
            self._add_page(page)
        tool = annotation.get("type")
        parts = self.areas.setdefault(1, []) if annotation.get("boundingPoly") else []
        flat = [area for area in annotation.get("boundingPoly") or () if isinstance(area, dict)]
        if flat:
            parts.append(_part(flat, is_box=tool == "rectangle"))
        parts += [_part(group) for group in annotation.get("boundingPoly") or () if isinstance(group, list)]
        if annotation.get("polyline"):
            self.lines.append([_point(vertex) for vertex in annotation["polyline"]])
        if annotation.get("point"):
            self.markers.append(_point(annotation["point"]))
        if annotation.get("points") or tool == "pose":
            seen = {point["code"]: _point(point["point"]) for point in annotation.get("points") or ()}
            self.pose = {**(self.pose or {}), **seen}

    def _add_page(self, page: Json) -> None:
        """Add the areas of a PDF: the n-th of them lies on the n-th page that is named."""
        rings = [ring for area in page.get("polys") or page["boundingPoly"] for ring in _rings(area)]
        pages = page.get("pageNumberArray") or [page["pageNumber"]]
        for index, ring in enumerate(rings):
            corners = around(ring) if len(ring) == 4 else ring
            self.areas.setdefault(pages[min(index, len(pages) - 1)], []).append([corners])


def _part(areas: Iterable[Json], *, is_box: bool = False) -> Part:
    rings = [[_point(vertex) for vertex in area["normalizedVertices"]] for area in areas]
    return [around(ring) for ring in rings] if is_box else rings


def _rings(area: Json) -> list[list[Point]]:
    vertices: list[Any] = area["normalizedVertices"]
    rings = vertices if vertices and isinstance(vertices[0], list) else [vertices]
    return [[_point(vertex) for vertex in ring] for ring in rings]


def _point(vertex: Mapping[str, float]) -> Point:
    return (vertex["x"], vertex["y"])


def drawing_similarity(one: DrawnObject, other: DrawnObject, scale: float) -> float:
    """Return how alike two objects are drawn, 0 to 1; `scale` is the length that counts as a whole image."""
    reach = REACH * scale
    found = []
    if one.areas or other.areas:
        found.append(_alike_areas(one.areas, other.areas))
    if one.lines or other.lines:
        found.append(share_paired(one.lines, other.lines, lambda a, b: _alike_lines(a, b, reach)))
    if one.markers or other.markers:
        found.append(share_paired(one.markers, other.markers, lambda a, b: _alike_points(a, b, reach)))
    if one.pose is not None or other.pose is not None:
        found.append(_alike_poses(one.pose or {}, other.pose or {}, reach))
    return sum(found) / len(found) if found else 1.0


def _alike_areas(one: dict[int, list[Part]], other: dict[int, list[Part]]) -> float:
    common = total = 0.0
    for page in one.keys() | other.keys():
        shared, together = overlap(one.get(page, ()), other.get(page, ()))
        common, total = common + shared, total + together
    # Areas without extent can only be compared as they are.
    return min(1.0, round(common / total, 12)) if total else float(one == other)


def _alike_points(one: Point, other: Point, reach: float) -> float:
    apart = dist(one, other)
    return max(0.0, 1 - apart / reach) if apart else 1.0


def _alike_poses(one: dict[str, Point], other: dict[str, Point], reach: float) -> float:
    codes = one.keys() | other.keys()
    both = one.keys() & other.keys()
    return sum(_alike_points(one[code], other[code], reach) for code in both) / len(codes) if codes else 1.0


def _alike_lines(one: list[Point], other: list[Point], reach: float) -> float:
    apart = [_distance(point, other) for point in one] + [_distance(point, one) for point in other]
    mean = sum(apart) / len(apart)
    return max(0.0, 1 - mean / reach) if mean else 1.0


def _distance(point: Point, line: list[Point]) -> float:
    return min(_to_segment(point, start, end) for start, end in pairwise(line))


def _to_segment(point: Point, start: Point, end: Point) -> float:
    along = (end[0] - start[0], end[1] - start[1])
    length = along[0] ** 2 + along[1] ** 2
    share = ((point[0] - start[0]) * along[0] + (point[1] - start[1]) * along[1]) / length if length else 0.0
    share = min(1.0, max(0.0, share))
    return dist(point, (start[0] + share * along[0], start[1] + share * along[1]))


OBJECTS = "OBJECT_DETECTION"
ENTITIES = "NAMED_ENTITIES_RECOGNITION"
#: What a relation joins, by its task: the key of its ends, and the task of what they name.
RELATIONS = {"OBJECT_RELATION": ("Objects", OBJECTS), "NAMED_ENTITIES_RELATION": ("Entities", ENTITIES)}
ANNOTATED = frozenset({OBJECTS, ENTITIES, *RELATIONS})


def check_annotation(
    job: Job, annotation: Any, where: str, interface: Interface, asset_content: AnnotatedContent
) -> Category:
    """Refuse an annotation that is malformed in itself; return its category."""
    source = an_object(annotation, where)
    category = chosen_one(job, source, where)
    check_percentage(source, "score", where, whole=True)
    check_key_frame(source, where)
    if source.get("mid") is not None:
        a_name(source["mid"], inside(where, "mid"))
    if job.task == OBJECTS:
        _check_object(job, source, category, where, interface, asset_content)
    elif job.task == ENTITIES and interface.input_type == "PDF":
        check_pages("area of a text", source, where, asset_content.range_in(interface))
    elif job.task == ENTITIES:
        check_entity(source, where, asset_content)
    return category


def _check_object(
    job: Job, annotation: Json, category: Category, where: str, interface: Interface, asset_content: AnnotatedContent
) -> None:
    tool = tool_of(annotation, interface)
    if tool is None:
        refuse(inside(where, "type"), f"the tool is missing; the job has {', '.join(job.tools)}")
    if tool == "marker" and "points" in annotation and "pose" in job.tools:
        tool = "pose"
    if tool not in job.tools:
        refuse(inside(where, "type"), f"the job has no tool {tool}; it has {', '.join(job.tools)}")
    if interface.input_type == "PDF" and tool in AREAS:
        check_pages(tool, annotation, where, asset_content.range_in(interface))
    else:
        check_shape(tool, annotation, category, where, asset_content.range_in(interface))


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
