"""Ultralytics ``Results.summary()`` and ``to_json()``: detect, classify, oriented boxes, segment, pose, track."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from worker.contract.output import DetectedObject, Detection, ModelOutput, Shape
from worker.formats.checks import Path, array, integer, mapping, member, number, same_length, sides
from worker.formats.coordinates import Canvas, canvas_of
from worker.formats.families.items import Row, row_reader
from worker.formats.families.poses import pose_shape
from worker.formats.meaning import with_ignored
from worker.formats.options import ReadOptions
from worker.formats.scores import label_of, label_scores, probability
from worker.formats.selection import LeftOut, keep
from worker.formats.structure import INDEX, NUMBER, OBJECT, TEXT, Family, Keys, detect_items, near_items, needed

_KEYS = Keys(
    {"name": TEXT, "class": INDEX, "confidence": NUMBER},
    {"box": OBJECT, "segments": OBJECT, "keypoints": OBJECT, "track_id": INDEX},
)
_USED = _KEYS.known
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
    kept = keep(row, lambda one: _object(one[0], options, canvas, one[1]), options)
    unused = {key for item, _ in row for key in _GEOMETRY[1:] if key in item and key != _shown(item)}
    return with_ignored(options.output(Detection(tuple(kept.found)), evidence=kept.evidence()), sorted(unused))


def _classes(row: Row, options: ReadOptions, at: Path) -> ModelOutput:
    labels = [label_of(member(item, "name", place), options, (*place, "name")) for item, place in row]
    scores = [member(item, "confidence", place) for item, place in row]
    return options.output(label_scores(labels, scores, options, at, lambda i: (*row[i][1], "confidence")))


def _object(item: Item, options: ReadOptions, canvas: Canvas, at: Path) -> DetectedObject:
    track = item.get("track_id")
    return DetectedObject(
        label_of(member(item, "name", at), options, (*at, "name")),
        _shape(item, options, canvas, at),
        probability(item.get("confidence"), options, (*at, "confidence")),
        track_id=None if track is None else str(integer(track, *at, "track_id")),
    )


def _shown(item: Item) -> str:
    """The geometry that is read of an object."""
    for key in _GEOMETRY:
        if key in item:
            return key
    return "box"


def _shape(item: Item, options: ReadOptions, canvas: Canvas, at: Path) -> Shape:
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


FAMILY = Family(
    name="ultralytics",
    title="Ultralytics results: detect, classify, oriented boxes, segment, pose, track",
    rule="a list (per image) of objects with `name`, `class`, `confidence` and perhaps `box`, `segments`, `keypoints`",
    detect=detect_items(_KEYS, "objects with name, class and confidence"),
    near=near_items(_KEYS),
    needs=needed(_KEYS),
    read=row_reader(_read_row, _KEYS, _USED),
    options=("image_size", "units", "point_names", "classes", "score_kind", "exclusive"),
    limits=(
        "`normalize=True` leaves no trace, so coordinates that are all at most 1 need `units`. Poses need "
        "`point_names`. Oriented boxes become rectangles with turned corners."
    ),
    sources=("https://docs.ultralytics.com/reference/engine/results/",),
)
