"""A Kili project for each golden case: one job per kind of answer, a category per class, a tool per shape."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

Answer = dict[str, Any]


def project_for(case: dict[str, Any]) -> tuple[dict[str, Any], str]:
    """The jsonInterface and the kind of assets that a case's answers go to; a case may bring its own."""
    if "interface" in case:
        return case["interface"], case["input_type"]
    answers = [answer for expected in case["expected"] for answer in _single(expected)]
    answers = [answer for answer in answers if answer["kind"] in JOBS] or [{"kind": "transcription"}]
    kinds = {answer["kind"]: [one for one in answers if one["kind"] == answer["kind"]] for answer in answers}
    jobs = {name: JOBS[kind](found) for kind, found in kinds.items() for name in [job_name(kind)]}
    is_video = any(expected["kind"] == "frames" for expected in case["expected"])
    return {"jobs": jobs}, "VIDEO" if is_video else "TEXT" if "entities" in kinds else "IMAGE"


def job_name(kind: str) -> str:
    """The job of a kind of answer."""
    return f"{kind.upper()}_JOB"


def key_of(label: str) -> str:
    """The key of a class that is displayed as the model calls it."""
    return re.sub(r"\W+", "_", label).upper()


def _single(expected: Answer) -> list[Answer]:
    if expected["kind"] == "frames":
        return [answer for _, answer in expected["frames"]]
    if expected["kind"] == "several":
        return list(expected["answers"].values())
    return [expected["answers"][0] if expected["kind"] == "either" else expected]


def _job(task: str, labels: Iterable[str], **parts: Any) -> dict[str, Any]:
    categories = {key_of(label): {"name": label, "children": []} for label in dict.fromkeys(labels)}
    content = {"input": parts.pop("input", "radio"), "categories": categories}
    return {"mlTask": task, "required": 0, "isChild": False, "instruction": "?", "content": content, **parts}


def _classification(answers: list[Answer]) -> dict[str, Any]:
    several = any(answer["exclusive"] is False for answer in answers)
    labels = [label for answer in answers for label, _ in answer["scores"]]
    return _job("CLASSIFICATION", labels, input="checkbox" if several else "radio")


def _detection(answers: list[Answer]) -> dict[str, Any]:
    objects = [item for answer in answers for item in answer["objects"]]
    job = _job(
        "OBJECT_DETECTION", [item["label"] for item in objects], tools=sorted({item["tool"] for item in objects})
    )
    for item in objects:
        if item["tool"] == "pose":
            points = [{"code": key_of(name), "name": name, "mandatory": True} for name in item["point_names"]]
            job["content"]["categories"][key_of(item["label"])]["points"] = points
    return job


def _entities(answers: list[Answer]) -> dict[str, Any]:
    return _job("NAMED_ENTITIES_RECOGNITION", [entity[0] for answer in answers for entity in answer["entities"]])


def _transcription(_: list[Answer]) -> dict[str, Any]:
    return _job("TRANSCRIPTION", [], input=None)


JOBS = {
    "classification": _classification,
    "detection": _detection,
    "entities": _entities,
    "transcription": _transcription,
}
