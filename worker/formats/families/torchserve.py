"""TorchServe's built-in handlers: image_classifier and object_detector."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from worker.contract.output import DetectedObject, Detection, ModelOutput
from worker.formats.checks import ROOT, Path, array, fail, is_number, mapping, show
from worker.formats.coordinates import Canvas, canvas_for, numbers
from worker.formats.meaning import foreign_key, with_ignored
from worker.formats.options import ReadOptions, keep
from worker.formats.scores import SUM_TOLERANCE, label_of, label_scores, probability
from worker.formats.structure import Family, Match, Miss, Row, first_item, rows_of

_ANSWER_KEYS = frozenset(
    (
        *("class", "class_id", "class_index", "classes", "confidence", "count", "id", "index", "label", "labels"),
        *("latency", "n", "num", "output", "predicted", "prediction", "predictions", "prob", "probability", "result"),
        *("results", "score", "scores", "target", "threshold", "time", "timestamp", "value", "version", "y"),
    )
)
"""Keys that no one means as a class: with a number they are an index, a score or a count."""

_OTHER_KEYS = frozenset(("bbox", "box", "boxes", "data", "image_id", "name", "outputs"))
"""Keys of other formats; classes may be called so where all values together are a distribution."""

_RESERVED = _ANSWER_KEYS | _OTHER_KEYS


def _classes(item: Any) -> bool:
    """Whether this is an object of class to score."""
    if not isinstance(item, Mapping) or not item or not all(map(is_number, item.values())):
        return False
    reserved = _RESERVED & {str(key).casefold() for key in item}
    if not reserved:
        return foreign_key(item, ()) is None
    return not reserved & _ANSWER_KEYS and _is_distribution(list(item.values()))


def _is_distribution(values: list[float]) -> bool:
    return (
        len(values) > 1
        and all(type(value) is float and 0 <= value <= 1 for value in values)
        and (abs(math.fsum(values) - 1) <= SUM_TOLERANCE)
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
    _refuse_counts(item, options, at)
    labels = [label_of(key, options, (*at, key)) for key in keys]
    return options.output(label_scores(labels, list(item.values()), options, at, lambda i: (*at, keys[i])))


def _refuse_counts(item: Mapping[str, Any], options: ReadOptions, at: Path) -> None:
    """Handlers that count objects answer in this form too; 1 of them is no probability of 1."""
    if options.score_kind is None and all(isinstance(value, int) for value in item.values()):
        fail(
            (*at, next(iter(item), "")),
            "whole numbers alone may be counts of objects, which are no probabilities",
            "set score_kind: probability if they are scores; counts are not sent",
        )


def _single_classes(items: list[Mapping[str, Any]], options: ReadOptions, at: Path) -> ModelOutput:
    pairs = [next(iter(item.items())) for item in items]
    _refuse_counts({f"{i}": value for i, (_, value) in enumerate(pairs)}, options, at)
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
    wrong = [key for key, value in item.items() if str(key).casefold() in _RESERVED or not is_number(value)]
    share = (1 - len(wrong) / len(item)) * 0.9 if len(wrong) == 1 else 0.0
    return Miss(show((*at, wrong[0])), "not a class name with a number", share) if wrong and share else None


def _boxed_label(item: Any) -> str | None:
    """The key beside ``score`` that is the class: the only one whose value is a box."""
    if not isinstance(item, Mapping) or "score" not in item or _LABELS & item.keys():
        return None
    boxes = [key for key in item if isinstance(item[key], list)]
    if len(boxes) != 1 or boxes[0] in _NO_CLASSES or foreign_key(item, (boxes[0],)):
        return None
    return str(boxes[0])


_NO_CLASSES = _RESERVED | {
    *("bboxes", "bounding_box", "boundingBox", "bndbox", "rect", "roi", "rois", "xyxy", "xywh", "box_2d", "bbox_2d"),
    *("keypoints", "points", "landmarks", "coordinates", "coords", "location", "position", "polygon", "segmentation"),
}
"""Keys that say what the numbers are, not of which class the object is."""

_LABELS = frozenset(("label", "labels", "class", "class_name", "category", "name", "category_id", "label_id"))


def _read_boxes(payload: Any, options: ReadOptions, at: Path = ROOT) -> tuple[ModelOutput, ...]:
    return tuple([_read_image(row, options.of_item(i), path) for i, (row, path) in enumerate(rows_of(payload, at))])


def _read_image(row: Row, options: ReadOptions, at: Path) -> ModelOutput:
    if not row:
        return options.output(Detection(()))
    canvas = canvas_for(options, at)
    kept = keep(row, lambda one: _object(one[0], options, canvas, one[1]), options)
    unused = {key for item, _ in row for key in item if key not in ("score", _boxed_label(item))}
    return with_ignored(options.output(Detection(tuple(kept.found)), evidence=kept.evidence()), sorted(unused))


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
    item = first_item(payload)[0]
    if _boxed_label(item) is None or not is_number(item["score"]):
        return None
    return Match("objects with a score and one class with its box")


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
    takes=("object", "objects"),
    read=read_classes,
    options=("classes", "score_kind", "exclusive"),
    limits=(
        "A list of objects with one class each is one item's best classes, as TorchServe's guide prints it; "
        "send a batch of single best classes one by one. Whole numbers alone may be counts and need `score_kind`."
    ),
    sources=("https://github.com/pytorch/serve/blob/master/ts/torch_handler/image_classifier.py",),
)

DETECTOR = Family(
    name="torchserve-detector",
    title="TorchServe object_detector",
    rule="a list (per image) of objects with `score` and one key, the class, that holds a box",
    detect=_detect_boxes,
    near=_near_boxes,
    needs=(("score",),),
    read=_read_boxes,
    options=("image_size", "units", "classes"),
    limits="Boxes are x1, y1, x2, y2 in pixels unless `units` says otherwise.",
    sources=("https://github.com/pytorch/serve/blob/master/ts/torch_handler/object_detector.py",),
)

FAMILIES = (CLASSIFIER, DETECTOR)
