"""The predictions every competitor brings to Kili, and the state they should lead to."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

JOB = "COLOUR"
ANSWERS = ("RED", "BLACK", "GREY", "WHITE")
MODEL_NAME, MODEL_VERSION = "bench", "1"
MODEL = f"{MODEL_NAME}:{MODEL_VERSION}"
INTERFACE = {
    "jobs": {
        JOB: {
            "mlTask": "CLASSIFICATION",
            "content": {
                "categories": {name: {"name": name.title(), "children": []} for name in ANSWERS},
                "input": "radio",
            },
            "instruction": "Which colour?",
            "required": 1,
            "isChild": False,
        }
    }
}
DOUBTFUL, CONFIDENT = 0.6, 0.95
PRIORITY = 40
DOUBTFUL_EVERY = 5


@dataclass(frozen=True, slots=True)
class Made:
    """A prediction, whoever sends it; one in five is doubtful and needs a priority."""

    number: int
    prefix: str = "cam-3"
    doubtful_every: int = DOUBTFUL_EVERY

    @property
    def external_id(self) -> str:
        """Name of the asset."""
        return f"{self.prefix}/{self.number:08d}.jpg"

    @property
    def url(self) -> str:
        """Content of the asset."""
        return f"https://images.example.com/{self.external_id}"

    @property
    def answer(self) -> str:
        """What the model says."""
        return ANSWERS[self.number % len(ANSWERS)]

    @property
    def is_doubtful(self) -> bool:
        """Whether it needs a priority."""
        return self.doubtful_every > 0 and self.number % self.doubtful_every == 0

    @property
    def confidence(self) -> float:
        """Probability of the answer."""
        return DOUBTFUL if self.is_doubtful else CONFIDENT

    def message(self, project: str) -> bytes:
        """As a producer sends it to one of our doors."""
        rest = round((1 - self.confidence) / (len(ANSWERS) - 1), 4)
        message = {
            "project_id": project,
            "external_id": self.external_id,
            "asset": {"url": self.url},
            "model": {"name": MODEL_NAME, "version": MODEL_VERSION},
            "output": {"scores": {name: self.confidence if name == self.answer else rest for name in ANSWERS}},
            "predicted_at": "2026-11-23T10:15:00.250000Z",
            "metadata": {"camera": "3", "line": self.number % 7, "shift": "night"},
        }
        return json.dumps(message, separators=(",", ":")).encode()

    def json_response(self) -> dict[str, Any]:
        """As Kili stores it."""
        return {JOB: {"categories": [{"name": self.answer, "confidence": round(100 * self.confidence)}]}}


@dataclass(frozen=True, slots=True)
class Work:
    """The predictions with numbers from ``start`` on."""

    count: int
    start: int = 0
    prefix: str = "cam-3"
    doubtful_every: int = DOUBTFUL_EVERY

    def __iter__(self) -> Iterator[Made]:
        numbers = range(self.start, self.start + self.count)
        return (Made(number, self.prefix, self.doubtful_every) for number in numbers)

    def chunks(self, size: int) -> Iterator[list[Made]]:
        """The predictions in lists of ``size``."""
        made = list(self)
        return (made[first : first + size] for first in range(0, len(made), size))

    def to_json(self) -> dict[str, Any]:
        """For a competitor in another process."""
        return asdict(self)

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> Self:
        """Read what ``to_json`` wrote."""
        return cls(**found)


class WrongState(Exception):
    """Kili holds something that nobody should have sent; the run does not count."""


def finished(items: Sequence[Mapping[str, Any]], work: Iterable[Made]) -> int:
    """How many predictions are in Kili in full: the asset, its one INFERENCE label, a priority where it is doubtful.

    Args:
        items: every asset of the project with its labels, as the sandbox tells them.
        work: what was to be sent.

    Raises:
        WrongState: an asset twice or unknown, a label twice or wrong, a priority where there should be none.
    """
    wanted = {made.external_id: made for made in work}
    seen: set[str] = set()
    count = 0
    for item in items:
        name = item["externalId"]
        if name not in wanted or name in seen:
            raise WrongState(f"{name}: is there twice, or was never sent")
        seen.add(name)
        count += _is_finished(item, wanted[name])
    return count


def _is_finished(item: Mapping[str, Any], made: Made) -> bool:
    labels = [label for label in item["labels"] if label["labelType"] == "INFERENCE"]
    if len(labels) != len(item["labels"]) or len(labels) > 1:
        raise WrongState(f"{made.external_id}: has {len(item['labels'])} labels")
    if item["content"] != made.url:
        raise WrongState(f"{made.external_id}: shows {item['content']!r}")
    if item["priority"] and not made.is_doubtful:
        raise WrongState(f"{made.external_id}: has priority {item['priority']} and is not doubtful")
    if not labels:
        return False
    _check_label(labels[0], made)
    return item["priority"] > 0 or not made.is_doubtful


def _check_label(label: Mapping[str, Any], made: Made) -> None:
    found = json.loads(label["jsonResponse"])[JOB]["categories"]
    if [one["name"] for one in found] != [made.answer] or label["modelName"] != MODEL:
        raise WrongState(f"{made.external_id}: has the label {label['jsonResponse']} of {label['modelName']}")
