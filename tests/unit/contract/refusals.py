"""Messages that are refused, written as one change to a message that is not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

GOLDEN = Path(__file__).with_name("refusals.jsonl")
_HERE = "@@here"

_MESSAGE: dict[str, Any] = {
    "schema": "prediction/v1",
    "project_id": "clx0000000000000000000000",
    "external_id": "cam-3/000123.jpg",
    "asset": {"url": "https://example.com/cam-3/000123.jpg"},
    "model": {"name": "car-colour", "version": "2026-11-01"},
    "predicted_at": "2026-11-23T10:15:00Z",
    "metadata": {"camera": "3"},
}
_OBJECT = {"label": "CAR", "score": 0.5}
_OUTPUTS: dict[str, dict[str, Any]] = {
    "scores": {"scores": {"RED": 0.61, "BLACK": 0.3}, "job": "JOB"},
    "payload": {"payload": [{"label": "A", "score": 0.5}], "format": "auto"},
    "kili": {"json_response": {"JOB": {"categories": [{"name": "RED", "confidence": 61}]}}},
    "boxes": {"boxes": [{**_OBJECT, "box": [1, 2, 3, 4]}], "image_size": [640, 480]},
    "polygons": {"polygons": [{**_OBJECT, "polygon": [[0, 0], [1, 0], [1, 1]]}], "units": "relative"},
    "masks": {"masks": [{**_OBJECT, "png": "iVBORw0KGgo="}]},
    "points": {"points": [{**_OBJECT, "point": [1, 2]}], "point_names": ["nose"]},
    "entities": {"entities": [{"label": "CITY", "start": 0, "end": 5, "score": 0.5}]},
    "jobs": {"jobs": {"COLOUR": {"scores": {"RED": 0.5}}, "TEXT": {"text": "a"}}},
}
MESSAGES = {name: {**_MESSAGE, "output": output} for name, output in _OUTPUTS.items()}
MESSAGES["batch"] = {
    **{name: value for name, value in _MESSAGE.items() if name not in ("external_id", "asset")},
    "external_ids": ["a.jpg", "b.jpg"],
    "output": {"payload": [[0.5, 0.5], [0.1, 0.9]], "classes": ["A", "B"]},
}
"""Messages that are predictions, or batches of them."""


class Case(NamedTuple):
    """A message with the JSON text ``text`` put at ``path``; without a text that place is left out."""

    message: str
    path: list[str | int]
    text: str

    @property
    def raw(self) -> bytes:
        """What arrives."""
        if not self.path:
            return self.text.encode("utf-8", "surrogateescape")
        found = json.loads(json.dumps(MESSAGES[self.message]))
        place = found
        for step in self.path[:-1]:
            place = place[step]
        if self.text:
            place[self.path[-1]] = _HERE
        else:
            del place[self.path[-1]]
        return json.dumps(found).replace(f'"{_HERE}"', self.text).encode("utf-8", "surrogateescape")


def golden() -> list[tuple[Case, list[str]]]:
    """Every case with the words of its refusal: cause, field, problem, fix."""
    rows = (json.loads(line) for line in GOLDEN.read_text("utf-8").splitlines())
    return [(Case(*row["case"]), row["refusal"]) for row in rows]
