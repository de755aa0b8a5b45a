"""torchvision detection models: ``{"boxes": [[x1, y1, x2, y2]], "labels": [1], "scores": [0.98]}``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from worker.contract.output import DetectedObject, Detection, ModelOutput, Shape
from worker.formats.checks import ROOT, Path, array, fail, mapping, member, same_length
from worker.formats.coordinates import Canvas, canvas_for, numbers
from worker.formats.families.poses import pose_shape
from worker.formats.masks import shape_of_grid
from worker.formats.meaning import unused_keys, with_ignored
from worker.formats.options import ReadOptions
from worker.formats.scores import check_first_class, label_of, probability
from worker.formats.selection import LeftOut, keep
from worker.formats.structure import INDEX, LIST, Family, Keys, detect_items, near_items, needed

KEYS = Keys(
    {"boxes": LIST, "labels": LIST, "scores": LIST},
    {"masks": LIST, "keypoints": LIST, "keypoints_scores": LIST},
)
_COLUMNS = ("boxes", "labels", "scores", "masks", "keypoints")

Columns = Mapping[str, list[Any]]


def read(payload: Any, options: ReadOptions, at: Path = ROOT) -> tuple[ModelOutput, ...]:
    """Read one image, or a list of images."""
    if isinstance(payload, Mapping):
        return (read_image(payload, options.of_item(0), at),)
    return tuple(read_image(item, options.of_item(i), (*at, i)) for i, item in enumerate(array(payload, *at)))


def read_image(value: Any, options: ReadOptions, at: Path) -> ModelOutput:
    """Read the boxes (or masks, or keypoints) of one image."""
    image = mapping(value, *at)
    for key in ("boxes", "labels", "scores"):
        member(image, key, at)
    KEYS.refuse_stranger(image, at)
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


FAMILY = Family(
    name="torchvision",
    title="torchvision detection, instance segmentation and keypoints",
    rule="an object (or a list, one per image) with the lists `boxes`, `labels` and `scores`",
    detect=detect_items(KEYS, "an object with boxes, labels and scores"),
    near=near_items(KEYS),
    needs=needed(KEYS),
    read=read,
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
