"""Answers without any wrapper: scikit-learn, bare texts, lines of OCR libraries, Kili's own form and the short form."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from worker.contract.output import KiliResponse, ModelOutput, Transcription
from worker.formats.checks import ROOT, Path, array, describe, fail, is_number, mapping, number, show, string
from worker.formats.families.rows import as_indices, read_row
from worker.formats.meaning import with_ignored
from worker.formats.options import ReadOptions
from worker.formats.scores import known_names, probability
from worker.formats.short_form import OPTIONS, read_item
from worker.formats.structure import INDEX, Family, Match, Miss


def read_sklearn(payload: Any, options: ReadOptions, at: Path = ROOT) -> tuple[ModelOutput, ...]:
    """Read one output per row, columns in the order of ``classes`` (the estimator's ``classes_``)."""
    if _are_fractions(payload):
        return (_scores_of_one(payload, options, at),)
    return tuple([read_row(row, options, (*at, i)) for i, row in enumerate(as_indices(array(payload, *at)))])


def _scores_of_one(scores: list[Any], options: ReadOptions, at: Path) -> ModelOutput:
    """The scores of the message's only asset, one per class; else they may be one per asset."""
    alone = options.external_ids is not None and len(options.external_ids) == 1
    if not alone or len(scores) != len(known_names(options)):
        fail((*at, 0), f"{describe(scores[0])} {_NO_ROW}", "send a list of rows, or name as many classes as scores")
    return read_row(scores, options.of_item(0), at)


_NO_ROW = "is neither a class index nor a row of scores (the scores of one item are a list in the list)"


def _are_fractions(payload: Any) -> bool:
    """Whether a list holds numbers that are not all whole: as SageMaker's image classification sends scores."""
    return (
        isinstance(payload, list)
        and len(payload) > 1
        and all(map(is_number, payload))
        and not all(map(_is_whole, payload))
    )


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) or value.is_integer() is True


def _is_row(row: Any) -> bool:
    if isinstance(row, list):
        return bool(row) and all(map(is_number, row))
    return isinstance(row, str) or INDEX.test(row)


def _detect_rows(payload: Any) -> Match | None:
    if not isinstance(payload, list) or not payload:
        return None
    if _are_fractions(payload):
        return Match("a bare list of scores")
    if not all(map(_is_row, payload)):
        return None
    kind = "rows of numbers" if isinstance(payload[0], list) else "labels or class indices"
    return Match(f"a bare list of {kind}")


def _near_rows(payload: Any) -> Miss | None:
    if not isinstance(payload, list) or not payload:
        return None
    fitting = [_is_row(row) for row in payload]
    first = fitting.index(False)
    row = payload[first]
    if is_number(row):
        return Miss(show((*ROOT, first)), f"{describe(row)} {_NO_ROW}", 0.5)
    share = sum(fitting) / len(fitting) * 0.9
    return Miss(show((*ROOT, first)), f"{describe(row)} is not a row of numbers or a label", share) if share else None


SKLEARN = Family(
    name="sklearn",
    title="scikit-learn rows",
    rule="a bare list of rows of numbers, of class indices or of labels",
    detect=_detect_rows,
    near=_near_rows,
    takes=("list",),
    read=read_sklearn,
    options=("classes", "score_kind", "exclusive", "strings"),
    limits=(
        "Rows need `classes` in the order of the estimator's `classes_`. decision_function and predict_log_proba "
        "rows need `score_kind: logit`. A list of fractions is the row of a message's only asset where `classes` "
        "names as many; else it is refused."
    ),
    sources=("https://scikit-learn.org/stable/glossary.html#term-predict_proba",),
)


def read_bare_text(payload: Any, options: ReadOptions, at: Path = ROOT) -> tuple[ModelOutput, ...]:
    """Read the one text."""
    return (read_row(string(payload, *at), options, at),)


def _detect_text(payload: Any) -> Match | None:
    return Match("a bare text") if isinstance(payload, str) and payload.strip() else None


BARE_TEXT = Family(
    name="bare-text",
    title="A bare text: a class or a text",
    rule="a text that is no JSON",
    detect=_detect_text,
    takes=("text",),
    read=read_bare_text,
    options=("strings", "classes", "exclusive"),
    limits="A class or a text: the project's job decides, or `strings`.",
    sources=("https://github.com/pytorch/serve/tree/master/examples/Huggingface_Transformers",),
)


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


def read_ocr_lists(payload: Any, options: ReadOptions, at: Path = ROOT) -> tuple[ModelOutput, ...]:
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


def _detect_lines(payload: Any) -> Match | None:
    return Match("lines of corners, text and score") if _pages(payload) else None


OCR_LISTS = Family(
    name="ocr-lines",
    title="EasyOCR and PaddleOCR 2, lists of lines",
    rule="a list (or a list of pages) of lines: four corners, the text, its score",
    detect=_detect_lines,
    takes=("list",),
    read=read_ocr_lists,
    limits="Lines are joined by line breaks; the score is the least of them. Places of the lines are not used.",
    sources=("https://www.jaided.ai/easyocr/documentation/", "https://github.com/PaddlePaddle/PaddleOCR"),
)


MAX_DEPTH = 32


def read_kili_response(json_response: Any, at: Path = ("json_response",)) -> ModelOutput:
    """Pass on a json_response as it is.

    Raises OutputError when it is no object, is nested deeper than MAX_DEPTH, or holds NaN or Infinity.
    """
    response = mapping(json_response, *at)
    _check(response, at)
    return ModelOutput(KiliResponse(dict(response)))


def read_kili(payload: Any, _options: ReadOptions, at: Path = ROOT) -> tuple[ModelOutput, ...]:
    """Read one response; it names its jobs itself, so ``options.job`` is not used."""
    return (read_kili_response(payload, at),)


def _check(value: Any, at: Path) -> None:
    if len(at) > MAX_DEPTH:
        fail(at[:8], "nested too deeply", f"send at most {MAX_DEPTH} levels")
    if isinstance(value, Mapping):
        for key, inner in value.items():
            _check(inner, (*at, key))
    elif isinstance(value, list):
        for i, inner in enumerate(value):
            _check(inner, (*at, i))
    elif isinstance(value, float):
        number(value, *at)


def _is_job(value: Any) -> bool:
    if not isinstance(value, Mapping):
        return False
    if isinstance(value.get("text"), str):
        return True
    lists = [value[key] for key in ("categories", "annotations") if key in value]
    return bool(lists) and all(_objects(items) for items in lists)


def _objects(items: Any) -> bool:
    return isinstance(items, list) and all(isinstance(item, Mapping) for item in items)


def _is_frame(key: str, value: Any) -> bool:
    return key.isdigit() and isinstance(value, Mapping) and all(map(_is_job, value.values()))


def _detect_jobs(payload: Any) -> Match | None:
    if not isinstance(payload, Mapping) or not payload:
        return None
    if all(map(_is_job, payload.values())):
        return Match("an object of jobs with categories, annotations or text")
    if all(_is_frame(key, value) for key, value in payload.items()):
        return Match("an object of frames, each an object of jobs")
    return None


def _near_jobs(payload: Any) -> Miss | None:
    if not isinstance(payload, Mapping):
        return None
    wrong = [key for key, value in payload.items() if not _is_job(value)]
    share = 1 - len(wrong) / len(payload) if payload else 0
    return Miss(show((*ROOT, wrong[0])), "not a job's answer", share) if wrong and share else None


KILI = Family(
    name="kili",
    title="Kili's own json_response",
    rule="an object of jobs, each with `categories`, `annotations` or `text`; or of frames of such jobs",
    detect=_detect_jobs,
    near=_near_jobs,
    takes=("object",),
    read=read_kili,
    limits="Passed on as it is; the project's interface decides whether it is valid.",
    sources=("https://docs.kili-technology.com/reference/export-classification",),
)


_LISTS = ("boxes", "polygons", "masks", "points", "entities")


def read_short(payload: Any, options: ReadOptions, at: Path = ROOT) -> tuple[ModelOutput, ...]:
    """Read one item, or a list of items."""
    if isinstance(payload, Mapping):
        return (read_item(payload, options.of_item(0), at),)
    items = enumerate(array(payload, *at))
    return tuple([read_item(mapping(one, *at, i), options.of_item(i), (*at, i)) for i, one in items])


def _fits(item: Any) -> bool:
    """Whether an object holds lists of shapes or entities, each with its label, and at most options beside them."""
    if not isinstance(item, Mapping) or not item.keys() <= {*_LISTS, *OPTIONS}:
        return False
    lists = [item[key] for key in _LISTS if key in item]
    return bool(lists) and all(isinstance(one, list) and all(map(_is_labelled, one)) for one in lists)


def _is_labelled(one: Any) -> bool:
    """Whether this is an object of the short form, whose box is a list: Azure's ``boxes`` hold objects."""
    return isinstance(one, Mapping) and "label" in one and not isinstance(one.get("box"), Mapping)


def _detect_short(payload: Any) -> Match | None:
    items = payload if isinstance(payload, list) else [payload]
    return Match("objects or entities in the short form") if items and all(map(_fits, items)) else None


SHORT_FORM = Family(
    name="short-form",
    title="The short form of messages",
    rule="an object (or a list, one per asset) with `boxes`, `polygons`, `masks`, `points` or `entities`, lists of "
    "objects with `label`",
    detect=_detect_short,
    needs=tuple((key,) for key in _LISTS),
    read=read_short,
    options=("classes", "first_class", "image_size", "units", "box_order", "point_names", "text"),
    limits="As in [messages](messages.md#the-short-form); entities without offsets are looked for in the text.",
    sources=("https://json-schema.org/draft/2020-12/json-schema-core",),
)
