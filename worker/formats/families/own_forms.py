"""Answers that no serving stack writes: Kili's own json_response and the contract's short form."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from worker.contract.output import KiliResponse, ModelOutput
from worker.formats.checks import ROOT, Path, array, fail, mapping, number, show
from worker.formats.options import ReadOptions
from worker.formats.short_form import OPTIONS, read_item
from worker.formats.structure import Family, Match, Miss

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
