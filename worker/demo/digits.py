"""The demo's data: real images of handwritten digits and what three really trained models say about them.

Images and labels: E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits (1998), UCI Machine Learning
Repository, https://doi.org/10.24432/C50P49, licence CC BY 4.0; the 1,797 images of its test part, as scikit-learn
carries them, unchanged. The probabilities are out of sample; ``scripts/make_digits.py`` trains the models and writes
the file that is read here.
"""

from __future__ import annotations

import array
import base64
import json
import sys
import zlib
from dataclasses import dataclass
from importlib import resources

CLASS_NAMES = ("ZERO", "ONE", "TWO", "THREE", "FOUR", "FIVE", "SIX", "SEVEN", "EIGHT", "NINE")
"""The category of each label, by index."""


@dataclass(frozen=True)
class ModelFacts:
    """How good one model is over all images: rates and means from 0 to 1."""

    training_images: int
    error_rate: float
    mean_confidence: float


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


def load_digits() -> Digits:
    """Read the packaged data file; the names of the models are ``logistic``, ``network`` and ``bayes``."""
    content = json.loads(resources.files(__package__).joinpath("digits.json").read_text())
    pixels = _unpack(content["images"])
    area = content["width"] * content["height"]
    return Digits(
        images=[pixels[start : start + area] for start in range(0, len(pixels), area)],
        labels=list(_unpack(content["labels"])),
        models={name: _probabilities(packed, content["scale"]) for name, packed in content["models"].items()},
        facts={name: ModelFacts(**facts) for name, facts in content["facts"].items()},
    )


def _unpack(packed: str) -> bytes:
    return zlib.decompress(base64.b64decode(packed))


def _probabilities(packed: str, scale: int) -> list[list[float]]:
    """Decode little-endian 16-bit counts of ``1 / scale`` to rows of one probability per class."""
    counts = array.array("H", _unpack(packed))
    if sys.byteorder == "big":
        counts.byteswap()
    classes = len(CLASS_NAMES)
    return [[count / scale for count in counts[start : start + classes]] for start in range(0, len(counts), classes)]
