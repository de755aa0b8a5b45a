"""Laplace's approximation of a Gaussian process with a logistic outcome. Needs numpy.

Rasmussen & Williams, Gaussian Processes for Machine Learning (2006), algorithms 3.1 and 5.1.
"""

from __future__ import annotations

from typing import Any

import numpy as np

_NEWTON_STEPS = 12

Array = np.ndarray[Any, Any]


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
