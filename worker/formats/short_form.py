"""The contract's short form: an answer in the plainest words, for producers without a serving stack and for mappings.

An object with one answer (one of ``ANSWERS``, or shapes of ``boxes``, ``polygons``, ``masks`` and ``points`` together)
beside what is to be known of it (``units``, ``image_size``, ``box_order``, ``classes``, …). docs/messages.md describes
every key.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from worker.contract.output import (
    Classification,
    ClassScore,
    DetectedObject,
    Detection,
    Entities,
    Entity,
    Frame,
    Frames,
    ModelOutput,
    Nothing,
    Several,
    Shape,
    Transcription,
)
from worker.formats.checks import Path, array, describe, fail, integer, mapping, number, string
from worker.formats.coordinates import Canvas, corners_of, numbers, pose_shape, unit_canvas
from worker.formats.masks import as_hole, as_outline, placed, shape_of_grid, shape_of_png, shape_of_rle
from worker.formats.meaning import with_evidence
from worker.formats.options import Kept, LeftOut, ReadOptions, keep
from worker.formats.reply import read_reply
from worker.formats.scores import SUM_TOLERANCE, in_range, label_of, label_scores, probability, vector_scores
from worker.formats.structure import Unwrapped

_AT: Path = ("scores",)


def read_scores(scores: Mapping[str, float], job: str | None = None) -> ModelOutput:
    """Read class probabilities by class name.

    A sum above 1 can only come from independent classes, so the answer is then multi-label (``exclusive`` is
    False) and a single-choice job will refuse it; otherwise the job decides. Raises OutputError for a value
    outside [0, 1], an empty name, or no score at all.
    """
    if not mapping(scores, *_AT):
        fail(_AT, "no scores")
    found = []
    for label, value in scores.items():
        if type(label) is not str or not label.strip():
            string(label, *_AT)
        if type(value) is not float or not 0.0 <= value <= 1.0:
            value = in_range(number(value, *_AT, label), (*_AT, label), "send probabilities between 0 and 1")
        found.append(ClassScore(label, value))
    total = math.fsum([one.score or 0.0 for one in found])
    independent = are_independent(total)
    complete = not independent and len(found) > 1 and total >= 1 - SUM_TOLERANCE
    return ModelOutput(Classification(tuple(found), False if independent else None, complete), job)


def are_independent(total: float) -> bool:
    """Whether probabilities of so great a sum can only be of independent classes."""
    return total > 1 + SUM_TOLERANCE


ANSWERS = ("scores", "labels", "text", "reply", "entities", "nothing", "jobs", "frames")
"""Answers of which an item has one; shapes of several kinds may stand together."""

OPTIONS = ("units", "box_order", "image_size", "classes", "first_class", "exclusive", "score_kind", "point_names")
"""What an item may say of itself; it goes before what the message and the projects file say."""

REST = ("job", "external_id", "evidence", "ignored")


def read_item(value: Any, options: ReadOptions, at: Path) -> ModelOutput:
    """Read one item; raises OutputError also for a reply that holds data of another format."""
    output = read_open_item(value, options, at)
    if isinstance(output, Unwrapped):
        fail(output.at, "JSON of another format is not read here", "send a label or a text, or the short form")
    return output


def read_open_item(value: Any, options: ReadOptions, at: Path) -> ModelOutput | Unwrapped:
    """Read one item; a reply that holds data of another format is given back unwrapped."""
    item = {key: inner for key, inner in mapping(value, *at).items() if inner is not None}
    _check_keys(item, at)
    stated = _options(item, options, at)
    evidence = dict(mapping(item.get("evidence", {}), *at, "evidence"))
    if item.get("ignored"):
        evidence["ignored"] = [string(name, *at, "ignored", i) for i, name in enumerate(array(item["ignored"]))]
    output = _answer(item, stated, at)
    if isinstance(output, Unwrapped):
        return Unwrapped(output.payload, output.at, evidence)
    named = replace(output, external_id=_text(item, "external_id", at), job=_text(item, "job", at) or output.job)
    return with_evidence(named, evidence)


def _text(item: Mapping[str, Any], key: str, at: Path) -> str | None:
    return string(item[key], *at, key) if key in item else None


def _check_keys(item: Mapping[str, Any], at: Path) -> None:
    known = {*ANSWERS, *SHAPES, *OPTIONS, *REST}
    for key in item:
        if key not in known:
            fail(
                (*at, key), "is no key of the short form", f"its keys are {', '.join((*ANSWERS, *SHAPES))} and options"
            )
    shapes = [key for key in SHAPES if key in item]
    answers = [key for key in ANSWERS if key in item]
    if len(answers) + bool(shapes) != 1:
        found = " and ".join((*answers, *shapes)) or "none"
        fail(at, f"needs one answer; found {found}", f"send one of {', '.join((*ANSWERS, *SHAPES))}")


def _options(item: Mapping[str, Any], options: ReadOptions, at: Path) -> ReadOptions:
    stated = {key: item[key] for key in OPTIONS if key in item}
    if not stated:
        return options
    if "image_size" in stated:
        sides = array(stated["image_size"], *at, "image_size")
        stated["image_size"] = tuple(integer(side, *at, "image_size", i) for i, side in enumerate(sides))
    return replace(options, **stated)


def _answer(item: Mapping[str, Any], options: ReadOptions, at: Path) -> ModelOutput | Unwrapped:
    for key in ANSWERS:
        if key in item:
            return _READERS[key](item[key], options, (*at, key))
    kept = read_shapes(item, options, at)
    return options.output(Detection(tuple(kept.found)), evidence=kept.evidence())


def _scores(value: Any, options: ReadOptions, at: Path) -> ModelOutput:
    """Probabilities (or logits) by class name, or a list of them in the order of ``classes``."""
    if isinstance(value, list):
        return options.output(vector_scores(value, options, at))
    scores = mapping(value, *at)
    if options.score_kind is None and options.exclusive is None and options.classes is None:
        return read_scores(scores, options.job)
    labels = [label_of(label, options, (*at, label)) for label in scores]
    return options.output(label_scores(labels, list(scores.values()), options, at, lambda i: (*at, list(scores)[i])))


def _nothing(value: Any, options: ReadOptions, at: Path) -> ModelOutput:
    if value is not True:
        fail(at, f"{describe(value)} is not true", "leave it out, or send true")
    return options.output(Nothing())


def _labels(value: Any, options: ReadOptions, at: Path) -> ModelOutput:
    """Classes that the model itself has chosen."""
    chosen = []
    for i, one in enumerate(array(value, *at)):
        place = (*at, i)
        label, score = (one.get("label"), one.get("score")) if isinstance(one, Mapping) else (one, None)
        chosen.append(ClassScore(label_of(label, options, place), probability(score, options, (*place, "score"))))
    exclusive = (options.exclusive or None) if len(chosen) == 1 else False
    return options.output(Classification(tuple(chosen), exclusive=exclusive, chosen=True))


def _transcription(value: Any, options: ReadOptions, at: Path) -> ModelOutput:
    text, score = (value.get("text"), value.get("score")) if isinstance(value, Mapping) else (value, None)
    if not isinstance(text, str):
        fail(at, f"{describe(text)} is not a text")
    return options.output(Transcription(text, probability(score, options, (*at, "score"))))


def _entities(value: Any, options: ReadOptions, at: Path) -> ModelOutput:
    return options.output(Entities(tuple(_entity(one, options, (*at, i)) for i, one in enumerate(array(value, *at)))))


def _entity(value: Any, options: ReadOptions, at: Path) -> Entity:
    one = mapping(value, *at)
    label = label_of(one.get("label"), options, (*at, "label"))
    score = probability(one.get("score"), options, (*at, "score"))
    begin, end = _span(one, options, at)
    text = one.get("text")
    if text is None:
        text = options.text[begin:end] if options.text is not None else ""
    return Entity(label, begin, end, text, score)


def _span(one: Mapping[str, Any], options: ReadOptions, at: Path) -> tuple[int, int]:
    """The offsets that were sent; without any, those of the only place where the text occurs."""
    if one.get("start") is not None:
        return integer(one["start"], *at, "start"), integer(one.get("end"), *at, "end")
    quote = string(one.get("text"), *at, "text")
    if options.text is None:
        fail((*at, "start"), "missing, and the asset's text is not known", "send start and end, or asset.text")
    found = options.text.count(quote)
    if found != 1:
        fail((*at, "start"), f"missing, and {describe(quote)} occurs {found} times in the text", "send start and end")
    begin = options.text.index(quote)
    return begin, begin + len(quote)


def _jobs(value: Any, options: ReadOptions, at: Path) -> ModelOutput:
    parts = mapping(value, *at)
    read = {name: read_item(part, replace(options, job=None), (*at, name)) for name, part in parts.items()}
    evidence = {name: part.evidence for name, part in read.items() if part.evidence}
    answers: dict[str, Any] = {name: part.answer for name, part in read.items()}
    return options.output(Several(answers), evidence={"jobs": evidence} if evidence else None)


def _frames(value: Any, options: ReadOptions, at: Path) -> ModelOutput:
    """One item per frame; ``index`` counts from 0 and is the place in the list where it is left out."""
    frames, stated = [], []
    for i, one in enumerate(array(value, *at)):
        item = dict(mapping(one, *at, i))
        index = integer(item.pop("index", i), *at, i, "index")
        output = read_item(item, options, (*at, i))
        if not isinstance(output.answer, Classification | Detection):
            fail((*at, i), f"a frame cannot hold {output.answer.kind}")
        frames.append(Frame(index, output.answer))
        stated.append(output.evidence)
    return options.output(Frames(tuple(frames)), evidence={"frames": stated} if any(stated) else None)


_Reader = Callable[[Any, ReadOptions, Path], ModelOutput | Unwrapped]
_READERS: Mapping[str, _Reader] = {
    "scores": _scores,
    "labels": _labels,
    "text": _transcription,
    "reply": read_reply,
    "entities": _entities,
    "nothing": _nothing,
    "jobs": _jobs,
    "frames": _frames,
}


Item = Mapping[str, Any]


class Drawing:
    """What is known of all shapes of an item: the options, and the canvas, once a shape has needed it."""

    __slots__ = ("_canvas", "options")

    def __init__(self, options: ReadOptions) -> None:
        self.options = options
        self._canvas: Canvas | None = None

    def canvas(self, at: Path) -> Canvas:
        """The canvas of the image; raises OutputError where the units, or the image's size, are not known."""
        if self._canvas is None:
            units = self.options.units
            if units is None:
                problem, fix = "missing: what are the coordinates?", "set pixel, relative, percent or per_mille"
                fail((*at[:-2], "units"), problem, fix)
            self._canvas = unit_canvas(units, self.options, at)
        return self._canvas


ShapeReader = Callable[[Item, Drawing, Path], Shape]


def read_shapes(item: Item, options: ReadOptions, at: Path) -> Kept[DetectedObject]:
    """Read the objects under all of an item's shape keys, in the order of ``SHAPES``.

    Raises OutputError for a wrong object, and where ``units`` are needed and nobody says them.
    """
    objects = [
        (key, one, (*at, key, i)) for key in SHAPES if key in item for i, one in enumerate(array(item[key], *at, key))
    ]
    drawing = Drawing(options)
    return keep(objects, lambda one: _object(*one, drawing), options)


def _object(key: str, value: Any, at: Path, drawing: Drawing) -> DetectedObject:
    one = {name: inner for name, inner in mapping(value, *at).items() if inner is not None}
    read, keys = SHAPES[key]
    options = drawing.options
    if not one.keys() <= _KNOWN[key]:
        name = next(name for name in one if name not in _KNOWN[key])
        fail((*at, name), f"is no key of {key}", f"its keys are {', '.join((*_COMMON, *keys))}")
    track = one.get("track")
    return DetectedObject(
        label_of(one.get("label"), options, (*at, "label")),
        read(one, drawing, at),
        probability(one.get("score"), options, (*at, "score")),
        track_id=None if track is None else str(track),
        page=integer(one["page"], *at, "page") if "page" in one else None,
    )


def _box(one: Item, drawing: Drawing, at: Path) -> Shape:
    canvas, options = drawing.canvas(at), drawing.options
    if "corners" in one:
        corners = _points(one["corners"], (*at, "corners"))
        if len(corners) != 4:
            fail((*at, "corners"), f"{len(corners)} corners where 4 are needed")
        return canvas.corners(corners, (*at, "corners"))
    place = (*at, "box")
    x1, y1, x2, y2 = corners_of(numbers(one.get("box"), 4, place), options.box_order or "xyxy")
    angle = number(one["angle"], *at, "angle") if "angle" in one else 0.0
    if not angle:
        return canvas.box(x1, y1, x2, y2, place)
    if options.image_size is None:
        fail((*at, "angle"), "a turned box needs the image's size", "set image_size: [width, height]")
    return canvas.corners(_turned(x1, y1, x2, y2, math.radians(angle), canvas, options), place)


def _turned(
    x1: float, y1: float, x2: float, y2: float, angle: float, canvas: Canvas, options: ReadOptions
) -> list[tuple[float, float]]:
    """The corners of a box turned about its centre, clockwise as seen; turned in pixels, so that it keeps its form."""
    size = options.image_size
    across, down = (size[0] / canvas.width, size[1] / canvas.height) if size else (1.0, 1.0)
    x, y = (x1 + x2) / 2, (y1 + y2) / 2
    cos, sin = math.cos(angle), math.sin(angle)
    corners = []
    for side_x, side_y in ((x1, y1), (x2, y1), (x2, y2), (x1, y2)):
        dx, dy = (side_x - x) * across, (side_y - y) * down
        corners.append((x + (dx * cos - dy * sin) / across, y + (dx * sin + dy * cos) / down))
    return corners


def _polygon(one: Item, drawing: Drawing, at: Path) -> Shape:
    canvas = drawing.canvas(at)
    outline = canvas.ring(_points(one.get("polygon"), (*at, "polygon")), (*at, "polygon"))
    if "holes" not in one:
        return Shape("polygon", (outline,))
    holes = [
        canvas.ring(_points(hole, (*at, "holes", i)), (*at, "holes", i))
        for i, hole in enumerate(array(one["holes"], *at, "holes"))
    ]
    return Shape("semantic", (as_outline(outline), *(as_hole(hole) for hole in holes)))


def _mask(one: Item, drawing: Drawing, at: Path) -> Shape:
    readers = {"png": shape_of_png, "rle": shape_of_rle, "grid": shape_of_grid}
    given = [name for name in readers if name in one]
    if len(given) != 1:
        fail(at, f"needs one of {', '.join(readers)}; found {' and '.join(given) or 'none'}")
    shape = readers[given[0]](one[given[0]], (*at, given[0]))
    if shape is None:
        raise LeftOut("empty_masks")
    if "box" not in one:
        return shape
    four = numbers(one["box"], 4, (*at, "box"))
    return placed(shape, drawing.canvas(at).ordered(four, drawing.options.box_order or "xyxy", (*at, "box")))


def _point(one: Item, drawing: Drawing, at: Path) -> Shape:
    canvas = drawing.canvas(at)
    if "point" in one:
        x, y = numbers(one["point"], 2, (*at, "point"))
        return Shape("marker", ((canvas.point(x, y, (*at, "point")),),))
    points, place = one.get("points"), (*at, "points")
    named = isinstance(points, Mapping)
    names = tuple(points) if isinstance(points, Mapping) else drawing.options.point_names
    values = list(points.values()) if isinstance(points, Mapping) else array(points, *place)
    found = [_seen(value, (*place, names[i] if named and names else i)) for i, value in enumerate(values)]
    return pose_shape([(x, y) for x, y, _ in found], [seen for *_, seen in found], canvas, names, place)


def _seen(value: Any, at: Path) -> tuple[float, float, float]:
    """A point of a pose with how visible it is; null stands for one that was not found."""
    if value is None:
        return 0.0, 0.0, 0.0
    items = array(value, *at)
    if len(items) == 3:
        x, y, visible = numbers(items, 3, at)
        return x, y, visible
    x, y = numbers(items, 2, at)
    return x, y, 1.0


def _points(value: Any, at: Path) -> list[tuple[float, float]]:
    """Points as pairs, or as one flat list of x and y in turn."""
    items = array(value, *at)
    if items and not isinstance(items[0], list):
        if len(items) % 2:
            fail(at, f"{describe(value)} of {len(items)} numbers is no list of x and y")
        flat = numbers(items, len(items), at)
        return list(zip(flat[::2], flat[1::2], strict=True))
    pairs = [numbers(point, 2, (*at, i)) for i, point in enumerate(items)]
    return [(x, y) for x, y in pairs]


_COMMON = ("label", "score", "track", "page")
SHAPES: Mapping[str, tuple[ShapeReader, tuple[str, ...]]] = {
    "boxes": (_box, ("box", "corners", "angle")),
    "polygons": (_polygon, ("polygon", "holes")),
    "masks": (_mask, ("png", "rle", "grid", "box")),
    "points": (_point, ("point", "points")),
}
"""Readers of shapes and the keys of their objects beside label, score, track and page."""
_KNOWN = {key: frozenset((*_COMMON, *keys)) for key, (_, keys) in SHAPES.items()}
