"""The demo's data, who predicts what when, and what people would answer.

The images of handwritten digits are real, and the models were really trained: two of different calibration, a new
version of one of them, and its drift.

Images and labels: E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits (1998), UCI Machine Learning
Repository, https://doi.org/10.24432/C50P49, licence CC BY 4.0; the 1,797 images of its test part, as scikit-learn
carries them, unchanged. The probabilities are out of sample; ``scripts/make_digits.py`` trains the models and writes
the file that is read here.
"""

from __future__ import annotations

import array
import base64
import json
import random
import struct
import sys
import zlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib import resources
from typing import Any

FULL_INK = 16
SIGNATURE = b"\x89PNG\r\n\x1a\n"
GREYSCALE_8_BIT = bytes((8, 0, 0, 0, 0))
"""Bit depth, colour type, compression, filter and interlace method of the header chunk."""


def png(image: bytes, *, width: int = 8, scale: int = 16) -> bytes:
    """Draw an image as PNG, dark ink on white paper, each pixel as a square of ``scale`` by ``scale``.

    ``image`` has one byte per pixel, row by row, from 0 (paper) to 16 (full ink). The format is that of ISO/IEC 15948.
    Raises ValueError for an ink value above 16 or an image that is not made of full rows.
    """
    if not image or len(image) % width or max(image) > FULL_INK:
        raise ValueError(f"image must be full rows of {width} bytes from 0 to {FULL_INK}")
    rows = [image[start : start + width] for start in range(0, len(image), width)]
    lines = b"".join(_line(row, scale) * scale for row in rows)
    header = struct.pack(">II", width * scale, len(rows) * scale) + GREYSCALE_8_BIT
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(lines, 9)), (b"IEND", b""))
    return SIGNATURE + b"".join(_chunk(kind, content) for kind, content in chunks)


def _line(row: bytes, scale: int) -> bytes:
    """One line of pixels, after the byte that says that no filter is applied."""
    return b"\0" + b"".join(bytes([255 - ink * 255 // FULL_INK]) * scale for ink in row)


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


CLASS_NAMES = ("ZERO", "ONE", "TWO", "THREE", "FOUR", "FIVE", "SIX", "SEVEN", "EIGHT", "NINE")
"""The category of each label, by index."""


@dataclass(frozen=True)
class ModelFacts:
    """How good one model is over all images: rates and means from 0 to 1."""

    training_images: int
    error_rate: float
    mean_confidence: float


@dataclass(frozen=True)
class StruckZeros:
    """Every zero as a clerk writes it who strikes his zeros through, and what the model ``smoothed`` says to it.

    ``places`` are those of the originals in the lists of :class:`Digits`; images and probabilities are as there.
    """

    places: list[int]
    images: list[bytes]
    probabilities: list[list[float]]


@dataclass(frozen=True)
class Digits:
    """Images, true labels and predictions; the lists run in parallel, one entry per image.

    An image is 64 bytes, row by row from the top left, each from 0 (paper) to 16 (full ink). A label is the digit,
    0 to 9. ``models`` has per model name and image the ten class probabilities in the order of CLASS_NAMES.
    """

    images: list[bytes]
    labels: list[int]
    models: dict[str, list[list[float]]]
    facts: dict[str, ModelFacts]
    struck: StruckZeros


def load_digits() -> Digits:
    """Read the packaged data file; the models are ``logistic``, ``network``, ``bayes`` and ``smoothed``."""
    content = json.loads(resources.files(__package__).joinpath("digits.json").read_text())
    area = content["width"] * content["height"]
    struck = content["struck_zeros"]
    return Digits(
        images=_images(content["images"], area),
        labels=list(_unpack(content["labels"])),
        models={name: _probabilities(packed, content["scale"]) for name, packed in content["models"].items()},
        facts={name: ModelFacts(**facts) for name, facts in content["facts"].items()},
        struck=StruckZeros(
            list(_numbers(struck["places"])),
            _images(struck["images"], area),
            _probabilities(struck["smoothed"], content["scale"]),
        ),
    )


def _unpack(packed: str) -> bytes:
    return zlib.decompress(base64.b64decode(packed))


def _images(packed: str, area: int) -> list[bytes]:
    pixels = _unpack(packed)
    return [pixels[start : start + area] for start in range(0, len(pixels), area)]


def _numbers(packed: str) -> array.array[int]:
    """Decode little-endian 16-bit numbers."""
    numbers = array.array("H", _unpack(packed))
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers


def _probabilities(packed: str, scale: int) -> list[list[float]]:
    """Decode counts of ``1 / scale`` to rows of one probability per class."""
    counts = _numbers(packed)
    classes = len(CLASS_NAMES)
    return [[count / scale for count in counts[start : start + classes]] for start in range(0, len(counts), classes)]


MOST_PREDICTIONS = 3360
LEAST_PREDICTIONS = 36
PER_PHASE = 280
LEAST_PHASES = 3
LOGISTIC, FIRST, SECOND = "digit-logistic:1", "digit-bayes:1", "digit-bayes:2"
MODELS = (LOGISTIC, FIRST, SECOND)
LOGISTIC_SHARE = 2 / 7
STRUCK_SHARE = 0.22
"""Struck zeros among the pictures of the office."""


@dataclass(frozen=True, slots=True)
class Predicted:
    """One asset, and what one model version says about it.

    ``label`` is the true digit, ``scores`` has one probability per class in the order of CLASS_NAMES; ``drifted`` is a
    picture of the kind that the model has not learned.
    """

    model: str
    image: bytes
    label: int
    scores: Sequence[float]
    drifted: bool = False
    external_id: str = ""

    @property
    def answer(self) -> str:
        """The class that the model gives."""
        return CLASS_NAMES[max(range(len(self.scores)), key=self.scores.__getitem__)]

    @property
    def truth(self) -> str:
        """The class that is right."""
        return CLASS_NAMES[self.label]

    @property
    def confidence(self) -> float:
        """The model's own, 0 to 1."""
        return max(self.scores)

    @property
    def is_wrong(self) -> bool:
        """Whether the model errs."""
        return self.answer != self.truth


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that is predicted, round by round; from round ``drift_from`` on (0 is the first) there is drift."""

    phases: list[list[Predicted]] = field(repr=False)
    drift_from: int

    @property
    def predictions(self) -> list[Predicted]:
        """All of them, in order."""
        return [one for part in self.phases for one in part]

    @property
    def drifted_model(self) -> str:
        """The version whose pictures change."""
        return SECOND

    @property
    def drifted_class(self) -> str:
        """What it takes most of them for."""
        answers = Counter(one.answer for one in self.predictions if one.drifted)
        return answers.most_common(1)[0][0] if answers else ""


def make_plan(digits: Digits, predictions: int = MOST_PREDICTIONS, *, seed: int = 0) -> Plan:
    """Distribute pictures over models and rounds; no model version sees a picture twice.

    Args:
        digits: images, labels and the models' answers.
        predictions: how many, LEAST_PREDICTIONS to MOST_PREDICTIONS.
        seed: of the order of the pictures.
    """
    dice = random.Random(f"plan {seed}")
    count = max(LEAST_PHASES, round(predictions / PER_PHASE))
    second_from, drift_from = max(1, count // 4), max(2, count * 2 // 3)
    sizes = [predictions * (number + 1) // count - predictions * number // count for number in range(count)]
    logistic = [round(LOGISTIC_SHARE * size) for size in sizes]
    bayes = [size - taken for size, taken in zip(sizes, logistic, strict=True)]
    parts = [
        *_cut(_shuffled(digits, "bayes", FIRST, dice), bayes[:second_from]),
        *_cut(_second(digits, bayes[second_from:], drift_from - second_from, dice), bayes[second_from:]),
    ]
    phases = []
    for one, other in zip(_cut(_shuffled(digits, "logistic", LOGISTIC, dice), logistic), parts, strict=True):
        together = one + other
        dice.shuffle(together)
        phases.append(together)
    return Plan(_named(phases), drift_from)


def _shuffled(digits: Digits, source: str, model: str, dice: random.Random) -> list[Predicted]:
    rows = zip(digits.images, digits.labels, digits.models[source], strict=True)
    found = [Predicted(model, image, label, scores) for image, label, scores in rows]
    dice.shuffle(found)
    return found


def _second(digits: Digits, sizes: Sequence[int], calm: int, dice: random.Random) -> list[Predicted]:
    """What the second version answers: so many calm rounds, then those of the office."""
    pictures = _shuffled(digits, "smoothed", SECOND, dice)
    before, after = sum(sizes[:calm]), sum(sizes[calm:])
    rows = zip(digits.struck.images, digits.struck.probabilities, strict=True)
    struck = [Predicted(SECOND, image, 0, scores, drifted=True) for image, scores in rows]
    dice.shuffle(struck)
    struck = struck[: round(STRUCK_SHARE * after)]
    others = [one for one in pictures[before:] if one.label][: after - len(struck)]
    office = struck + others
    dice.shuffle(office)
    return pictures[:before] + office


def _cut(pictures: list[Predicted], sizes: Sequence[int]) -> list[list[Predicted]]:
    starts = [sum(sizes[:number]) for number in range(len(sizes))]
    return [pictures[start : start + size] for start, size in zip(starts, sizes, strict=True)]


def _named(phases: list[list[Predicted]]) -> list[list[Predicted]]:
    """Number the assets in the order in which they come."""
    number = 0
    named = []
    for part in phases:
        named.append([_with_name(one, number + place) for place, one in enumerate(part)])
        number += len(part)
    return named


def _with_name(one: Predicted, number: int) -> Predicted:
    return Predicted(one.model, one.image, one.label, one.scores, one.drifted, f"digit-{number:04}.png")


JOB = "CLASSIFICATION_JOB"
MISTAKES = 0.02


class SimulatedLabelers:
    """What they would answer to each asset, whenever and by whomever it is asked.

    ``answers`` has a class for every external id: so the demo knows what agreement with all of them would be.
    """

    def __init__(self, plan: Plan, *, mistakes: float = MISTAKES, seed: int = 0) -> None:
        dice = random.Random(f"people {seed}")
        self.answers: dict[str, str] = {}
        for one in plan.predictions:
            mistaken = dice.random() < mistakes
            others = [name for name in CLASS_NAMES if name != one.truth]
            self.answers[one.external_id] = dice.choice(others) if mistaken else one.truth

    def __call__(self, external_id: str) -> dict[str, Any] | None:
        """The answer as a json_response; None for an asset that is not the demo's."""
        name = self.answers.get(external_id)
        return {JOB: {"categories": [{"name": name}]}} if name else None
