"""The contract's short form as a payload, as a language model answers that was asked for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from worker.contract.output import ModelOutput
from worker.formats.checks import ROOT, Path, array, mapping
from worker.formats.options import ReadOptions
from worker.formats.short_form import OPTIONS, read_item
from worker.formats.structure import Family, Match, Miss

_LISTS = ("boxes", "polygons", "masks", "points", "entities")


def read(payload: Any, options: ReadOptions, at: Path = ROOT) -> tuple[ModelOutput, ...]:
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


def _detect(payload: Any) -> Match | None:
    items = payload if isinstance(payload, list) else [payload]
    return Match("objects or entities in the short form") if items and all(map(_fits, items)) else None


def _near(_payload: Any) -> Miss | None:
    return None


FAMILY = Family(
    name="short-form",
    title="The short form of messages",
    rule="an object (or a list, one per asset) with `boxes`, `polygons`, `masks`, `points` or `entities`, lists of "
    "objects with `label`",
    detect=_detect,
    near=_near,
    needs=tuple((key,) for key in _LISTS),
    read=read,
    options=("classes", "first_class", "image_size", "units", "box_order", "point_names", "text"),
    limits="As in [messages](messages.md#the-short-form); entities without offsets are looked for in the text.",
    sources=("https://json-schema.org/draft/2020-12/json-schema-core",),
)
