"""The demo's data: real images of handwritten digits and what really trained models say about them.

Images and labels: E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits (1998), UCI Machine Learning
Repository, https://doi.org/10.24432/C50P49, licence CC BY 4.0; the 1,797 images of its test part, as scikit-learn
carries them, unchanged. The probabilities are out of sample; ``scripts/make_digits.py`` trains the models and writes
the file that is read here.
"""

from __future__ import annotations

import array
import base64
import json
import struct
import sys
import zlib
from dataclasses import dataclass
from importlib import resources

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
