"""Train four models on the UCI handwritten digits and write the demo's data file.

    pip install scikit-learn==1.9.1
    python scripts/make_digits.py worker/demo/digits.json

All probabilities are out of sample: each image is answered by a model that was trained on other folds (five stratified
folds, fixed seeds). The models differ on purpose: ``logistic`` is well calibrated, ``network`` is over-fitted and
over-confident, ``bayes`` is wrong more often and nearly always certain, ``smoothed`` is the same kind of model with
smoothed variances: wrong half as often, as certain.

The drift: every zero is also written in as a clerk would who strikes his zeros through, a line from corner to corner of
the ink. No model has seen such a zero; ``smoothed`` answers them, again from a fold without the original.
"""

from __future__ import annotations

import base64
import json
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import sklearn
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, train_test_split
from sklearn.naive_bayes import GaussianNB
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

SEED = 20
FOLDS = 5
SCALE = 65535
FULL_INK = 16
FAINT = 3
"""Ink up to this is no part of what is written."""

MODELS: dict[str, tuple[Any, int | None]] = {
    "logistic": (LogisticRegression(C=10.0, max_iter=2000), 200),
    "network": (
        make_pipeline(StandardScaler(), MLPClassifier((128,), alpha=0.0, max_iter=3000, tol=1e-7, random_state=SEED)),
        250,
    ),
    "bayes": (GaussianNB(), None),
    "smoothed": (GaussianNB(var_smoothing=0.05), None),
}
"""Each model with the number of training images per fold; None takes the whole fold."""


def out_of_sample(
    model: Any, training_size: int | None, pixels: np.ndarray, labels: np.ndarray, shown: np.ndarray | None = None
) -> np.ndarray:
    """Return the class probabilities of every image from a model that did not see it: shape (images, classes).

    ``shown``, of the shape of ``pixels``, is what is answered in place of the images.
    """
    shown = pixels if shown is None else shown
    probabilities = np.zeros((len(labels), 10))
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=SEED)
    for train, test in folds.split(pixels, labels):
        if training_size:
            train, _ = train_test_split(train, train_size=training_size, stratify=labels[train], random_state=SEED)
        probabilities[test] = model.fit(pixels[train], labels[train]).predict_proba(shown[test])
    return probabilities


def struck_through(image: np.ndarray) -> np.ndarray:
    """Draw a line of full ink from the upper right to the lower left corner of what is written; shape (8, 8)."""
    struck = image.copy()
    rows, columns = np.nonzero(image > FAINT)
    for row in range(rows.min(), rows.max() + 1):
        done = (row - rows.min()) / (rows.max() - rows.min())
        struck[row, round(columns.max() - done * (columns.max() - columns.min()))] = FULL_INK
    return struck


def struck_zeros(images: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
    """Strike every zero through and let ``smoothed`` answer; the places are those of the originals."""
    places = np.flatnonzero(labels == 0)
    struck = images.copy()
    for place in places:
        struck[place] = struck_through(images[place])
    model, size = MODELS["smoothed"]
    pixels, shown = (part.reshape(len(labels), -1) / FULL_INK for part in (images, struck))
    said = np.rint(out_of_sample(model, size, pixels, labels, shown)[places] * SCALE).astype("<u2")
    return {"places": pack(places.astype("<u2")), "images": pack(struck[places]), "smoothed": pack(said)}


def pack(array: np.ndarray) -> str:
    """Compress an array of little-endian integers to base 64."""
    return base64.b64encode(zlib.compress(array.tobytes(), 9)).decode()


def facts(stored: np.ndarray, labels: np.ndarray, training_size: int | None) -> dict[str, Any]:
    """Describe one model by what its stored probabilities say."""
    return {
        "training_images": training_size or len(labels) * (FOLDS - 1) // FOLDS,
        "error_rate": round(float(np.mean(stored.argmax(axis=1) != labels)), 6),
        "mean_confidence": round(float(np.mean(stored.max(axis=1) / SCALE)), 6),
    }


def main(target: Path) -> None:
    """Train the models and write ``target``."""
    bunch = load_digits()
    images, labels = bunch.images.astype("u1"), bunch.target.astype("u1")
    pixels = bunch.data / FULL_INK
    stored = {
        name: np.rint(out_of_sample(model, size, pixels, labels) * SCALE).astype("<u2")
        for name, (model, size) in MODELS.items()
    }
    content = {
        "source": "E. Alpaydin, C. Kaynak: Optical Recognition of Handwritten Digits (1998), UCI, doi:10.24432/C50P49",
        "license": "CC BY 4.0",
        "trained_with": f"scikit-learn {sklearn.__version__}, seed {SEED}, {FOLDS} stratified folds, out of sample",
        "count": len(labels),
        "width": 8,
        "height": 8,
        "scale": SCALE,
        "facts": {name: facts(stored[name], labels, size) for name, (_, size) in MODELS.items()},
        "images": pack(images),
        "labels": pack(labels),
        "models": {name: pack(values) for name, values in stored.items()},
        "struck_zeros": struck_zeros(images, labels),
    }
    target.write_text(json.dumps(content, indent=1) + "\n")
    print(json.dumps(content["facts"], indent=1))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
