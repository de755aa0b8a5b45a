"""Does an entity lie in the parts of a rich text that it names?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .offsets import fits, reads
from .validate_context import refuse


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
