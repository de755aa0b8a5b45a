"""What one prediction costs in the processor before anything is sent: read, score, rank, compose, validate."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from msgspec import structs

from benchmarks.speed.predictions import INTERFACE, Made
from worker.contract import Prediction, ReadingLimits, read_json, read_prediction, read_raw
from worker.ontology import Interface, to_json_response
from worker.projects.outputs import output_of
from worker.review import RankedPolicy, ReviewPolicy, Subject, ThresholdPolicy, Verdict
from worker.review.decision import subject_of
from worker.settings.groups import THRESHOLD

BOXES = 20
TOGETHER = 200
LEARNED = 600
"""Verdicts that the ranked policy has learned from: as many as its stronger scorer keeps."""

PROJECT = "cbench00000000000000000000"
OBJECTS = {
    "jobs": {
        "OBJECTS": {
            "mlTask": "OBJECT_DETECTION",
            "tools": ["rectangle"],
            "content": {
                "categories": {name: {"name": name.title(), "children": []} for name in ("CAR", "BUS", "BIKE")},
                "input": "radio",
            },
            "instruction": "What is there?",
            "required": 0,
            "isChild": False,
        }
    }
}


@dataclass(frozen=True, slots=True)
class Micro:
    """Microseconds for one prediction of a kind, by step.

    ``score`` includes the decision of the threshold rule; ``rank`` is what the ranked policy takes in its place, for a
    prediction among others that arrive together. ``to_built_in`` is, for a mapping, the processor time in which its
    payload becomes the neutral form, that of the jq process included, as a multiple of the built-in reader's.
    """

    kind: str
    read: float
    score: float
    rank: float
    compose: float
    to_built_in: float | None = None

    @property
    def total(self) -> float:
        """All steps with the threshold rule."""
        return self.read + self.score + self.compose


def measure_micro(repetitions: int) -> list[Micro]:
    """The least time of five rounds of so many repetitions, for each kind of prediction."""
    boxes = f"detection, {BOXES} boxes"
    interfaces = {"classification": INTERFACE, boxes: OBJECTS}
    messages = {
        "classification": (_classification(), _mapped_classification()),
        boxes: (_detection(), _mapped_detection()),
    }
    policy, found = ThresholdPolicy(THRESHOLD), []
    for kind, (built_in, mapped) in messages.items():
        content = interfaces[kind]
        message = Made(0).message(PROJECT) if kind == "classification" else built_in
        found.append(_measured(kind, message, content, policy, repetitions))
        times = _times(built_in, mapped, max(1, repetitions // 5))
        mapping = _measured(f"{kind}, by a mapping", mapped, content, policy, repetitions)
        found.append(replace(mapping, to_built_in=times))
    return found


def _times(built_in: bytes, mapped: bytes, repetitions: int) -> float:
    """How many times as long the mapping takes; both are measured in turn, the least of 15 rounds of each counts."""
    limits = ReadingLimits()
    first, second = (read_prediction(read_json(message, limits)) for message in (built_in, mapped))
    rounds = [(_round(first, repetitions), _round(second, repetitions)) for _ in range(15)]
    return min(took for _, took in rounds) / min(took for took, _ in rounds)


def _round(prediction: Prediction, repetitions: int) -> float:
    begun = _processor_time()
    for _ in range(repetitions):
        output_of(prediction)
    return _processor_time() - begun


def _processor_time() -> float:
    """Of this process and its children (that in which jq runs), in seconds; other programs' load does not count."""
    children = [pid for path in Path("/proc/self/task").glob("*/children") for pid in path.read_text().split()]
    spent = [int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) for pid in children]
    return time.process_time() + sum(spent) / 1e9


def _measured(kind: str, message: bytes, content: dict[str, Any], policy: ReviewPolicy, repetitions: int) -> Micro:
    limits, interface = ReadingLimits(), Interface.parse(content, "IMAGE")
    prediction = read_prediction(read_json(message, limits))
    output = output_of(prediction)

    def score() -> None:
        found = output_of(prediction)
        policy.decide(subject_of(prediction, found, PROJECT))

    return Micro(
        kind,
        _least(lambda: read_raw(message, limits), repetitions),
        _least(score, repetitions),
        _rank_cost(subject_of(prediction, output, PROJECT), max(1, repetitions // TOGETHER)),
        _least(lambda: to_json_response(output, interface), repetitions),
    )


def _rank_cost(subject: Subject, repetitions: int) -> float:
    """Of one decision among those that arrive together, by a policy that has learned."""
    policy = RankedPolicy()
    seen = [structs.replace(subject, external_id=f"learned/{number}", asset_id="") for number in range(LEARNED)]
    pairs = zip(seen, policy.decide_all(seen), strict=True)
    policy.learn(
        Verdict(PROJECT, one.model, decision, float(number % 7 == 0), one.external_id)
        for number, (one, decision) in enumerate(pairs)
    )
    arriving = [structs.replace(subject, external_id=f"new/{number}", asset_id="") for number in range(TOGETHER)]
    return _least(lambda: policy.decide_all(arriving), repetitions) / TOGETHER


def _least(step: Callable[[], object], repetitions: int) -> float:
    times = []
    for _ in range(5):
        begun = time.perf_counter()
        for _ in range(repetitions):
            step()
        times.append(time.perf_counter() - begun)
    return 1e6 * min(times) / repetitions


def _classification() -> bytes:
    return _with_payload(
        json.loads(Made(0).message(PROJECT)), [{"label": label, "score": p} for label, p in _SCORES.items()]
    )


def _mapped_classification() -> bytes:
    """The same classes as a mapping reads them (a home-made service's answer)."""
    payload = {"label": max(_SCORES, key=lambda label: _SCORES[label]), "probabilities": _SCORES}
    return _with_payload(json.loads(Made(0).message(PROJECT)), payload)


def _with_payload(message: dict[str, Any], payload: Any) -> bytes:
    return json.dumps({**message, "output": {"payload": payload}}).encode()


_SCORES: dict[str, float] = json.loads(Made(0).message(PROJECT))["output"]["scores"]


def _detection() -> bytes:
    found = [
        {
            "label": ("CAR", "BUS", "BIKE")[number % 3],
            "score": 0.5 + number / 50,
            "box": {"xmin": 10 + number, "ymin": 20 + number, "xmax": 60 + 2 * number, "ymax": 90 + 3 * number},
        }
        for number in range(BOXES)
    ]
    message = json.loads(Made(0).message(PROJECT))
    output = {"payload": found, "format": "hf-object-detection", "image_size": [640, 480]}
    return json.dumps({**message, "output": output}).encode()


def _mapped_detection() -> bytes:
    """The same boxes as a mapping reads them (Roboflow's answer)."""
    message = json.loads(_detection())
    boxes = [(one["label"], one["score"], one["box"]) for one in message["output"]["payload"]]
    found = [
        {
            "x": (box["xmin"] + box["xmax"]) / 2,
            "y": (box["ymin"] + box["ymax"]) / 2,
            "width": box["xmax"] - box["xmin"],
            "height": box["ymax"] - box["ymin"],
            "confidence": score,
            "class": label,
        }
        for label, score, box in boxes
    ]
    payload = {"image": {"width": 640, "height": 480}, "predictions": found}
    return json.dumps({**message, "output": {"payload": payload, "format": "roboflow"}}).encode()
