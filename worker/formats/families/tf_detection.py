"""TensorFlow Object Detection API outputs, as TensorFlow Serving and Triton return them per image.

Boxes are relative, as [ymin, xmin, ymax, xmax]; the lists are padded, ``num_detections`` tells how many count.
Source: tensorflow/models, research/object_detection/exporter_lib_v2.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from worker.contract.output import DetectedObject, Detection, ModelOutput, Shape
from worker.formats.checks import Path, array, fail, integer, is_number, same_length
from worker.formats.coordinates import canvas_for, numbers
from worker.formats.masks import placed, shape_of_grid
from worker.formats.meaning import unused_keys, with_ignored
from worker.formats.options import BoxOrder, ReadOptions, Units
from worker.formats.scores import check_first_class, label_of, name_of, probability
from worker.formats.selection import LeftOut, keep
from worker.formats.structure import LIST, Keys

KEYS = Keys({"detection_boxes": LIST, "detection_classes": LIST, "detection_scores": LIST}, open=True)
NAMES = ("detection_classes_as_text", "detection_class_names", "detection_class_labels")
_UNREAD = ("detection_keypoints", "detection_surface_coords")


def read_image(row: Mapping[str, Any], options: ReadOptions, at: Path) -> ModelOutput:
    """Read one image's detections."""
    columns = {key: array(row[key], *at, key) for key in KEYS.required}
    names = next((key for key in NAMES if row.get(key)), None)
    for key in (names, "detection_masks"):
        if key and row.get(key) is not None:
            columns[key] = array(row[key], *at, key)
    for key in _UNREAD:
        if row.get(key):
            fail((*at, key), "poses of this kind are not read", "leave them out, or send them in the short form")
    found = _Image(columns, names, options, at)
    kept = keep(range(_count(row, same_length(columns, at), at)), found.object, options)
    output = options.output(Detection(tuple(kept.found)), evidence=kept.evidence())
    return with_ignored(output, unused_keys([row], {*columns, "num_detections"}))


class _Image:
    """One image's columns, and what is to be known to read them."""

    def __init__(self, columns: Mapping[str, list[Any]], names: str | None, options: ReadOptions, at: Path) -> None:
        self._columns, self._names, self._options, self._at = columns, names, options, at
        self._order = _order(columns, options, at)
        self._canvas = canvas_for(options, (*at, "detection_boxes"), default=_units(columns, options, self._order))

    def object(self, i: int) -> DetectedObject:
        place = (*self._at, "detection_boxes", i)
        box = self._canvas.ordered(numbers(self._columns["detection_boxes"][i], 4, place), self._order, place)
        score = probability(self._columns["detection_scores"][i], self._options, (*self._at, "detection_scores", i))
        return DetectedObject(self._name(i), self._shape(i, box), score)

    def _name(self, i: int) -> str:
        if self._names:
            return label_of(self._columns[self._names][i], self._options, (*self._at, self._names, i))
        place = (*self._at, "detection_classes", i)
        label = self._columns["detection_classes"][i]
        if isinstance(label, str):
            return label_of(label, self._options, place)
        index = integer(label, *place)
        if self._order == "yxyx":
            check_first_class([index], self._options, place)
        return name_of(index, self._options, place)

    def _shape(self, i: int, box: Shape) -> Shape:
        """The mask, which lies within the box, or the box."""
        if "detection_masks" not in self._columns:
            return box
        shape = shape_of_grid(self._columns["detection_masks"][i], (*self._at, "detection_masks", i))
        if shape is None:
            raise LeftOut("empty_masks")
        return placed(shape, box)


def _order(columns: Mapping[str, list[Any]], options: ReadOptions, at: Path) -> BoxOrder:
    """TensorFlow sends y first and its class ids as fractions (1.0); TensorRT's plugin sends x first, and whole ids."""
    if options.box_order is not None:
        return options.box_order
    ids = columns["detection_classes"]
    if ids and all(type(one) is int for one in ids):
        fail(
            (*at, "detection_boxes"),
            "TensorFlow's order of corners is y, x, y, x, but x, y, x, y that of TensorRT's EfficientNMS, whose class "
            "ids are whole numbers as here",
            "set box_order: yxyx or xyxy",
        )
    return "yxyx"


def _units(columns: Mapping[str, list[Any]], options: ReadOptions, order: BoxOrder) -> Units:
    """TensorFlow's boxes are relative; those of TensorRT's plugin are mostly pixels of an image whose size is known."""
    if order == "yxyx" or options.image_size is None:
        return "relative"
    boxes = [box for box in columns["detection_boxes"] if isinstance(box, list)]
    return "pixel" if any(is_number(side) and side > MOST_RELATIVE for box in boxes for side in box) else "relative"


MOST_RELATIVE = 2.0
"""No relative coordinate lies this far outside the image; a box of which one does is in pixels."""


def _count(row: Mapping[str, Any], available: int, at: Path) -> int:
    if row.get("num_detections") is None:
        return available
    value = row["num_detections"]
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    count = integer(value, *at, "num_detections")
    if not 0 <= count <= available:
        fail((*at, "num_detections"), f"{count} detections, but {available} boxes")
    return count
