"""Label Studio predictions: regions in percent of the image, spans of text, choices, typed text."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from worker.contract.output import (
    Answer,
    Classification,
    ClassScore,
    DetectedObject,
    Detection,
    Entities,
    Entity,
    ModelOutput,
    Nothing,
    Several,
    Shape,
    Transcription,
)
from worker.formats.checks import ROOT, Path, array, fail, mapping, member, number, string
from worker.formats.coordinates import Canvas, numbers, unit_canvas
from worker.formats.meaning import texts_of, with_evidence, with_ignored
from worker.formats.options import ReadOptions, keep
from worker.formats.scores import label_of, probability
from worker.formats.structure import (
    LIST,
    OBJECT,
    Family,
    Keys,
    Match,
    Miss,
    first_item,
    needed,
    refuse_foreign,
)

Results = list[tuple[Mapping[str, Any], Path]]
"""Results, each with its path."""

_PLAIN = {"rectangle": "rectanglelabels", "polygon": "polygonlabels", "keypoint": "keypointlabels"}


def joined(results: Results) -> Results:
    """Join a region with the labels that share its id, which separate tags for both send; others stay."""
    labels = {
        result["id"]: value["labels"]
        for result, _ in results
        if result.get("type") == "labels" and isinstance(value := result.get("value"), Mapping) and value.get("labels")
        if isinstance(result.get("id"), str)
    }
    regions = {str(result["id"]) for result, _ in results if _is_plain(result)}
    found: Results = []
    for result, place in results:
        name = result.get("id")
        if not isinstance(name, str) or name not in regions or name not in labels:
            found.append((result, place))
        elif _is_plain(result):
            kind = _PLAIN[str(result["type"])]
            found.append(({**result, "type": kind, "value": {**result["value"], kind: labels[name]}}, place))
    return found


def _is_plain(result: Mapping[str, Any]) -> bool:
    kind = result.get("type")
    is_region = isinstance(kind, str) and kind in _PLAIN
    return is_region and isinstance(result.get("value"), Mapping) and isinstance(result.get("id"), str)


def read_region(
    kind: str, value: Mapping[str, Any], result: Mapping[str, Any], options: ReadOptions, at: Path
) -> Shape:
    """Read one region's shape; the image's size stands beside the value or in it."""
    size = _size(result, at) or _size(value, (*at, "value"))
    canvas = unit_canvas("percent", options, at, size)
    if value.get("rotation"):
        return _turned(value, size, canvas, (*at, "value"))
    return REGIONS[kind](value, canvas, (*at, "value"))


def _size(holder: Mapping[str, Any], at: Path) -> tuple[float, float] | None:
    width, height = (_side(holder, key, at) for key in ("original_width", "original_height"))
    return None if width is None or height is None else (width, height)


def _side(result: Mapping[str, Any], key: str, at: Path) -> float | None:
    if result.get(key) is None:
        return None
    side = number(result[key], *at, key)
    if side < 1:
        fail((*at, key), f"an image side of {side:g} pixels")
    return side


def _value(value: Mapping[str, Any], key: str, at: Path) -> float:
    return number(member(value, key, at), *at, key)


def _rectangle(value: Mapping[str, Any], canvas: Canvas, at: Path) -> Shape:
    x, y, width, height = (_value(value, key, at) for key in ("x", "y", "width", "height"))
    return canvas.box(x, y, x + width, y + height, at)


def _turned(value: Mapping[str, Any], size: tuple[float, float] | None, canvas: Canvas, at: Path) -> Shape:
    """Turn a rectangle: degrees hold in pixels, so the image's proportions are needed."""
    if "width" not in value:
        fail((*at, "rotation"), "only rectangles can be turned")
    if size is None:
        fail((*at, "rotation"), "a turned region needs original_width and original_height")
    image_width, image_height = size
    x, y, width, height = (_value(value, key, at) for key in ("x", "y", "width", "height"))
    if min(width, height) <= 0:
        fail(at, f"a region of {width:g} by {height:g} percent has no area")
    angle = math.radians(_value(value, "rotation", at))
    along = (width * math.cos(angle), width * math.sin(angle) * image_width / image_height)
    down = (-height * math.sin(angle) * image_height / image_width, height * math.cos(angle))
    corners = [(x, y), (x + along[0], y + along[1])]
    corners += [(x + along[0] + down[0], y + along[1] + down[1]), (x + down[0], y + down[1])]
    return canvas.corners(corners, at)


def _polygon(value: Mapping[str, Any], canvas: Canvas, at: Path) -> Shape:
    points = array(member(value, "points", at), *at, "points")
    pairs = [numbers(point, 2, (*at, "points", i)) for i, point in enumerate(points)]
    return canvas.polygon([(x, y) for x, y in pairs], (*at, "points"))


def _marker(value: Mapping[str, Any], canvas: Canvas, at: Path) -> Shape:
    return Shape("marker", ((canvas.point(_value(value, "x", at), _value(value, "y", at), at),),))


REGIONS: Mapping[str, Callable[[Mapping[str, Any], Canvas, Path], Shape]] = {
    "rectanglelabels": _rectangle,
    "polygonlabels": _polygon,
    "keypointlabels": _marker,
}
"""Readers by type of result."""


_PREDICTION = Keys({"result": LIST}, open=True)
_TASK = Keys({"data": OBJECT, "predictions": LIST}, open=True)

_ANNOTATED = Keys({"data": OBJECT, "annotations": LIST}, open=True)


def read(payload: Any, options: ReadOptions, at: Path = ROOT) -> tuple[ModelOutput, ...]:
    """Read one prediction or task, or a list of them."""
    if isinstance(payload, Mapping):
        return (_read_one(payload, options.of_item(0), at),)
    return tuple(_read_one(item, options.of_item(i), (*at, i)) for i, item in enumerate(array(payload, *at)))


def _read_one(value: Any, options: ReadOptions, at: Path) -> ModelOutput:
    prediction = mapping(value, *at)
    if "predictions" in prediction or "result" not in prediction:
        prediction, at = _only_prediction(prediction, at)
    refuse_foreign(prediction, ("result",), at)
    results = joined(_results(array(member(prediction, "result", at), *at, "result"), (*at, "result")))
    evidence = texts_of(prediction, {"model_version": "model_version"})
    overall = probability(prediction.get("score"), options, (*at, "score"))
    if overall is not None:
        evidence["prediction_score"] = overall
    return with_evidence(_output(results, options, (*at, "result")), evidence)


def _only_prediction(task: Mapping[str, Any], at: Path) -> tuple[Mapping[str, Any], Path]:
    predictions = array(task.get("predictions") or [], *at, "predictions")
    if not predictions and task.get("annotations"):
        problem = "a task with annotations of people and no prediction of a model"
        fail((*at, "annotations"), problem, "send predictions; the annotations are not the model's")
    if len(predictions) != 1:
        fail((*at, "predictions"), f"{len(predictions)} predictions", "send one prediction per task")
    return mapping(predictions[0], *at, "predictions", 0), (*at, "predictions", 0)


def _results(values: list[Any], at: Path) -> Results:
    return [(mapping(value, *at, i), (*at, i)) for i, value in enumerate(values)]


def _output(results: Results, options: ReadOptions, at: Path) -> ModelOutput:
    """The answer of the only control, or of the one that ``options.field`` names, or one answer per control."""
    controls: dict[str, Results] = {}
    for result, place in results:
        name = string(member(result, "from_name", place), *place, "from_name")
        controls.setdefault(name, []).append((result, place))
    if options.field is not None:
        if options.field not in controls:
            fail(at, f"no result comes from {options.field!r}", "set field to the from_name to read")
        ignored = [name for name in controls if name != options.field]
        return with_ignored(_of_control(controls[options.field], options, at), ignored)
    if not controls:
        return options.output(Nothing())
    if len(controls) == 1:
        return _of_control(next(iter(controls.values())), options, at)
    parts = {name: _of_control(found, options, at) for name, found in controls.items()}
    answers: dict[str, Any] = {name: part.answer for name, part in parts.items()}
    evidence = {name: part.evidence for name, part in parts.items() if part.evidence}
    return options.output(Several(answers), evidence={"jobs": evidence} if evidence else None)


def _of_control(results: Results, options: ReadOptions, at: Path) -> ModelOutput:
    kinds = {string(member(result, "type", place), *place, "type") for result, place in results}
    if kinds <= REGIONS.keys():
        kept = keep(results, lambda one: _object(one[0], options, one[1]), options)
        return options.output(Detection(tuple(kept.found)), evidence=kept.evidence())
    kind = next(iter(kinds))
    if len(kinds) > 1 or kind not in _READERS:
        names = ", ".join(sorted(kinds)[:8])
        fail(at, f"results of type {names} cannot be read", f"readable are {', '.join([*REGIONS, *_READERS])}")
    return options.output(_READERS[kind](results, options, at))


def _object(result: Mapping[str, Any], options: ReadOptions, at: Path) -> DetectedObject:
    kind = result["type"]
    value = mapping(member(result, "value", at), *at, "value")
    label = _one_label(value, kind, options, (*at, "value"))
    shape = read_region(kind, value, result, options, at)
    return DetectedObject(label, shape, probability(result.get("score"), options, (*at, "score")))


def _one_label(value: Mapping[str, Any], key: str, options: ReadOptions, at: Path) -> str:
    labels = array(member(value, key, at), *at, key)
    if len(labels) != 1:
        fail((*at, key), f"{len(labels)} labels on one region", "a region carries exactly one")
    return label_of(labels[0], options, (*at, key, 0))


def _choices(results: Results, options: ReadOptions, at: Path) -> Answer:
    scores: list[ClassScore] = []
    for result, place in results:
        value = mapping(member(result, "value", place), *place, "value")
        score = probability(result.get("score"), options, (*place, "score"))
        for i, choice in enumerate(array(member(value, "choices", place), *place, "value", "choices")):
            scores.append(ClassScore(label_of(choice, options, (*place, "value", "choices", i)), score))
    labels = {score.label for score in scores}
    if not scores or len(labels) < len(scores):
        fail(at, "no choice, or one choice twice")
    exclusive = options.exclusive if len(scores) == 1 else False
    return Classification(tuple(scores), exclusive=exclusive, chosen=True)


def _spans(results: Results, options: ReadOptions, _at: Path) -> Answer:
    return Entities(tuple(_span(result, options, place) for result, place in results))


def _span(result: Mapping[str, Any], options: ReadOptions, at: Path) -> Entity:
    value, place = mapping(member(result, "value", at), *at, "value"), (*at, "value")
    begin, end = (_offset(value, key, place) for key in ("start", "end"))
    if begin >= end:
        fail((*place, "end"), f"a span from {begin} to {end} holds no character")
    if options.text is not None and end > len(options.text):
        fail((*place, "end"), f"a span ends at {end}, the text at {len(options.text)}")
    text = options.text[begin:end] if options.text is not None else value.get("text")
    score = probability(result.get("score"), options, (*at, "score"))
    return Entity(_one_label(value, "labels", options, place), begin, end, string(text, *place, "text"), score)


def _offset(value: Mapping[str, Any], key: str, at: Path) -> int:
    offset = member(value, key, at)
    if isinstance(offset, bool) or not isinstance(offset, int) or offset < 0:
        fail((*at, key), "not a character offset", "spans of rich text (XPath) and of audio cannot be read")
    return offset


def _typed(results: Results, options: ReadOptions, at: Path) -> Answer:
    if len(results) != 1:
        fail(at, f"{len(results)} typed texts", "send one text per prediction")
    result, place = results[0]
    value = mapping(member(result, "value", place), *place, "value")
    text = member(value, "text", (*place, "value"))
    lines = text if isinstance(text, list) else [text]
    joined = "\n".join(string(line, *place, "value", "text") for line in lines)
    return Transcription(joined, probability(result.get("score"), options, (*place, "score")))


_READERS: Mapping[str, Callable[[Results, ReadOptions, Path], Answer]] = {
    "choices": _choices,
    "labels": _spans,
    "textarea": _typed,
}


def _is_result(result: Any) -> bool:
    """Others call lists of theirs ``result``, too."""
    return isinstance(result, Mapping) and not result.keys().isdisjoint(("value", "from_name", "to_name"))


def _detect(payload: Any) -> Match | None:
    item = first_item(payload)[0]
    if isinstance(payload, list) and payload and isinstance(payload[0], list):
        return None
    if _PREDICTION.fits(item) and all(_is_result(result) for result in item["result"]):
        return Match("an object whose result is a list of regions or choices")
    if _TASK.fits(item) and all(_PREDICTION.fits(prediction) for prediction in item["predictions"]):
        return Match("a task with data and predictions")
    return Match("a task with data and annotations") if _ANNOTATED.fits(item) else None


def _near(payload: Any) -> Miss | None:
    item, at = first_item(payload)
    task = _TASK.miss(item, at)
    return task if task and isinstance(item, Mapping) and "data" in item and "predictions" in item else None


FAMILY = Family(
    name="label-studio",
    title="Label Studio predictions",
    rule="an object with a `result` list of objects, or a task with `data` and `predictions`; or a list of either",
    detect=_detect,
    near=_near,
    needs=needed(_PREDICTION, _TASK, _ANNOTATED),
    read=read,
    options=("field", "text", "classes", "exclusive"),
    limits=(
        "Percent units by definition, so no image size is needed. Read are rectanglelabels, polygonlabels, "
        "keypointlabels (also as a region and labels that share an id), choices, labels on plain text, and textarea. "
        "Results of several controls are one answer per job, called as the jobs are, or `field` names the one to read. "
        "Choices are the model's own, so no threshold leaves one out."
    ),
    sources=("https://labelstud.io/guide/predictions", "https://labelstud.io/guide/task_format"),
)
