"""What the stronger scorer looks at besides the score, and where it waits for its verdict."""

from __future__ import annotations

import json
import os
import struct
from base64 import b64decode, b64encode
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import msgspec

from worker.contract.output import Classification
from worker.review.calibration import Calibration, Example
from worker.review.decision import ScoreSource, Subject

ScorerChoice = Literal["automatic", "off"]


class StrongerScorer(Protocol):
    """Corrects log odds of an error by more than the score."""

    def corrections(
        self, source: ScoreSource, subjects: Sequence[Subject], predicted: Sequence[str]
    ) -> Sequence[float]:
        """What to add to the log odds of each subject; 0 where nothing is known."""
        ...

    def remember(self, source: ScoreSource, subjects: Sequence[Subject], reviewed: Sequence[bool]) -> None:
        """Keep what is needed to learn from verdicts; ``reviewed`` tells which subjects humans are asked about."""

    def learn(self, source: ScoreSource, verdicts: Mapping[str, Example], calibration: Calibration) -> None:
        """Learn from examples by external id; ``calibration`` is what will be corrected."""


def scorer_of(choice: ScorerChoice, store: VectorStore) -> StrongerScorer | None:
    """The scorer that a policy asks for: ``automatic`` is the kernel wherever numpy is installed."""
    if choice == "off":
        return None
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # on matrices this small more threads only spin
    try:
        from worker.review.kernel import KernelScorer
    except ImportError:  # without numpy the calibration stands alone
        return None
    return KernelScorer(store)


MOST_WAITING = 50_000

LEAST_SHARE = 1e-9
"""A class with less probability counts as one without any."""


class Vectors(msgspec.Struct, frozen=True, gc=False):
    """``shares``: probability of every class of a whole distribution, by label. ``embedding``: of the asset."""

    shares: Mapping[str, float]
    embedding: tuple[float, ...] = ()

    @property
    def known(self) -> bool:
        """Whether there is anything to look at."""
        return bool(self.shares or self.embedding)

    def to_json(self) -> str:
        """Compact, with four digits of a probability and three of a number of the embedding."""
        shares = {label: float(f"{share:.4g}") for label, share in self.shares.items() if share >= LEAST_SHARE}
        return json.dumps([shares, *_packed(self.embedding)], separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str | bytes) -> Vectors:
        """Read what ``to_json`` wrote."""
        shares, *embedding = json.loads(text)
        return cls(shares, _unpacked(*embedding))


def _packed(numbers: Sequence[float]) -> tuple[float, str]:
    """The greatest magnitude, and all numbers in its terms with 16 bits each."""
    scale = max(map(abs, numbers), default=0.0) or 1.0
    return scale, b64encode(struct.pack(f"<{len(numbers)}e", *(one / scale for one in numbers))).decode()


def _unpacked(scale: float, text: str) -> tuple[float, ...]:
    raw = b64decode(text)
    return tuple(scale * one for one in struct.unpack(f"<{len(raw) // 2}e", raw))


def vectors_of(subject: Subject) -> Vectors:
    """The whole distribution of a single choice and the embedding, as far as the message has them."""
    answer = subject.output.answer
    shares = {}
    if isinstance(answer, Classification) and answer.complete and answer.exclusive is not False:
        shares = {one.label: one.score for one in answer.scores if one.score is not None}
    return Vectors(shares, tuple(subject.embedding or ()))


@dataclass(frozen=True, slots=True)
class Row:
    """A prediction of a model version (``name:version``) with its verdict and vectors."""

    model: str
    example: Example
    vectors: Vectors

    def to_json(self) -> str:
        """For Redis."""
        return json.dumps([self.model, self.example.to_list(), self.vectors.to_json()], separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str | bytes) -> Row:
        """Read what ``to_json`` wrote."""
        model, example, vectors = json.loads(text)
        return cls(model, Example.from_list(example), Vectors.from_json(vectors))


class VectorStore(Protocol):
    """Where vectors wait for verdicts, rows for fits, and fits for use.

    Where room is ``scarce``, only vectors of predictions that will be reviewed should be kept.
    """

    scarce: bool

    def remember(self, source: ScoreSource, vectors: Mapping[str, Vectors]) -> None:
        """Keep vectors by external id until their verdict comes."""

    def recall(self, source: ScoreSource, external_ids: Collection[str]) -> dict[str, Vectors]:
        """Vectors that were kept, of those external ids that have them."""
        ...

    def add_rows(self, source: ScoreSource, rows: Mapping[str, Row], keep: int) -> list[Row]:
        """Keep rows by external id; return the newest ``keep`` of all versions of the model, oldest first."""
        ...

    def save_fit(self, source: ScoreSource, fit: bytes) -> None:
        """Keep a fit."""

    def fit(self, source: ScoreSource) -> bytes | None:
        """The newest fit of this version, else of any version of the model, as it was given."""
        ...


class MemoryVectors:
    """Everything in dictionaries, the newest 50,000 vectors."""

    scarce = False

    def __init__(self) -> None:
        self._waiting: dict[tuple[str, str], Vectors] = {}
        self._rows: dict[str, dict[tuple[str, str], Row]] = {}
        self._fits: dict[str, bytes] = {}

    def remember(self, source: ScoreSource, vectors: Mapping[str, Vectors]) -> None:
        """Keep vectors by external id until their verdict comes."""
        for external_id, one in vectors.items():
            self._waiting[source.key, external_id] = one
        while len(self._waiting) > MOST_WAITING:
            del self._waiting[next(iter(self._waiting))]

    def recall(self, source: ScoreSource, external_ids: Collection[str]) -> dict[str, Vectors]:
        """Vectors that were kept, of those external ids that have them."""
        found = {external_id: self._waiting.get((source.key, external_id)) for external_id in external_ids}
        return {external_id: one for external_id, one in found.items() if one}

    def add_rows(self, source: ScoreSource, rows: Mapping[str, Row], keep: int) -> list[Row]:
        """Keep rows by external id; return the newest ``keep`` of all versions of the model, oldest first."""
        kept = self._rows.setdefault(source.family, {})
        for external_id, row in rows.items():
            name = source.model, external_id
            kept.pop(name, None)
            kept[name] = row
        for old in list(kept)[:-keep]:
            del kept[old]
        return list(kept.values())

    def save_fit(self, source: ScoreSource, fit: bytes) -> None:
        """Keep a fit."""
        self._fits[source.key] = self._fits[source.family] = fit

    def fit(self, source: ScoreSource) -> bytes | None:
        """The newest fit of this version, else of any version of the model, as it was given."""
        return self._fits.get(source.key) or self._fits.get(source.family)
