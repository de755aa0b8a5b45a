"""The stronger scorer: similar predictions tend to be wrong alike. Needs numpy.

A Gaussian process corrects the calibration's log odds by what verdicts on similar predictions of the same model say:

    f ~ GP(0, r · (v · exp(-|√q - √q'|² / 2·0.3²) · [same class] + e · exp(-|x - x'|) · (0.1 + 0.9·[same class])))

over the tempered class probabilities q and the standardised embedding x, divided by √dimensions. q ∝ p^(1/T) with the T
at which the mean of the greatest q is 0.45: the many small probabilities of an over-confident model tell as much as
those of a modest one. A long embedding is projected at random (Johnson and Lindenstrauss). The posterior is Laplace's
approximation (Rasmussen & Williams, Gaussian Processes for Machine Learning, 2006, algorithms 3.1 and 5.1). An
embedding that says nothing about errors is found out by its marginal likelihood, and left out (e = 0). r is 1 within a
version of the model, and 0.7 between two versions.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from worker.review.calibration import Calibration, Example
from worker.review.decision import ScoreSource, Subject
from worker.review.vectors import LEAST_SHARE, MemoryVectors, Row, Vectors, VectorStore, vectors_of

Array = np.ndarray[Any, Any]

PROJECTED = 128
"""Most dimensions of an embedding that are compared."""

_BEST_SHARE = 0.45
_TEMPERATURES = (0.1, 30.0)
_LIMIT = 4.0


@dataclass(frozen=True)
class ScoredPoints:
    """Predictions as arrays: roots (n, labels) of q, embeddings (n, d) standardised, numbers of class and version."""

    roots: Array
    embeddings: Array
    classes: Array
    versions: Array

    def taken(self, which: Array | slice) -> ScoredPoints:
        """Some of them."""
        return ScoredPoints(self.roots[which], self.embeddings[which], self.classes[which], self.versions[which])

    def narrow(self) -> ScoredPoints:
        """In single precision, which is enough to compare and half the work."""
        return ScoredPoints(
            self.roots.astype(np.float32), self.embeddings.astype(np.float32), self.classes, self.versions
        )


@dataclass(frozen=True)
class Scale:
    """How predictions become arrays: labels, versions, temperature, mean and spread (d) of the raw embedding."""

    labels: tuple[str, ...]
    versions_known: tuple[str, ...]
    temperature: float
    mean: Array
    spread: Array


def scale_of(vectors: Sequence[Vectors], predicted: Iterable[str], versions: Iterable[str]) -> Scale:
    labels = tuple(sorted({*predicted, *(label for one in vectors for label in one.shares)}))
    raw = np.array([one.embedding for one in vectors], float)
    mean, spread = (raw.mean(axis=0), raw.std(axis=0)) if raw.shape[1] else (np.zeros(0), np.ones(0))
    spread = np.maximum(spread, 1e-3 * max(float(spread.max(initial=0.0)), 1e-9))
    whole = [one for one in vectors if one.shares]
    temperature = _temperature(_logs(whole, labels)) if whole else 1.0
    return Scale(labels, tuple(sorted(set(versions))), temperature, mean, spread)


def _logs(vectors: Sequence[Vectors], labels: Sequence[str]) -> Array:
    """Logarithms of the probabilities in terms of the greatest (n, labels)."""
    shares = np.array([[one.shares.get(label, 0.0) for label in labels] for one in vectors], float)
    found = np.log(np.maximum(shares, LEAST_SHARE))
    result: Array = found - found.max(axis=1, keepdims=True)
    return result


def _temperature(logs: Array) -> float:
    """The temperature at which the mean of the greatest probability is as wanted; it falls as the temperature rises."""
    low, high = _TEMPERATURES
    for _ in range(12):
        middle = math.sqrt(low * high)
        sure = float((1 / np.exp(logs / middle).sum(axis=1)).mean()) > _BEST_SHARE
        low, high = (middle, high) if sure else (low, middle)
    return math.sqrt(low * high)


def points_of(
    vectors: Sequence[Vectors], predicted: Iterable[str], versions: Iterable[str], scale: Scale
) -> ScoredPoints:
    """Arrays of predictions; an embedding of another length than the fit's counts as the mean one."""
    shares = np.exp(_logs(vectors, scale.labels) / scale.temperature)
    known = np.array([bool(one.shares) for one in vectors])[:, None]
    roots = known * np.sqrt(shares / shares.sum(axis=1, keepdims=True))
    width, middle = len(scale.mean), tuple(scale.mean.tolist())
    raw = np.array([one.embedding if len(one.embedding) == width else middle for one in vectors], float)
    embeddings = np.clip((raw.reshape(len(vectors), width) - scale.mean) / scale.spread, -_LIMIT, _LIMIT)
    if width > PROJECTED:
        embeddings = embeddings @ np.random.RandomState(0).standard_normal((width, PROJECTED)) / PROJECTED**0.5
    classes, names = _numbers(predicted, scale.labels), _numbers(versions, scale.versions_known)
    return ScoredPoints(roots, embeddings / max(1, width) ** 0.5, classes, names)


def _numbers(names: Iterable[str], known: Sequence[str]) -> Array:
    numbers = {name: number for number, name in enumerate(known)}
    return np.array([numbers.get(name, -1) for name in names])


_NEWTON_STEPS = 12


def laplace(kernel: Array, offsets: Array, wrong: Array) -> tuple[Array, float]:
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


KEPT_ROWS = 600
"""The newest verdicts with vectors per model version: bounds the cost of a fit (cubic) and of a score (linear)."""

FEWEST_ROWS = 20

CHOOSING_ROWS = 250
"""Rows by which the embedding is judged."""

ROOT_AMPLITUDE = 3.0
EMBEDDING_AMPLITUDE = 12.0

BENEFIT_OF_DOUBT = 3.0
"""Logarithm of the odds at which the evidence must speak against an embedding before it is left out."""

_ROOT_LENGTH = 0.3
_EMBEDDING_LENGTH = 1.0
_OTHER_CLASS = 0.1
_OTHER_VERSION = 0.7


_POINTS = ("roots", "embeddings", "classes", "versions")
_SCALE = ("labels", "versions_known", "temperature", "mean", "spread")


@dataclass(frozen=True)
class _Fit:
    """Everything that a correction needs."""

    scale: Scale
    points: ScoredPoints
    weights: Array
    amplitudes: tuple[float, float]

    def corrections(self, vectors: Sequence[Vectors], predicted: Sequence[str], version: str) -> Array:
        found = points_of(vectors, predicted, [version] * len(vectors), self.scale).narrow()
        if self.amplitudes[1]:
            result: Array = _kernel(found, self.points, self.amplitudes) @ self.weights
            return result
        corrections = np.zeros(len(vectors), np.float32)
        for number in np.unique(found.classes):  # only a class tells about itself
            here, there = found.classes == number, self.points.classes == number
            block = _kernel(found.taken(here), self.points.taken(there), self.amplitudes)
            corrections[here] = block @ self.weights[there]
        return corrections

    def to_bytes(self) -> bytes:
        stream = io.BytesIO()
        points = {name: getattr(self.points, name) for name in _POINTS}
        scale = {name: np.array(getattr(self.scale, name)) for name in _SCALE}
        own = {"weights": self.weights, "amplitudes": np.array(self.amplitudes)}
        arrays: dict[str, Any] = {name: _narrow(one) for name, one in (points | scale | own).items()}
        np.savez(stream, **arrays)
        return stream.getvalue()

    @classmethod
    def from_bytes(cls, raw: bytes) -> _Fit:
        with np.load(io.BytesIO(raw), allow_pickle=False) as found:
            labels, versions = (tuple(map(str, found[name])) for name in ("labels", "versions_known"))
            scale = Scale(labels, versions, float(found["temperature"]), found["mean"], found["spread"])
            points = ScoredPoints(*(found[name] for name in _POINTS))
            roots, embeddings = (float(one) for one in found["amplitudes"])
            return cls(scale, points, found["weights"], (roots, embeddings))


class KernelScorer:
    """Learns where in the space of distributions and embeddings a model is wrong.

    Args:
        store: where vectors wait for verdicts; in this process alone by default.
    """

    def __init__(self, store: VectorStore | None = None) -> None:
        self._store = store or MemoryVectors()
        self._fits: dict[str, tuple[bytes, _Fit]] = {}
        self._read: dict[str, dict[str, Vectors]] = {}

    def corrections(self, source: ScoreSource, subjects: Sequence[Subject], predicted: Sequence[str]) -> list[float]:
        """What to add to the log odds of each subject; 0 where nothing is known."""
        fit = self._fit(source)
        if fit is None:
            return [0.0] * len(subjects)
        vectors = [vectors_of(subject) for subject in subjects]
        self._read[source.key] = {one.external_id: read for one, read in zip(subjects, vectors, strict=True)}
        found = fit.corrections(vectors, predicted, source.model)
        return [one if known.known else 0.0 for one, known in zip(found.tolist(), vectors, strict=True)]

    def remember(self, source: ScoreSource, subjects: Sequence[Subject], reviewed: Sequence[bool]) -> None:
        """Keep the vectors of subjects that will be reviewed; of all, where there is room."""
        kept = [one for one, asked in zip(subjects, reviewed, strict=True) if asked or not self._store.scarce]
        read = self._read.pop(source.key, {})
        vectors = {subject.external_id: read.get(subject.external_id) or vectors_of(subject) for subject in kept}
        known = {external_id: one for external_id, one in vectors.items() if one.known}
        if known:
            self._store.remember(source, known)

    def learn(self, source: ScoreSource, verdicts: Mapping[str, Example], calibration: Calibration) -> None:
        """Fit anew to the verdicts whose vectors are known."""
        vectors = self._store.recall(source, verdicts)
        fresh = {name: Row(source.model, verdicts[name], one) for name, one in vectors.items()}
        rows = self._store.add_rows(source, fresh, KEPT_ROWS)
        if fresh and len(rows) >= FEWEST_ROWS:
            self._store.save_fit(source, _fitted(rows, calibration).to_bytes())

    def _fit(self, source: ScoreSource) -> _Fit | None:
        raw = self._store.fit(source)
        if raw is None:
            return None
        known = self._fits.get(source.key)
        if known is None or known[0] is not raw:
            known = self._fits[source.key] = (raw, _Fit.from_bytes(raw))
        return known[1]


def _narrow(array: Array) -> Array:
    return array.astype(np.float32) if array.dtype == float else array


def _fitted(rows: Sequence[Row], calibration: Calibration) -> _Fit:
    width = max(len(row.vectors.embedding) for row in rows)
    rows = [row for row in rows if len(row.vectors.embedding) == width]
    vectors, predicted = [row.vectors for row in rows], [row.example.features.predicted for row in rows]
    versions = [row.model for row in rows]
    scale = scale_of(vectors, predicted, versions)
    points = points_of(vectors, predicted, versions, scale)
    offsets = np.array([calibration.log_odds(row.example.features) for row in rows])
    wrong = np.array([row.example.wrong for row in rows], float)
    amplitudes = _amplitudes(points, offsets, wrong)
    weights, _ = laplace(_kernel(points, points, amplitudes), offsets, wrong)
    return _Fit(scale, points, weights, amplitudes)


def _kernel(one: ScoredPoints, other: ScoredPoints, amplitudes: tuple[float, float]) -> Array:
    same = _equal(one.classes, other.classes)
    found = np.exp(_squared_distances(one.roots, other.roots) * (-0.5 / _ROOT_LENGTH**2))
    found *= amplitudes[0]
    if same is not None:
        found *= same
    if amplitudes[1] and one.embeddings.shape[1]:
        distances = np.sqrt(_squared_distances(one.embeddings, other.embeddings))
        near = np.exp(distances * (-1 / _EMBEDDING_LENGTH))
        near *= amplitudes[1]
        found += near if same is None else near * np.where(same, near.dtype.type(1), near.dtype.type(_OTHER_CLASS))
    same_version = _equal(one.versions, other.versions)
    if same_version is not None:
        found[~same_version] *= _OTHER_VERSION
    return found


def _equal(one: Array, other: Array) -> Array | None:
    """Which numbers are equal to which; None where all of them are."""
    if len(one) and (one == one[0]).all() and (other == one[0]).all():
        return None
    found: Array = one[:, None] == other[None, :]
    return found


def _squared_distances(one: Array, other: Array) -> Array:
    squares = (one**2).sum(axis=1)[:, None] + (other**2).sum(axis=1)[None, :] - 2 * one @ other.T
    result: Array = np.maximum(squares, 0.0)
    return result


def _amplitudes(points: ScoredPoints, offsets: Array, wrong: Array) -> tuple[float, float]:
    """With the embedding, unless the newest rows are clearly more likely without it."""
    without, both = (ROOT_AMPLITUDE, 0.0), (ROOT_AMPLITUDE, EMBEDDING_AMPLITUDE)
    if not points.embeddings.shape[1]:
        return without
    last = slice(-CHOOSING_ROWS, None)
    some = points.taken(last)
    evidence = [laplace(_kernel(some, some, one), offsets[last], wrong[last])[1] for one in (without, both)]
    return both if evidence[1] + BENEFIT_OF_DOUBT > evidence[0] else without
