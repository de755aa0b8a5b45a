"""Choices of a job with their confidences and children, and entities of a text."""

from __future__ import annotations

from typing import Any

from worker.sandbox.responses.interface import REPEATED_LEVELS, Category, Job
from worker.sandbox.responses.reading import (
    AnnotatedContent,
    Json,
    a_list,
    a_name,
    a_text,
    a_whole_number,
    an_object,
    check_percentage,
    inside,
    refuse,
)

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
