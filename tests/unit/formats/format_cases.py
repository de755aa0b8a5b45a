"""Golden cases: official payloads beside what must be read from them, and outputs in their short notation."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from scripts.reference.formats import shipped_examples
from worker.contract.output import (
    Classification,
    DetectedObject,
    Detection,
    Either,
    Entities,
    Frames,
    KiliResponse,
    Nothing,
    Several,
    Shape,
    Transcription,
)
from worker.formats import ModelOutput, ReadOptions, read_payload
from worker.formats.mappings.mapping import MappingExample

GOLDEN = Path(__file__).parent / "golden"


def golden_cases() -> list[dict[str, Any]]:
    """Every case of every family, with the family's name."""
    return [
        {**case, "family": path.stem}
        for path in sorted(GOLDEN.glob("*.json"))
        for case in json.loads(path.read_text(encoding="utf-8"))
    ]


def mapping_cases() -> list[dict[str, Any]]:
    """Every payload beside the shipped mappings that must be read, in the notation of the golden cases."""
    return [
        _mapping_case(name, example)
        for name, examples in sorted(shipped_examples().items())
        for example in examples
        if not example.refused
    ]


def _mapping_case(name: str, example: MappingExample) -> dict[str, Any]:
    case = {"family": name, "name": example.name, "payload": example.payload, "options": dict(example.options)}
    outputs = read_payload(example.payload, options_of(case)).outputs
    return case | {"expected": [plain(output) for output in outputs]}


def options_of(case: dict[str, Any], **changes: Any) -> ReadOptions:
    """A case's options."""
    options = {**case["options"], **changes}
    if isinstance(options.get("image_size"), list):
        options["image_size"] = tuple(options["image_size"])
    return ReadOptions(**options)


def plain(output: ModelOutput) -> dict[str, Any]:
    """An output in the notation of the golden files; what is empty is left out."""
    short = plain_answer(output.answer)
    extras = {"job": output.job, "external_id": output.external_id, "evidence": output.evidence}
    return short | {key: value for key, value in extras.items() if value}


def plain_answer(answer: Any) -> dict[str, Any]:
    match answer:
        case Classification(scores, exclusive, complete, chosen):
            pairs = [[score.label, score.score] for score in scores]
            short = {"kind": "classification", "scores": pairs, "exclusive": exclusive, "complete": complete}
            return short | ({"chosen": True} if chosen else {})
        case Detection(objects):
            return {"kind": "detection", "objects": [_plain_object(item) for item in objects]}
        case Entities(entities):
            rows = [[item.label, item.begin, item.end, item.text, item.score] for item in entities]
            return {"kind": "entities", "entities": rows}
        case Transcription(text, score, logprobs):
            short = {"kind": "transcription", "text": text, "score": score}
            return short | ({"token_logprobs": list(logprobs)} if logprobs else {})
        case Frames(frames):
            return {"kind": "frames", "frames": [[frame.index, plain_answer(frame.answer)] for frame in frames]}
        case Nothing():
            return {"kind": "nothing"}
        case Either(answers):
            return {"kind": "either", "answers": [plain_answer(one) for one in answers]}
        case Several(answers):
            return {"kind": "several", "answers": {name: plain_answer(one) for name, one in answers.items()}}
        case KiliResponse(json_response):
            return {"kind": "kili", "json_response": json_response}
    raise AssertionError(answer)


def _plain_object(item: DetectedObject) -> dict[str, Any]:
    short = {"label": item.label, "score": item.score, "tool": item.shape.tool, **_plain_geometry(item.shape)}
    extras = {
        "track_id": item.track_id,
        "point_names": list(item.shape.point_names),
        "visible": list(item.shape.visible),
    }
    return short | {key: value for key, value in extras.items() if value}


def _plain_geometry(shape: Shape) -> dict[str, Any]:
    """An upright rectangle as its box, everything else as rings."""
    if shape.tool == "rectangle":
        (x1, y1), _, (x2, y2), _ = shape.rings[0]
        if shape.rings[0] == ((x1, y1), (x2, y1), (x2, y2), (x1, y2)):
            return {"box": [x1, y1, x2, y2]}
    return {"rings": [[list(point) for point in ring] for ring in shape.rings]}


def same(left: Any, right: Any) -> bool:
    """Equality that forgives rounding of numbers."""
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, float) or isinstance(right, float):
        return left is not None and right is not None and abs(left - right) < 1e-9
    return bool(left == right)
