"""From spans of text to the annotations of a named entities job."""

from __future__ import annotations

import unicodedata
from typing import Any

from worker.formats.output import Entities, Entity

from .classes import category_of, unknown_class
from .errors import OntologyError
from .interface import Job
from .mids import mid_of
from .policy import Policy
from .scores import category, checked


def compose_entities(answer: Entities, job: Job, policy: Policy, text: str | None, where: str) -> dict[str, Any]:
    """Write the entities of one text; where the text is known, its own words become the content."""
    found = [_annotation(item, index, job, policy, text, where) for index, item in enumerate(answer.entities)]
    return {"annotations": [annotation for annotation in found if annotation is not None]}


def _annotation(
    item: Entity, index: int, job: Job, policy: Policy, text: str | None, where: str
) -> dict[str, Any] | None:
    place = f"{where}.entities[{index}]"
    name = category_of(item.label, job, policy.classes, f"{place}.label")
    if name is None:
        if policy.ignores_unknown:
            return None
        raise unknown_class(item.label, job, policy.classes, f"{place}.label")
    return {
        "categories": [category(name, checked(item.score, f"{place}.score"))],
        "mid": mid_of(job.name, name, index, item.begin, item.end),
        "beginOffset": item.begin,
        "endOffset": item.end,
        "content": item.text if text is None else _content(item, text, place),
    }


def _content(item: Entity, text: str, place: str) -> str:
    """Tokenizers change words (case, accents, markers), so only letters and digits are compared."""
    found = text[item.begin : item.end]
    if 0 <= item.begin < item.end <= len(text) and item.text and _letters(found) != _letters(item.text):
        raise OntologyError(
            f"{place}.text",
            f"the model read {item.text!r}, but characters {item.begin} to {item.end} are {found!r}",
            "send offsets into the asset's text, in characters, end exclusive",
            "content_mismatch",
        )
    return found


def _letters(word: str) -> str:
    plain = unicodedata.normalize("NFKD", word.casefold())
    return "".join(char for char in plain if char.isalnum())
