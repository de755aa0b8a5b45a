"""TorchServe's built-in handlers: image_classifier and object_detector."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from worker.formats.checks import ROOT, Path, array, fail, is_number, mapping, show
from worker.formats.classes import label_of
from worker.formats.coordinates import Canvas, canvas_for, numbers
from worker.formats.families.items import Row, row_reader
from worker.formats.options import ReadOptions
from worker.formats.output import DetectedObject, Detection, ModelOutput
from worker.formats.scores import label_scores, probability
from worker.formats.structure import Family, Match, Miss, first_item, holds_nothing

_RESERVED = frozenset(
    (
        *("bbox", "box", "boxes", "class", "class_id", "classes", "confidence", "data", "image_id", "label"),
        *("labels", "name", "outputs", "predictions", "prob", "probability", "result", "results", "score", "scores"),
    )
)
"""Keys of other formats, which no one means as a class; they would make a near miss look like a class."""


def _classes(item: Any) -> bool:
    """Whether this is an object of class to score."""
    return (
        isinstance(item, Mapping) and bool(item) and not _RESERVED & item.keys() and all(map(is_number, item.values()))
    )


def read_classes(payload: Any, options: ReadOptions, at: Path = ROOT) -> tuple[ModelOutput, ...]:
    """Read one object per image; a list of one-class objects is one image, as the handler's guide shows it."""
    if isinstance(payload, Mapping):
        return (_class_row(payload, options, at),)
    items = [mapping(item, *at, i) for i, item in enumerate(array(payload, *at))]
    if len(items) > 1 and all(len(item) == 1 for item in items):
        return (_single_classes(items, options, at),)
    return tuple(_class_row(item, options, (*at, i)) for i, item in enumerate(items))


def _class_row(item: Mapping[str, Any], options: ReadOptions, at: Path) -> ModelOutput:
    keys = list(item)
    labels = [label_of(key, options, (*at, key)) for key in keys]
    return options.output(label_scores(labels, list(item.values()), options, at, lambda i: (*at, keys[i])))


def _single_classes(items: list[Mapping[str, Any]], options: ReadOptions, at: Path) -> ModelOutput:
    pairs = [next(iter(item.items())) for item in items]
    labels = [label_of(key, options, (*at, i)) for i, (key, _) in enumerate(pairs)]
    values = [value for _, value in pairs]
    return options.output(label_scores(labels, values, options, at, lambda i: (*at, i, pairs[i][0])))


def _detect_classes(payload: Any) -> Match | None:
    is_flat = isinstance(payload, Mapping) or (
        isinstance(payload, list) and payload and not isinstance(payload[0], list)
    )
    if is_flat and _classes(first_item(payload)[0]):
        return Match("objects of class names and numbers")
    return None


def _near_classes(payload: Any) -> Miss | None:
    item, at = first_item(payload)
    if not isinstance(item, Mapping) or not item:
        return None
    wrong = [key for key, value in item.items() if key in _RESERVED or not is_number(value)]
    share = (1 - len(wrong) / len(item)) * 0.5
    return Miss(show((*at, wrong[0])), "not a class name with a number", share) if wrong and share else None


def _boxed_label(item: Any) -> str | None:
    """The key beside ``score``: the class, whose value is the box."""
    if not isinstance(item, Mapping) or len(item) != 2 or "score" not in item:
        return None
    return next(str(key) for key in item if key != "score")


def _read_boxes(row: Row, options: ReadOptions, at: Path) -> ModelOutput:
    if not row:
        return options.output(Detection(()))
    canvas = canvas_for(options, at)
    return options.output(Detection(tuple(_object(item, options, canvas, place) for item, place in row)))


def _object(item: Mapping[str, Any], options: ReadOptions, canvas: Canvas, at: Path) -> DetectedObject:
    label = _boxed_label(item)
    if label is None:
        fail(at, "needs a score and one class with its box", "send what the object_detector handler returns")
    x1, y1, x2, y2 = numbers(item[label], 4, (*at, label))
    return DetectedObject(
        label_of(label, options, (*at, label)),
        canvas.box(x1, y1, x2, y2, (*at, label)),
        probability(item["score"], options, (*at, "score")),
    )


def _detect_boxes(payload: Any) -> Match | None:
    if holds_nothing(payload):
        return Match("no objects found")
    item = first_item(payload)[0]
    label = _boxed_label(item)
    if label is None or label in _RESERVED or not isinstance(item[label], list):
        return None
    return Match("objects with a score and one class with its box") if is_number(item["score"]) else None


def _near_boxes(payload: Any) -> Miss | None:
    item, at = first_item(payload)
    if not isinstance(item, Mapping) or "score" not in item or len(item) < 2:
        return None
    others = [key for key in item if key != "score"]
    boxes = [key for key in others if key not in _RESERVED and isinstance(item[key], list) and len(item[key]) == 4]
    if boxes and len(others) > 1:
        third = next(key for key in others if key != boxes[0])
        return Miss(show((*at, third)), "a third key beside the score and the class", 0.6)
    return Miss(show((*at, others[0])), "not a class name with a box of four numbers", 0.4)


CLASSIFIER = Family(
    catch_all=True,
    name="torchserve-classifier",
    title="TorchServe image_classifier and text_classifier",
    rule="an object (or a list, one per item) of class names and numbers alone",
    detect=_detect_classes,
    near=_near_classes,
    read=read_classes,
    options=("classes", "score_kind", "exclusive"),
    limits=(
        "A list of objects with one class each is one item's best classes, as TorchServe's guide prints it; "
        "send a batch of single best classes one by one."
    ),
    sources=("https://github.com/pytorch/serve/blob/master/ts/torch_handler/image_classifier.py",),
)

DETECTOR = Family(
    name="torchserve-detector",
    title="TorchServe object_detector",
    rule="a list (per image) of objects with `score` and one other key, the class, that holds a box",
    detect=_detect_boxes,
    near=_near_boxes,
    read=row_reader(_read_boxes),
    options=("image_size", "units", "classes"),
    limits="Boxes are x1, y1, x2, y2 in pixels unless `units` says relative.",
    sources=("https://github.com/pytorch/serve/blob/master/ts/torch_handler/object_detector.py",),
)

FAMILIES = (CLASSIFIER, DETECTOR)
