"""COCO results: ``[{"image_id", "category_id", "bbox": [x, y, w, h], "score"}]``, also masks and keypoints."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from worker.contract.output import DetectedObject, Detection, ModelOutput, Shape
from worker.formats.checks import ROOT, Path, array, describe, fail, integer, mapping, member, number
from worker.formats.coordinates import Canvas, canvas_for, numbers, pose_shape
from worker.formats.masks import as_outline, shape_of_rle
from worker.formats.meaning import unused_keys, with_ignored
from worker.formats.options import LeftOut, ReadOptions, keep
from worker.formats.scores import label_of, name_by_id, probability
from worker.formats.structure import (
    INDEX,
    LABEL,
    LIST,
    NUMBER,
    Family,
    Keys,
    Match,
    Miss,
    ValueKind,
    detect_items,
    first_item,
    needed,
    refuse_foreign,
    without_nulls,
)

_MASK = ValueKind("polygons or a run-length mask", lambda value: isinstance(value, list | Mapping))
_IMAGE = ValueKind(
    "a name, a whole number or null",
    lambda value: value is None or LABEL.test(value) or (type(value) is float and value.is_integer()),
)
_COMMON = {"image_id": _IMAGE, "category_id": INDEX, "score": NUMBER}
_GEOMETRY = {"bbox": LIST, "segmentation": _MASK, "keypoints": LIST, "poly": LIST, "rbox": LIST}
_FORMS = [Keys({**_COMMON, key: _GEOMETRY[key]}, _GEOMETRY) for key in ("bbox", "segmentation", "keypoints", "poly")]
_DETECTORS = [detect_items(keys, "objects with image_id, category_id, score and a geometry") for keys in _FORMS]
_USED = frozenset((*_COMMON, "category_name", "file_name"))


def read(payload: Any, options: ReadOptions, at: Path = ROOT) -> tuple[ModelOutput, ...]:
    """Read one output per image, in the order in which images first appear; ``external_id`` is the image id."""
    items = [payload] if isinstance(payload, Mapping) else array(payload, *at)
    images: dict[str, list[tuple[Mapping[str, Any], Path]]] = {}
    for i, value in enumerate(items):
        item, place = without_nulls(mapping(value, *at, i)), (*at, i)
        refuse_foreign(item, _GEOMETRY, place)
        images.setdefault(_image_id(item.get("image_id"), options, (*place, "image_id")), []).append((item, place))
    return tuple(_image(name, found, options.of_asset(name)) for name, found in images.items())


def _image(name: str, found: list[tuple[Mapping[str, Any], Path]], options: ReadOptions) -> ModelOutput:
    kept = keep(found, lambda one: _object(one[0], options, one[1]), options)
    output = options.output(Detection(tuple(kept.found)), external_id=name, evidence=kept.evidence())
    unused = {key for item, _ in found for key in unused_keys([item], {*_USED, _shown(item)})}
    return with_ignored(output, sorted(unused))


def _shown(item: Mapping[str, Any]) -> str:
    """The geometry that is read of a result: the most telling one that is not empty."""
    return next((key for key in ("keypoints", "segmentation", "poly") if item.get(key)), "bbox")


def _image_id(value: Any, options: ReadOptions, at: Path) -> str:
    """The image's id as a text: 7 and 7.0 are "7", as a text is what it says; without one, the message's only asset."""
    if value is None:
        if options.external_ids is None or len(options.external_ids) != 1:
            fail(at, "missing: which image is it?", "set image_id to the asset's external id")
        return options.external_ids[0]
    if not _IMAGE.test(value) or value == "":
        fail(at, f"{describe(value)} is neither a string nor a whole number")
    return str(value) if isinstance(value, str) else str(integer(value, *at))


def _object(item: Mapping[str, Any], options: ReadOptions, at: Path) -> DetectedObject:
    category = integer(member(item, "category_id", at), *at, "category_id")
    name = item.get("category_name")
    if options.classes is None and name is not None:
        name = label_of(name, options, (*at, "category_name"))
    else:
        name = name_by_id(category, options, (*at, "category_id"))
    score = probability(item.get("score"), options, (*at, "score"))
    shape = _shape(item, options, at)
    if shape is None:
        raise LeftOut("empty_masks")
    return DetectedObject(name, shape, score)


def _shape(item: Mapping[str, Any], options: ReadOptions, at: Path) -> Shape | None:
    shown = _shown(item)
    if shown == "segmentation" and isinstance(item[shown], Mapping):
        return shape_of_rle(item[shown], (*at, shown))
    canvas = canvas_for(options, at)
    if shown == "keypoints":
        return _pose(item[shown], options, canvas, (*at, shown))
    if shown == "segmentation":
        return _polygons(item[shown], canvas, (*at, shown))
    if shown == "poly":
        corners = _pairs(item[shown], (*at, shown))
        if len(corners) != 4:
            fail((*at, shown), f"{len(corners)} corners where 4 are needed")
        return canvas.corners(corners, (*at, shown))
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
    return next((match for detect in _DETECTORS if (match := detect(payload))), None)


def _near(payload: Any) -> Miss | None:
    misses = [miss for keys in _FORMS if (miss := keys.miss(*first_item(payload)))]
    return max(misses, key=lambda miss: miss.share) if misses else None


FAMILY = Family(
    name="coco",
    title="COCO results: boxes, masks, keypoints",
    rule="a list of objects with `image_id`, `category_id`, `score` and `bbox`, `segmentation`, `keypoints` or `poly`",
    detect=_detect,
    near=_near,
    needs=needed(*_FORMS),
    read=read,
    by_id=True,
    options=("classes", "image_size", "units", "point_names"),
    limits=(
        "Results are grouped by image, whose id must be the message's external id, or one of the batch's; on an "
        "image of the batch without results nothing was found. "
        "`classes` is a mapping, because category ids are not positions; without it `category_name` names the class. "
        "Of keypoints, segmentation, poly and bbox the first that is not empty is read."
    ),
    sources=("https://cocodataset.org/#format-results",),
)
