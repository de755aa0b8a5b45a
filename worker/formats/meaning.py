"""What a key says about its value by its name alone, and what a payload says beside its answer.

A reader may leave out an id, a time or a version. An object that carries a box or a span says something else than one
without, so a reader that does not use it does not read the object at all.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

from worker.contract.output import ModelOutput

_GEOMETRY = re.compile(
    r"(box|boxes|bbox|bboxes|box2d|bbox2d|mask|masks|segment|segments|segmentation|segmentations|polygons?|polylines?|poly"
    r"|keypoints?|landmarks?|contours?|vertices|outlines?|obb|rbox|rle|corners|quads?|xyxyn?|xywhn?|cxcywh|skeletons?"
    r"|pose|poses|dets|detections|rect|rects|rectangles?|regions?|points?(2d)?|coords?|coordinates|geometry|boundingpoly)$"
)
_FLAT = frozenset(("xmin", "ymin", "xmax", "ymax", "x1", "y1", "x2", "y2", "xcenter", "ycenter", "cx", "cy"))
_FLAT_PAIRS = (("x", "y"), ("left", "top"))
_SPAN = re.compile(
    r"(start|end|begin|offset|offsets|span|spans|ents|entities|(start|end|begin)(offset|char|char_?index|index|pos|position))$"
)
_FOUR_OF_ELSE = re.compile(r"prob|score|logit|conf|embedding|feature|vector|shape|size|ids?$|indices|tokens|weights?$")
"""Names of lists that may well have four numbers."""

_DEPTH = 3
"""Levels below an object on which geometry is looked for."""


@lru_cache(maxsize=4096)
def _plain(key: str) -> str:
    return key.replace("_", "").replace("-", "").replace(" ", "").casefold()


@lru_cache(maxsize=4096)
def _names_geometry(key: str) -> bool:
    plain = _plain(key)
    return _GEOMETRY.search(plain) is not None and not plain.endswith(("checkbox", "inbox", "sandbox", "mailbox"))


@lru_cache(maxsize=4096)
def _names_span(key: str) -> bool:
    return _SPAN.fullmatch(_plain(key)) is not None


def carries_geometry(key: str, value: Any) -> bool:
    """Tell whether a key with this value is a box, a mask, an outline or points: by name, or by four numbers."""
    if isinstance(value, list):
        return _names_geometry(key) or (_are_boxes(value) and _FOUR_OF_ELSE.search(_plain(key)) is None)
    if isinstance(value, Mapping):
        return _names_geometry(key)
    return isinstance(value, str) and _plain(key).endswith(("mask", "rle", "segmentation")) and bool(value)


def _are_boxes(value: list[Any]) -> bool:
    """Whether a list is four numbers, or holds lists of four to seven: boxes, perhaps with a score and a class."""
    if value and isinstance(value[0], list):
        return 4 <= len(value[0]) <= 7 and _are_numbers(value[0])
    return len(value) == 4 and _are_numbers(value)


def _are_numbers(values: list[Any]) -> bool:
    return all(isinstance(one, int | float) and not isinstance(one, bool) for one in values)


def carries_span(key: str, value: Any) -> bool:
    """Tell whether a key with this value places something in a text."""
    if value is None or isinstance(value, str | bool):
        return False
    return _names_span(key)


def foreign_key(item: Mapping[str, Any], known: Collection[str], depth: int = _DEPTH) -> str | None:
    """The first key beside the known ones that says something a reader must not pass over; None when none does."""
    extra = [key for key in item if key not in known and isinstance(key, str)]
    for key in extra:
        value = item[key]
        if carries_geometry(key, value) or carries_span(key, value):
            return key
    return _flat_corner(item, extra) or _nested(item, extra, depth)


def _flat_corner(item: Mapping[str, Any], extra: Iterable[str]) -> str | None:
    """The first of several numbers that are corners, a centre, or a place with its extent."""
    numbers = {_plain(key): key for key in extra if isinstance(item[key], int | float) and item[key] is not True}
    corners = [numbers[name] for name in numbers if name in _FLAT]
    if len(corners) > 1:
        return corners[0]
    return next((numbers[a] for a, b in _FLAT_PAIRS if a in numbers and b in numbers), None)


def _nested(item: Mapping[str, Any], extra: Iterable[str], depth: int) -> str | None:
    if not depth:
        return None
    for key in extra:
        value = item[key]
        first = value[0] if isinstance(value, list) and value else value
        if isinstance(first, Mapping):
            inner = foreign_key(first, (), depth - 1)
            if inner is not None:
                return f"{key}.{inner}"
    return None


def unused_keys(items: Iterable[Mapping[str, Any]], used: Collection[str]) -> list[str]:
    """The keys, sorted, that hold something in any of the objects and are not used."""
    count = len(used)
    unused: set[str] = set()
    for item in items:
        if len(item) != count or item.keys() != used:
            unused.update([key for key, value in item.items() if key not in used and value not in (None, "", [], {})])
    return sorted(map(str, unused))[:MOST_UNUSED]


MOST_UNUSED = 20
"""Keys that are named as unused."""


def with_evidence(output: ModelOutput, evidence: Mapping[str, Any]) -> ModelOutput:
    """Add evidence to an output; what the output says itself wins."""
    return replace(output, evidence={**evidence, **output.evidence}) if evidence else output


def with_ignored(output: ModelOutput, names: Sequence[str]) -> ModelOutput:
    """Say which keys of the payload were read and not used."""
    if not names:
        return output
    ignored = list(dict.fromkeys((*output.evidence.get("ignored", ()), *names)))
    return replace(output, evidence={**output.evidence, "ignored": ignored})


def texts_of(payload: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """Pick the payload's non-empty strings: evidence name by payload key."""
    return {name: payload[key] for key, name in names.items() if isinstance(payload.get(key), str) and payload[key]}
