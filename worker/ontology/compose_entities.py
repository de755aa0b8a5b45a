"""From spans of text to the annotations of a named entities job.

A model counts characters. JavaScript, and with it a label drawn in a browser, counts UTF-16 units, in which an
emoji is two. Which of the two Kili's server means is not documented, so both readings of an offset are accepted.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from worker.contract.output import Entities, Entity
from worker.contract.quotes import same_text
from worker.ontology.classes import ClassPolicy, category_of, unknown_class
from worker.ontology.compose_classification import category, checked
from worker.ontology.compose_detection import mid_of
from worker.ontology.errors import OntologyError
from worker.ontology.interface import Job


def fits(end: int, text: str) -> bool:
    """Whether an offset lies within the text, in characters or in UTF-16 units."""
    return end <= len(text) or (not text.isascii() and end <= len(_units(text)) // 2)


def reads(begin: int, end: int, content: str, text: str) -> bool:
    """Whether the text between two offsets is the content, in characters or in UTF-16 units."""
    if text[begin:end] == content:
        return True
    return not text.isascii() and _units(text)[2 * begin : 2 * end] == _units(content)


def in_characters(begin: int, end: int, content: str, text: str) -> tuple[int, int]:
    """The offsets in characters where they count UTF-16 units, between which the content stands; else as they are."""
    units = _units(text)
    if text.isascii() or begin < 0 or units[2 * begin : 2 * end] != _units(content):
        return begin, end
    start = len(units[: 2 * begin].decode("utf-16-le", "surrogatepass"))
    return start, start + len(content)


def _units(text: str) -> bytes:
    return text.encode("utf-16-le", "surrogatepass")


def compose_entities(answer: Entities, job: Job, policy: ClassPolicy, text: str | None, where: str) -> dict[str, Any]:
    """Write the entities of one text; where the text is known, its own words become the content."""
    found = [_annotation(item, index, job, policy, text, where) for index, item in enumerate(answer.entities)]
    return {"annotations": [annotation for annotation in found if annotation is not None]}


def _annotation(
    item: Entity, index: int, job: Job, policy: ClassPolicy, text: str | None, where: str
) -> dict[str, Any] | None:
    place = f"{where}.entities[{index}]"
    name = category_of(item.label, job, policy.classes, f"{place}.label")
    if name is None:
        if policy.ignores_unknown:
            return None
        raise unknown_class(item.label, job, policy.classes, f"{place}.label")
    begin, end = item.begin, item.end
    if text is not None and item.text and not same_text(item.text, text[begin:end]):
        begin, end = in_characters(begin, end, item.text, text)
    return {
        "categories": [category(name, checked(item.score, f"{place}.score"))],
        "mid": mid_of(job.name, name, index, begin, end),
        "beginOffset": begin,
        "endOffset": end,
        "content": item.text if text is None else _content(replace(item, begin=begin, end=end), text, place),
    }


def _content(item: Entity, text: str, place: str) -> str:
    found = text[item.begin : item.end]
    if 0 <= item.begin < item.end and fits(item.end, text) and item.text and not same_text(item.text, found):
        raise OntologyError(
            f"{place}.text",
            f"the model read {item.text!r}, but characters {item.begin} to {item.end} are {found!r}",
            "send offsets into the asset's text, in characters, end exclusive",
            "content_mismatch",
        )
    return found
