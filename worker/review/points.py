"""Distributions and embeddings as arrays that can be compared. Needs numpy."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from worker.review.vectors import LEAST_SHARE, Vectors

PROJECTED = 128
"""Most dimensions of an embedding that are compared."""

_BEST_SHARE = 0.45
_TEMPERATURES = (0.1, 30.0)
_LIMIT = 4.0

Array = np.ndarray[Any, Any]


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
