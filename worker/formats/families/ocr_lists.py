"""Lines of text as EasyOCR and PaddleOCR 2 list them: corners, text and score of each line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from worker.contract.output import ModelOutput, Transcription
from worker.formats.checks import ROOT, Path, array, fail, is_number
from worker.formats.meaning import with_ignored
from worker.formats.options import ReadOptions
from worker.formats.scores import probability
from worker.formats.structure import Family, Match, Miss

_LEVELS = 2
"""How deep a page of lines may lie: a page, or a list of pages."""


def _line(value: Any) -> tuple[str, Any] | None:
    """Text and score of one line; None for anything else."""
    if not isinstance(value, list) or len(value) not in (2, 3) or not _are_corners(value[0]):
        return None
    text, *score = value[1] if len(value) == 2 and isinstance(value[1], list) else value[1:]
    if not isinstance(text, str) or len(score) > 1 or not all(map(is_number, score)):
        return None
    return text, score[0] if score else None


def _are_corners(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 4 and all(_is_pair(one) for one in value)


def _is_pair(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(map(is_number, value))


def _pages(payload: Any) -> list[Sequence[Any]] | None:
    """The lines of each page; a page on which PaddleOCR finds nothing is null, or empty beside others."""
    if not isinstance(payload, list) or not payload:
        return None
    if all(_line(one) for one in payload):
        return [payload]
    pages = [one or [] for one in payload]
    if all(isinstance(page, list) and all(_line(one) for one in page) for page in pages) and (
        any(pages) or None in payload
    ):
        return pages
    return None


def read(payload: Any, options: ReadOptions, at: Path = ROOT) -> tuple[ModelOutput, ...]:
    """Read one text per page, its lines joined by line breaks; the score is the least of its lines."""
    pages = _pages(payload) if array(payload, *at) else [[]]
    if pages is None:
        fail(at, "no list of lines: four corners, the text, its score", "send what readtext() or ocr() returns")
    return tuple(_page(page, options.of_item(i), (*at, i)) for i, page in enumerate(pages))


def _page(lines: Sequence[Any], options: ReadOptions, at: Path) -> ModelOutput:
    found = [line for one in lines if (line := _line(one))]
    scores = [probability(score, options, (*at, i)) for i, (_, score) in enumerate(found)]
    known = [score for score in scores if score is not None]
    text = "\n".join(text for text, _ in found)
    return with_ignored(options.output(Transcription(text, min(known, default=None))), ["corners"])


def _detect(payload: Any) -> Match | None:
    return Match("lines of corners, text and score") if _pages(payload) else None


def _near(_payload: Any) -> Miss | None:
    return None


FAMILY = Family(
    name="ocr-lines",
    title="EasyOCR and PaddleOCR 2, lists of lines",
    rule="a list (or a list of pages) of lines: four corners, the text, its score",
    detect=_detect,
    near=_near,
    takes=("list",),
    read=read,
    limits="Lines are joined by line breaks; the score is the least of them. Places of the lines are not used.",
    sources=("https://www.jaided.ai/easyocr/documentation/", "https://github.com/PaddlePaddle/PaddleOCR"),
)
