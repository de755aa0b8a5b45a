"""The stronger scorer: similar predictions tend to be wrong alike. Needs numpy.

A Gaussian process corrects the calibration's log odds by what verdicts on similar predictions of the same model say:

    f ~ GP(0, v · exp(-|√p - √p'|² / 2·0.3²) · [same class] + e · exp(-|x - x'|) · (0.1 + 0.9·[same class]))

over the roots of the class probabilities and the standardised embedding x, divided by √dimensions. The posterior is
Laplace's approximation (Rasmussen & Williams, Gaussian Processes for Machine Learning, algorithms 3.1 and 5.1). An
embedding that says nothing about errors is found out by its marginal likelihood, and left out (e = 0).
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from worker.review.calibration import Calibration, Example
from worker.review.decision import Subject
from worker.review.state import Source
from worker.review.vectors import MemoryVectors, Row, Vectors, VectorStore, vectors_of

KEPT_ROWS = 600
"""The newest verdicts with vectors per model version: bounds the cost of a fit (cubic) and of a score (linear)."""

FEWEST_ROWS = 20

CHOOSING_ROWS = 250
"""Rows by which the embedding is judged."""

ROOT_AMPLITUDE = 1.0
EMBEDDING_AMPLITUDE = 12.0

BENEFIT_OF_DOUBT = 3.0
"""Logarithm of the odds at which the evidence must speak against an embedding before it is left out."""

_ROOT_LENGTH = 0.3
_EMBEDDING_LENGTH = 1.0
_OTHER_CLASS = 0.1
_LIMIT = 4.0
_NEWTON_STEPS = 12

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class _Points:
    """Predictions as arrays: roots (n, labels), embeddings (n, d) standardised, class numbers (n)."""

    roots: Array
    embeddings: Array
    classes: Array


@dataclass(frozen=True)
class _Fit:
    """Everything that a correction needs."""

    labels: tuple[str, ...]
    mean: Array
    spread: Array
    points: _Points
    weights: Array
    amplitudes: tuple[float, float]

    def corrections(self, vectors: Sequence[Vectors], predicted: Sequence[str]) -> Array:
        found = _points(vectors, predicted, self.labels, self.mean, self.spread)
        result: Array = _kernel(found, self.points, self.amplitudes) @ self.weights
        return result

    def to_bytes(self) -> bytes:
        stream = io.BytesIO()
        np.savez(
            stream,
            labels=np.array(self.labels),
            mean=self.mean,
            spread=self.spread,
            roots=self.points.roots,
            embeddings=self.points.embeddings,
            classes=self.points.classes,
            weights=self.weights,
            amplitudes=np.array(self.amplitudes),
        )
        return stream.getvalue()

    @classmethod
    def from_bytes(cls, raw: bytes) -> _Fit:
        with np.load(io.BytesIO(raw), allow_pickle=False) as found:
            points = _Points(found["roots"], found["embeddings"], found["classes"])
            roots, embeddings = (float(one) for one in found["amplitudes"])
            labels = tuple(str(one) for one in found["labels"])
            return cls(labels, found["mean"], found["spread"], points, found["weights"], (roots, embeddings))


class KernelScorer:
    """Learns where in the space of distributions and embeddings a model is wrong.

    Args:
        store: where vectors wait for verdicts; in this process alone by default.
    """

    def __init__(self, store: VectorStore | None = None) -> None:
        self._store = store or MemoryVectors()
        self._fits: dict[str, tuple[bytes, _Fit]] = {}

    def corrections(self, source: Source, subjects: Sequence[Subject], predicted: Sequence[str]) -> list[float]:
        """What to add to the log odds of each subject; 0 where nothing is known."""
        fit = self._fit(source)
        if fit is None:
            return [0.0] * len(subjects)
        vectors = [vectors_of(subject) for subject in subjects]
        found = fit.corrections(vectors, predicted)
        return [float(one) if known.known else 0.0 for one, known in zip(found, vectors, strict=True)]

    def remember(self, source: Source, subjects: Sequence[Subject], reviewed: Sequence[bool]) -> None:
        """Keep the vectors of subjects that will be reviewed; of all, where there is room."""
        kept = [one for one, asked in zip(subjects, reviewed, strict=True) if asked or not self._store.scarce]
        vectors = {subject.external_id: vectors_of(subject) for subject in kept}
        known = {external_id: one for external_id, one in vectors.items() if one.known}
        if known:
            self._store.remember(source, known)

    def learn(self, source: Source, verdicts: Mapping[str, Example], calibration: Calibration) -> None:
        """Fit anew to the verdicts whose vectors are known."""
        vectors = self._store.recall(source, verdicts)
        fresh = {external_id: Row(verdicts[external_id], one) for external_id, one in vectors.items()}
        rows = self._store.add_rows(source, fresh, KEPT_ROWS)
        if fresh and len(rows) >= FEWEST_ROWS:
            self._store.save_fit(source, _fitted(rows, calibration).to_bytes())

    def _fit(self, source: Source) -> _Fit | None:
        raw = self._store.fit(source)
        if raw is None:
            return None
        known = self._fits.get(source.key)
        if known is None or known[0] is not raw:
            known = self._fits[source.key] = (raw, _Fit.from_bytes(raw))
        return known[1]


def _fitted(rows: Sequence[Row], calibration: Calibration) -> _Fit:
    labels = tuple(sorted({label for row in rows for label in (*row.vectors.roots, row.example.features.predicted)}))
    width = max(len(row.vectors.embedding) for row in rows)
    rows = [row for row in rows if len(row.vectors.embedding) == width]
    raw = np.array([row.vectors.embedding for row in rows], float)
    mean, spread = (raw.mean(axis=0), raw.std(axis=0)) if width else (np.zeros(0), np.ones(0))
    spread = np.maximum(spread, 1e-3 * max(float(spread.max(initial=0.0)), 1e-9))
    predicted = [row.example.features.predicted for row in rows]
    points = _points([row.vectors for row in rows], predicted, labels, mean, spread)
    offsets = np.array([calibration.log_odds(row.example.features) for row in rows])
    wrong = np.array([row.example.wrong for row in rows], float)
    amplitudes = _amplitudes(points, offsets, wrong)
    weights, _ = _laplace(_kernel(points, points, amplitudes), offsets, wrong)
    return _Fit(labels, mean, spread, points, weights, amplitudes)


def _points(
    vectors: Sequence[Vectors], predicted: Iterable[str], labels: Sequence[str], mean: Array, spread: Array
) -> _Points:
    """Arrays of predictions; an embedding of another length than the fit's counts as the mean one."""
    numbers = {label: number for number, label in enumerate(labels)}
    roots = np.array([[one.roots.get(label, 0.0) for label in labels] for one in vectors], float)
    width = len(mean)
    middle = tuple(mean.tolist())
    raw = np.array([one.embedding if len(one.embedding) == width else middle for one in vectors], float)
    embeddings = np.clip((raw.reshape(len(vectors), width) - mean) / spread, -_LIMIT, _LIMIT) / max(1, width) ** 0.5
    return _Points(roots, embeddings, np.array([numbers.get(label, -1) for label in predicted]))


def _kernel(one: _Points, other: _Points, amplitudes: tuple[float, float]) -> Array:
    same = one.classes[:, None] == other.classes[None, :]
    found = np.zeros(same.shape)
    if amplitudes[0]:
        squares = _squared_distances(one.roots, other.roots)
        found += amplitudes[0] * same * np.exp(-squares / (2 * _ROOT_LENGTH**2))
    if amplitudes[1] and one.embeddings.shape[1]:
        distances = np.sqrt(_squared_distances(one.embeddings, other.embeddings)) / _EMBEDDING_LENGTH
        found += amplitudes[1] * np.where(same, 1.0, _OTHER_CLASS) * np.exp(-distances)
    return found


def _squared_distances(one: Array, other: Array) -> Array:
    squares = (one**2).sum(axis=1)[:, None] + (other**2).sum(axis=1)[None, :] - 2 * one @ other.T
    result: Array = np.maximum(squares, 0.0)
    return result


def _amplitudes(points: _Points, offsets: Array, wrong: Array) -> tuple[float, float]:
    """With the embedding, unless the newest rows are clearly more likely without it."""
    without, both = (ROOT_AMPLITUDE, 0.0), (ROOT_AMPLITUDE, EMBEDDING_AMPLITUDE)
    if not points.embeddings.shape[1]:
        return without
    last = slice(-CHOOSING_ROWS, None)
    some = _Points(points.roots[last], points.embeddings[last], points.classes[last])
    evidence = [_laplace(_kernel(some, some, one), offsets[last], wrong[last])[1] for one in (without, both)]
    return both if evidence[1] + BENEFIT_OF_DOUBT > evidence[0] else without


def _laplace(kernel: Array, offsets: Array, wrong: Array) -> tuple[Array, float]:
    """Weights of the posterior mode (f = kernel @ weights), and the logarithm of the marginal likelihood."""
    weights = np.zeros(len(wrong))
    loss = _loss(weights, kernel @ weights, offsets, wrong)
    for _ in range(_NEWTON_STEPS):
        f = kernel @ weights
        p = 1 / (1 + np.exp(-np.clip(offsets + f, -30, 30)))
        root = np.sqrt(np.maximum(p * (1 - p), 1e-4))
        right = root**2 * f + wrong - p
        matrix = np.eye(len(wrong)) + root[:, None] * kernel * root[None, :]
        wanted = right - root * np.linalg.solve(matrix, root * (kernel @ right))
        weights, moved = _towards(wanted, weights, loss, kernel, offsets, wrong)
        before, loss = loss, moved
        if before - loss < 1e-3:
            break
    determinant = float(np.linalg.slogdet(matrix)[1])
    return weights, -loss - determinant / 2


def _towards(
    wanted: Array, weights: Array, loss: float, kernel: Array, offsets: Array, wrong: Array
) -> tuple[Array, float]:
    """The longest step of 1, ½, ¼, … that does not raise the loss."""
    step = 1.0
    while step > 0.01:
        tried = weights + step * (wanted - weights)
        found = _loss(tried, kernel @ tried, offsets, wrong)
        if found <= loss:
            return tried, found
        step /= 2
    return weights, loss


def _loss(weights: Array, f: Array, offsets: Array, wrong: Array) -> float:
    z = offsets + f
    return float(weights @ f / 2 + np.sum(np.logaddexp(0, z) - wrong * z))
