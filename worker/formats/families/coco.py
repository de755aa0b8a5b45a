"""COCO results: ``[{"image_id", "category_id", "bbox": [x, y, w, h], "score"}]``, also masks and keypoints."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from worker.formats.checks import ROOT, Path, array, describe, fail, integer, mapping, member, number
from worker.formats.classes import name_by_id
from worker.formats.coordinates import Canvas, canvas_for, numbers
from worker.formats.families.poses import pose_shape
from worker.formats.masks import shape_of_rle
from worker.formats.options import ReadOptions
from worker.formats.output import DetectedObject, Detection, ModelOutput, Shape
from worker.formats.regions import as_outline
from worker.formats.scores import probability
from worker.formats.structure import (
    INDEX,
    LABEL,
    LIST,
    NUMBER,
    Family,
    Keys,
    Kind,
    Match,
    Miss,
    detect_items,
    first_item,
)

_MASK = Kind("polygons or a run-length mask", lambda value: isinstance(value, list | Mapping))
_COMMON = {"image_id": LABEL, "category_id": INDEX, "score": NUMBER}
_OPTIONAL = {"bbox": LIST, "segmentation": _MASK, "keypoints": LIST, "area": NUMBER, "id": LABEL}
_FORMS = [Keys({**_COMMON, key: _OPTIONAL[key]}, _OPTIONAL) for key in ("bbox", "segmentation", "keypoints")]
_DETECTORS = [detect_items(keys, "objects with image_id, category_id, score and a geometry") for keys in _FORMS]


def read(payload: Any, options: ReadOptions, at: Path = ROOT) -> tuple[ModelOutput, ...]:
    """Read one output per image, in the order in which images first appear; ``external_id`` is the image id."""
    items = [payload] if isinstance(payload, Mapping) else array(payload, *at)
    images: dict[str, list[DetectedObject]] = {}
    empty: dict[str, int] = {}
    for i, value in enumerate(items):
        item = mapping(value, *at, i)
        image = _image_id(member(item, "image_id", (*at, i)), (*at, i, "image_id"))
        found = _object(item, options, (*at, i))
        images.setdefault(image, []).extend([found] if found else [])
        empty[image] = empty.get(image, 0) + (found is None)
    return tuple(
        options.output(
            Detection(tuple(objects)),
            external_id=image,
            evidence={"empty_masks": empty[image]} if empty[image] else None,
        )
        for image, objects in images.items()
    )


def _image_id(value: Any, at: Path) -> str:
    if not LABEL.test(value) or value == "":
        fail(at, f"{describe(value)} is neither a string nor a whole number")
    return str(value) if isinstance(value, str) else str(integer(value, *at))


def _object(item: Mapping[str, Any], options: ReadOptions, at: Path) -> DetectedObject | None:
    category = integer(member(item, "category_id", at), *at, "category_id")
    name = name_by_id(category, options, (*at, "category_id"))
    score = probability(item.get("score"), options, (*at, "score"))
    shape = _shape(item, options, at)
    return DetectedObject(name, shape, score) if shape else None


def _shape(item: Mapping[str, Any], options: ReadOptions, at: Path) -> Shape | None:
    segmentation = item.get("segmentation")
    if isinstance(segmentation, Mapping):
        return shape_of_rle(segmentation, (*at, "segmentation"))
    canvas = canvas_for(options, at)
    if "keypoints" in item:
        return _pose(item["keypoints"], options, canvas, (*at, "keypoints"))
    if segmentation is not None:
        return _polygons(segmentation, canvas, (*at, "segmentation"))
    x, y, width, height = numbers(member(item, "bbox", at), 4, (*at, "bbox"))
    return canvas.box(x, y, x + width, y + height, (*at, "bbox"))


def _polygons(value: Any, canvas: Canvas, at: Path) -> Shape:
    parts = array(value, *at)
    if not parts:
        fail(at, "no polygon")
    rings = tuple(canvas.ring(_pairs(part, (*at, i)), (*at, i)) for i, part in enumerate(parts))
    return Shape("polygon", rings) if len(rings) == 1 else Shape("semantic", tuple(map(as_outline, rings)))


def _pairs(value: Any, at: Path) -> list[tuple[float, float]]:
    flat = [number(coordinate, *at, i) for i, coordinate in enumerate(array(value, *at))]
    if len(flat) % 2:
        fail(at, f"{len(flat)} coordinates are no whole number of points")
    return list(zip(flat[::2], flat[1::2], strict=True))


def _pose(value: Any, options: ReadOptions, canvas: Canvas, at: Path) -> Shape:
    flat = [number(v, *at, i) for i, v in enumerate(array(value, *at))]
    if not flat or len(flat) % 3:
        fail(at, f"{len(flat)} numbers are no list of x, y, visibility")
    points = list(zip(flat[::3], flat[1::3], strict=True))
    return pose_shape(points, flat[2::3], canvas, options.point_names, at)


def _detect(payload: Any) -> Match | None:
    if payload == []:
        return Match("no results")
    return next((match for detect in _DETECTORS if (match := detect(payload))), None)


def _near(payload: Any) -> Miss | None:
    misses = [miss for keys in _FORMS if (miss := keys.miss(*first_item(payload)))]
    return max(misses, key=lambda miss: miss.share) if misses else None


FAMILY = Family(
    name="coco",
    title="COCO results: boxes, masks, keypoints",
    rule="a list of objects with `image_id`, `category_id`, `score` and `bbox`, `segmentation` or `keypoints`",
    detect=_detect,
    near=_near,
    read=read,
    by_id=True,
    options=("classes", "image_size", "units", "point_names"),
    limits=(
        "Results are grouped by image, whose id must be the message's external id, or one of the batch's; on an "
        "image of the batch without results nothing was found. "
        "`classes` must be a mapping, because category ids are not positions. One image size for all images."
    ),
    sources=("https://cocodataset.org/#format-results",),
)
