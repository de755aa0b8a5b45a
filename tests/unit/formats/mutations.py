"""Changes of a payload that leave its meaning as it is, and how two readings are compared.

Every change takes a payload and a source of chance and returns a changed copy, or None where it does not apply.
What is read afterwards must be the same, or a refusal.
"""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable, Iterator
from typing import Any

from worker.contract.output import (
    Classification,
    Detection,
    Either,
    Entities,
    Frames,
    KiliResponse,
    ModelOutput,
    Several,
    Transcription,
)

Change = Callable[[Any, random.Random], Any]
Path = tuple[Any, ...]

HARMLESS = (
    "note",
    "request",
    "comment",
    "created",
    "source_file",
    "latency_text",
    "tenant",
    "run",
    "meta_info",
    "etag",
)
NULLS = (
    *("mask", "box", "bbox", "boxes", "segmentation", "keypoints", "masks", "entity", "entity_group", "index", "text"),
    *("score", "label", "confidence", "probability", "segments", "track_id", "answer", "class", "name", "chunks"),
    *("start", "end", "labels", "scores", "polygon", "points", "choices", "error", "parameters", "id", "names"),
)
GEOMETRY: dict[str, Any] = {
    "bbox": [1.0, 2.0, 30.0, 40.0],
    "boxes": [[1.0, 2.0, 30.0, 40.0]],
    "bboxes": [[1.0, 2.0, 30.0, 40.0]],
    "normalized_boxes": [[0.1, 0.2, 0.3, 0.4]],
    "boundingBox": {"left": 0.1, "top": 0.2, "width": 0.3, "height": 0.4},
    "detection_masks": [[[0.9, 0.1], [0.9, 0.1]]],
    "segmentation": {"size": [2, 2], "counts": [1, 3]},
    "polygon": [[1, 2], [3, 4], [5, 6]],
    "keypoints": [1, 2, 2, 3, 4, 2],
    "mask": "iVBORw0KGgo=",
    "contour": [[1, 2], [3, 4], [5, 6]],
}


def places(value: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Every part of a payload with its path."""
    yield path, value
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in inner:
        yield from places(child, (*path, key))


def put(payload: Any, path: Path, new: Any) -> Any:
    """A copy with another part at the path."""
    if not path:
        return new
    changed = copy.deepcopy(payload)
    holder = changed
    for key in path[:-1]:
        holder = holder[key]
    holder[path[-1]] = new
    return changed


def _some(payload: Any, chance: random.Random, fits: Callable[[Any], bool]) -> tuple[Path, Any] | None:
    found = [(path, part) for path, part in places(payload) if fits(part)]
    return chance.choice(found) if found else None


def permuted(payload: Any, chance: random.Random) -> Any:
    """The keys of every object in another order."""
    if isinstance(payload, dict):
        keys = list(payload)
        chance.shuffle(keys)
        return {key: permuted(payload[key], chance) for key in keys}
    return [permuted(one, chance) for one in payload] if isinstance(payload, list) else payload


def with_harmless_key(payload: Any, chance: random.Random) -> Any:
    """A further key that says nothing about the answer."""
    found = _some(payload, chance, _is_described)
    if found is None:
        return None
    path, part = found
    if _is_the_model_s(path):
        return None
    values: list[Any] = ["x", "2026-01-01", True, ["a"], {"a": "b"}, [], {}, None]
    if any(not isinstance(value, int | float) for value in part.values()):
        values += [3, 0.25]
    return put(payload, path, {**part, chance.choice(HARMLESS): chance.choice(values)})


def _is_the_model_s(path: Path) -> bool:
    """Whether an object is what a language model gives a function: each of its keys is an answer."""
    return not {"args", "input", "arguments"}.isdisjoint(path)


def _is_described(part: Any) -> bool:
    """Objects with keys of their format; in an object of names alone, each key is a class, a column or a job."""
    return isinstance(part, dict) and bool(part) and not _is_by_name(part)


def _is_by_name(part: dict[str, Any]) -> bool:
    values = list(part.values())
    if all(isinstance(value, int | float) for value in values):
        return True
    return all(isinstance(value, dict | list) for value in values)


def with_null_key(payload: Any, chance: random.Random) -> Any:
    """A key of some format that is null."""
    found = _some(payload, chance, _is_described)
    if found is None:
        return None
    path, part = found
    key = chance.choice(NULLS)
    return None if key in part else put(payload, path, {**part, key: None})


def with_number_as_text(payload: Any, chance: random.Random) -> Any:
    """A number written as a text; a whole one without a fraction, for as a name "7.0" is another than "7"."""
    found = _some(payload, chance, lambda part: isinstance(part, int | float) and not isinstance(part, bool))
    if found is None:
        return None
    path, part = found
    return put(payload, path, json.dumps(int(part) if part == int(part) else part))


def with_other_number_type(payload: Any, chance: random.Random) -> Any:
    """A whole number as a fraction (1.0), or the other way round."""
    found = _some(payload, chance, lambda part: type(part) is int or (type(part) is float and part.is_integer()))
    if found is None:
        return None
    path, part = found
    return put(payload, path, float(part) if type(part) is int else int(part))


def as_json_text(payload: Any, _: random.Random) -> Any:
    """The payload as a JSON text."""
    return json.dumps(payload) if isinstance(payload, dict | list) else None


def in_a_list(payload: Any, _: random.Random) -> Any:
    """The only item in a list."""
    return [payload] if isinstance(payload, dict) else None


SAME: dict[str, Change] = {
    change.__name__: change
    for change in (
        permuted,
        with_harmless_key,
        with_null_key,
        with_number_as_text,
        with_other_number_type,
        as_json_text,
        in_a_list,
    )
}
"""Changes that leave the meaning as it is."""


def means_another(case: dict[str, Any], name: str) -> bool:
    """Home-made services send the chosen class as an object, the best classes as a list: a list is another answer."""
    return name == "in_a_list" and case["family"] == "http-classification"


def with_geometry(payload: Any, chance: random.Random) -> Any:
    """Geometry in the object that holds the answer: no longer a class of the whole asset."""
    item, path = payload, ()
    while isinstance(item, list) and item:
        item, path = item[0], (*path, 0)
    if not isinstance(item, dict) or not item:
        return None
    key = chance.choice(list(GEOMETRY))
    return None if key in item else put(payload, path, {**item, key: GEOMETRY[key]})


def _lists_objects(part: Any) -> bool:
    """A list of objects, but not of the parts of one text, nor of the points of one shape."""
    if not isinstance(part, list) or not part or not isinstance(part[0], dict):
        return False
    return not any("text" in one or (isinstance(one, dict) and {*map(str.lower, one)} == {"x", "y"}) for one in part)


def with_fewer_objects(payload: Any, chance: random.Random) -> Any:
    """A list without its last objects, perhaps empty; the points of one object are no such list."""
    found = _some(payload, chance, _lists_objects)
    if found is None or {"keypoints", "points"} & {*found[0][-1:]}:
        return None
    path, part = found
    return put(payload, path, part[: chance.randrange(len(part))])


def with_more_objects(payload: Any, chance: random.Random) -> Any:
    """A list of objects twice over."""
    found = _some(payload, chance, _lists_objects)
    return None if found is None else put(payload, found[0], [*found[1], *copy.deepcopy(found[1])])


def parts_of(answer: Any) -> set[str]:
    """Everything that an answer asserts, one text each; what is sent twice counts once."""
    match answer:
        case Classification(scores=scores):
            return {_text("class", one.label, one.score) for one in scores}
        case Detection(objects=objects):
            return {_text("object", one.label, one.score, one.track_id, one.page, one.shape) for one in objects}
        case Entities(entities=entities):
            return {_text("entity", one.label, one.begin, one.end, one.score) for one in entities}
        case Transcription(text=text, score=score):
            return {_text("text", text, score)}
        case Frames(frames=frames):
            return {f"{frame.index}: {part}" for frame in frames for part in parts_of(frame.answer)}
        case Either(answers=answers):
            return set().union(*map(parts_of, answers))
        case Several(answers=answers):
            return {f"{name}: {part}" for name, one in answers.items() for part in parts_of(one)}
        case KiliResponse(json_response=response):
            return {json.dumps(response, sort_keys=True)}
    return set()


def _text(*parts: Any) -> str:
    return repr([round(part, 9) if isinstance(part, float) else part for part in parts])


def said(outputs: tuple[ModelOutput, ...]) -> list[tuple[Any, ...]]:
    """What outputs say, in a form that does not depend on the order of keys."""
    return [(_kind(output.answer), output.external_id, sorted(parts_of(output.answer))) for output in outputs]


def _kind(answer: Any) -> tuple[Any, ...]:
    exclusive = answer.exclusive if isinstance(answer, Classification) else None
    return answer.kind, exclusive
