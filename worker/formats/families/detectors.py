"""Object detectors as their libraries answer: Ultralytics, torchvision, the TensorFlow Object Detection API.

TensorFlow's boxes are relative, as [ymin, xmin, ymax, xmax]; its lists are padded, ``num_detections`` tells how many
count. Source: tensorflow/models, research/object_detection/exporter_lib_v2.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from worker.contract.output import DetectedObject, Detection, ModelOutput, Shape
from worker.formats.checks import (
    ROOT,
    Path,
    array,
    fail,
    integer,
    is_number,
    mapping,
    member,
    number,
    same_length,
    sides,
)
from worker.formats.coordinates import Canvas, canvas_for, canvas_of, numbers, pose_shape
from worker.formats.masks import placed, shape_of_grid
from worker.formats.meaning import unused_keys, with_ignored
from worker.formats.options import BoxOrder, LeftOut, ReadOptions, Units, keep
from worker.formats.scores import check_first_class, label_of, label_scores, name_of, probability
from worker.formats.structure import (
    INDEX,
    LIST,
    NUMBER,
    OBJECT,
    TEXT,
    Family,
    Keys,
    Row,
    detect_items,
    near_items,
    needed,
    row_reader,
)

_RESULT_KEYS = Keys(
    {"name": TEXT, "class": INDEX, "confidence": NUMBER},
    {"box": OBJECT, "segments": OBJECT, "keypoints": OBJECT, "track_id": INDEX},
)
_RESULT_USED = _RESULT_KEYS.known
_GEOMETRY = ("keypoints", "segments", "box")
"""Geometry of an object, the most telling first: that one is read."""

_UPRIGHT = ("x1", "y1", "x2", "y2")
_TURNED = (("x1", "y1"), ("x2", "y2"), ("x3", "y3"), ("x4", "y4"))

Item = Mapping[str, Any]


def _read_row(row: Row, options: ReadOptions, at: Path) -> ModelOutput:
    if not row:
        return options.output(Detection(()))
    if not any(key in item for item, _ in row for key in _GEOMETRY):
        return _classes(row, options, at)
    canvas = canvas_of(_coordinates(row), options, at)
    kept = keep(row, lambda one: _result(one[0], options, canvas, one[1]), options)
    unused = {key for item, _ in row for key in _GEOMETRY[1:] if key in item and key != _shown(item)}
    return with_ignored(options.output(Detection(tuple(kept.found)), evidence=kept.evidence()), sorted(unused))


def _classes(row: Row, options: ReadOptions, at: Path) -> ModelOutput:
    labels = [label_of(member(item, "name", place), options, (*place, "name")) for item, place in row]
    scores = [member(item, "confidence", place) for item, place in row]
    return options.output(label_scores(labels, scores, options, at, lambda i: (*row[i][1], "confidence")))


def _result(item: Item, options: ReadOptions, canvas: Canvas, at: Path) -> DetectedObject:
    track = item.get("track_id")
    return DetectedObject(
        label_of(member(item, "name", at), options, (*at, "name")),
        _result_shape(item, options, canvas, at),
        probability(item.get("confidence"), options, (*at, "confidence")),
        track_id=None if track is None else str(integer(track, *at, "track_id")),
    )


def _shown(item: Item) -> str:
    """The geometry that is read of an object."""
    for key in _GEOMETRY:
        if key in item:
            return key
    return "box"


def _result_shape(item: Item, options: ReadOptions, canvas: Canvas, at: Path) -> Shape:
    shown = _shown(item)
    if shown == "keypoints":
        points, visible = _points(item["keypoints"], (*at, "keypoints"))
        return pose_shape(points, visible, canvas, options.point_names, (*at, "keypoints"))
    if shown == "segments":
        outline = _points(item["segments"], (*at, "segments"))[0]
        if not outline:
            raise LeftOut("empty_masks")
        return canvas.polygon(outline, (*at, "segments"))
    box, place = member(item, "box", at), (*at, "box")
    if "x3" in mapping(box, *place):
        corners = [(_value(box, x, place), _value(box, y, place)) for x, y in _TURNED]
        return canvas.corners(corners, place)
    x1, y1, x2, y2 = sides(box, _UPRIGHT, place)
    return canvas.box(x1, y1, x2, y2, place)


def _value(box: Item, key: str, at: Path) -> float:
    return number(member(box, key, at), *at, key)


def _points(value: Any, at: Path) -> tuple[list[tuple[float, float]], list[float] | None]:
    lists = mapping(value, *at)
    columns = {key: array(member(lists, key, at), *at, key) for key in ("x", "y")}
    if "visible" in lists:
        columns["visible"] = array(lists["visible"], *at, "visible")
    same_length(columns, at)
    numbers = {key: [number(v, *at, key, i) for i, v in enumerate(values)] for key, values in columns.items()}
    return list(zip(numbers["x"], numbers["y"], strict=True)), numbers.get("visible")


def _coordinates(row: Row) -> Iterator[float]:
    """The numbers that tell the unit: those of the boxes, and of the points where an object has no box."""
    for item, place in row:
        key = "box" if "box" in item else _shown(item)
        for side, value in mapping(member(item, key, place), *place, key).items():
            if key == "box":
                yield number(value, *place, key, side)
            elif side in ("x", "y"):
                yield from [number(v, *place, key, side, i) for i, v in enumerate(array(value, *place, key, side))]


ULTRALYTICS = Family(
    name="ultralytics",
    title="Ultralytics results: detect, classify, oriented boxes, segment, pose, track",
    rule="a list (per image) of objects with `name`, `class`, `confidence` and perhaps `box`, `segments`, `keypoints`",
    detect=detect_items(_RESULT_KEYS, "objects with name, class and confidence"),
    near=near_items(_RESULT_KEYS),
    needs=needed(_RESULT_KEYS),
    read=row_reader(_read_row, _RESULT_KEYS, _RESULT_USED),
    options=("image_size", "units", "point_names", "classes", "score_kind", "exclusive"),
    limits=(
        "`normalize=True` leaves no trace, so coordinates that are all at most 1 need `units`. Poses need "
        "`point_names`. Oriented boxes become rectangles with turned corners."
    ),
    sources=("https://docs.ultralytics.com/reference/engine/results/",),
)


TORCHVISION_KEYS = Keys(
    {"boxes": LIST, "labels": LIST, "scores": LIST},
    {"masks": LIST, "keypoints": LIST, "keypoints_scores": LIST},
)
_COLUMNS = ("boxes", "labels", "scores", "masks", "keypoints")

Columns = Mapping[str, list[Any]]


def read_torchvision(payload: Any, options: ReadOptions, at: Path = ROOT) -> tuple[ModelOutput, ...]:
    """Read one image, or a list of images."""
    if isinstance(payload, Mapping):
        return (read_torchvision_image(payload, options.of_item(0), at),)
    return tuple(
        read_torchvision_image(item, options.of_item(i), (*at, i)) for i, item in enumerate(array(payload, *at))
    )


def read_torchvision_image(value: Any, options: ReadOptions, at: Path) -> ModelOutput:
    """Read the boxes (or masks, or keypoints) of one image."""
    image = mapping(value, *at)
    for key in ("boxes", "labels", "scores"):
        member(image, key, at)
    TORCHVISION_KEYS.refuse_stranger(image, at)
    columns = {key: array(image[key], *at, key) for key in _COLUMNS if image.get(key) is not None}
    count = same_length(columns, at)
    ignored = unused_keys([image], _used(columns))
    if not count:
        return with_ignored(options.output(Detection(())), ignored)
    check_first_class([one for one in columns["labels"] if INDEX.test(one)], options, (*at, "labels"))
    canvas = None if _is_masked(columns) else canvas_for(options, (*at, "boxes"))
    kept = keep(range(count), lambda i: _object(columns, i, options, canvas, at), options)
    return with_ignored(options.output(Detection(tuple(kept.found)), evidence=kept.evidence()), ignored)


def _used(columns: Columns) -> set[str]:
    geometry = next((key for key in ("keypoints", "masks") if key in columns), "boxes")
    return {"labels", "scores", geometry}


def _is_masked(columns: Columns) -> bool:
    """Whether masks are read, which bring their own size, instead of coordinates."""
    return "masks" in columns and "keypoints" not in columns


def _object(columns: Columns, i: int, options: ReadOptions, canvas: Canvas | None, at: Path) -> DetectedObject:
    score = probability(columns["scores"][i], options, (*at, "scores", i))
    name = label_of(columns["labels"][i], options, (*at, "labels", i))
    shape = _shape(columns, i, options, canvas, at)
    if shape is None:
        raise LeftOut("empty_masks")
    return DetectedObject(name, shape, score)


def _shape(columns: Columns, i: int, options: ReadOptions, canvas: Canvas | None, at: Path) -> Shape | None:
    if canvas is None:
        return _mask(columns["masks"][i], (*at, "masks", i))
    if "keypoints" in columns:
        return _pose(columns["keypoints"][i], options, canvas, (*at, "keypoints", i))
    x1, y1, x2, y2 = numbers(columns["boxes"][i], 4, (*at, "boxes", i))
    return canvas.box(x1, y1, x2, y2, (*at, "boxes", i))


def _mask(value: Any, at: Path) -> Shape | None:
    """A soft mask of shape [1, height, width] or [height, width]."""
    layers = array(value, *at)
    if len(layers) == 1 and isinstance(layers[0], list) and layers[0] and isinstance(layers[0][0], list):
        return shape_of_grid(layers[0], (*at, 0))
    return shape_of_grid(layers, at)


def _pose(value: Any, options: ReadOptions, canvas: Canvas, at: Path) -> Shape:
    points = [numbers(point, 3, (*at, i)) for i, point in enumerate(array(value, *at))]
    if not points:
        fail(at, "no points")
    return pose_shape([(x, y) for x, y, _ in points], [v for _, _, v in points], canvas, options.point_names, at)


TORCHVISION = Family(
    name="torchvision",
    title="torchvision detection, instance segmentation and keypoints",
    rule="an object (or a list, one per image) with the lists `boxes`, `labels` and `scores`",
    detect=detect_items(TORCHVISION_KEYS, "an object with boxes, labels and scores"),
    near=near_items(TORCHVISION_KEYS),
    needs=needed(TORCHVISION_KEYS),
    read=read_torchvision,
    options=("classes", "image_size", "units", "point_names"),
    limits=(
        "Labels are indices, which `classes` names: a mapping, or a list that begins with the background, or else "
        "`first_class` says whether they begin with 0 or 1. Labels that are names stay. Soft masks are cut at 0.5 "
        "and outlined, without need of `image_size`; keypoints need `point_names`. Keypoints win over masks, masks "
        "over boxes."
    ),
    sources=(
        "https://pytorch.org/vision/stable/models/generated/torchvision.models.detection.fasterrcnn_resnet50_fpn.html",
    ),
)


TF_KEYS = Keys({"detection_boxes": LIST, "detection_classes": LIST, "detection_scores": LIST}, open=True)
TF_NAMES = ("detection_classes_as_text", "detection_class_names", "detection_class_labels")
_UNREAD = ("detection_keypoints", "detection_surface_coords")


def read_tf_image(row: Mapping[str, Any], options: ReadOptions, at: Path) -> ModelOutput:
    """Read one image's detections."""
    columns = {key: array(row[key], *at, key) for key in TF_KEYS.required}
    names = next((key for key in TF_NAMES if row.get(key)), None)
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
