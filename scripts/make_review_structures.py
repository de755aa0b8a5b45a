"""Write answers with several units per asset for the review benchmark: benchmarks/review/structures.npz.

    pip install scikit-learn==1.9.1
    git clone https://github.com/leondz/emerging_entities_17
    python scripts/make_review_structures.py emerging_entities_17 benchmarks/review/structures.npz

Detection: canvases with zero to four real handwritten digits (UCI, doi:10.24432/C50P49, CC BY 4.0) among clutter,
searched by window classifiers trained on other digits; semi-synthetic. Entities: the WNUT 2017 emerging entities
(Derczynski, Nichols, van Erp, Limsopatham 2017, CC BY 4.0), tagged token by token with a model trained on its training
part. Stored per asset are scores and the number of errors a human would find, no text and no image.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.datasets import load_digits
from sklearn.feature_extraction import FeatureHasher
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier

SIDE, CANVAS, IMAGES = 8, 40, 1500
SHOWN, CANDIDATE = 0.5, 0.1
BACKGROUND = 10
BACKGROUNDS = 15
SEED = 7

Ragged = list[list[float]]
Placed = list[tuple[int, int, int]]
Array = np.ndarray


def canvas(random: np.random.Generator, digits: Array, labels: Array) -> tuple[Array, Placed]:
    """An image and what is on it: (row, column, digit) of each."""
    image = random.normal(0, 1.0, (CANVAS, CANVAS)).clip(0)
    for _ in range(6):
        part = digits[random.integers(len(digits))][random.integers(0, 5) :][:4, : random.integers(2, 5)]
        row, column = random.integers(0, CANVAS - SIDE, 2)
        image[row : row + part.shape[0], column : column + part.shape[1]] += part * random.uniform(0.3, 0.9)
    placed: Placed = []
    for _ in range(random.integers(0, 5)):
        row, column = random.integers(0, CANVAS - SIDE, 2)
        if all(max(abs(row - r), abs(column - c)) >= SIDE for r, c, _ in placed):
            which = random.integers(len(digits))
            image[row : row + SIDE, column : column + SIDE] = digits[which] * random.uniform(0.5, 1.0)
            image[row : row + SIDE, column : column + SIDE] += random.normal(0, 1.5, (SIDE, SIDE))
            placed.append((int(row), int(column), int(labels[which])))
    return image, placed


def windows(image: np.ndarray) -> np.ndarray:
    """All crops of one digit's size, row by row: (n, 64)."""
    return np.lib.stride_tricks.sliding_window_view(image, (SIDE, SIDE)).reshape(-1, SIDE * SIDE)


def training_crops(random: np.random.Generator, digits: Array, labels: Array) -> tuple[Array, Array]:
    """Crops on digits, and as many that miss them by two pixels or more."""
    crops, classes = [], []
    for _ in range(1000):
        image, placed = canvas(random, digits, labels)
        found = windows(image).reshape(CANVAS - SIDE + 1, CANVAS - SIDE + 1, -1)
        for row, column, label in placed:
            crops.append(found[row, column])
            classes.append(label)
        for _ in range(BACKGROUNDS):
            row, column = random.integers(0, CANVAS - SIDE + 1, 2)
            if all(max(abs(row - r), abs(column - c)) >= 2 for r, c, _ in placed):
                crops.append(found[row, column])
                classes.append(BACKGROUND)
    return np.array(crops), np.array(classes)


def detect(model: Any, image: np.ndarray) -> list[tuple[float, int, int, int]]:
    """(score, row, column, digit), best first, without overlaps, down to the candidates."""
    probabilities = model.predict_proba(windows(image))[:, :BACKGROUND]
    scores = probabilities.max(axis=1)
    kept: list[tuple[float, int, int, int]] = []
    for index in np.argsort(-scores):
        if scores[index] < CANDIDATE:
            break
        row, column = divmod(int(index), CANVAS - SIDE + 1)
        if all(max(abs(row - r), abs(column - c)) >= 5 for _, r, c, _ in kept):
            kept.append((float(scores[index]), row, column, int(probabilities[index].argmax())))
    return kept


def object_errors(shown: list[tuple[float, int, int, int]], placed: Placed) -> int:
    """Digits missed or misnamed, and boxes on nothing."""
    left = list(placed)
    wrong = 0
    for _, row, column, digit in shown:
        match = next((one for one in left if max(abs(row - one[0]), abs(column - one[1])) <= 2), None)
        if match:
            left.remove(match)
        wrong += match is None or match[2] != digit
    return wrong + len(left)


def detection(kind: str, model: Any) -> dict[str, Any]:
    """Train a detector and let it answer canvases of digits that it has not seen."""
    bunch = load_digits()
    half = len(bunch.images) // 2
    random = np.random.default_rng(SEED)
    crops, classes = training_crops(random, bunch.images[:half], bunch.target[:half])
    model.fit(crops / 16, classes)
    shown_scores, candidate_scores, errors = [], [], []
    for _ in range(IMAGES):
        image, placed = canvas(random, bunch.images[half:], bunch.target[half:])
        found = detect(model, image / 16)
        shown = [one for one in found if one[0] >= SHOWN]
        shown_scores.append([one[0] for one in shown])
        candidate_scores.append([one[0] for one in found if one[0] < SHOWN])
        errors.append(object_errors(shown, placed))
    return packed(f"detection/{kind}", shown=shown_scores, candidates=candidate_scores, errors=errors)


def sentences(path: Path) -> Iterator[list[tuple[str, str]]]:
    """(token, tag) pairs, sentence by sentence."""
    sentence: list[tuple[str, str]] = []
    for line in [*path.read_text("utf-8").splitlines(), ""]:
        if line.strip():
            token, tag = line.split("\t")[:2]
            sentence.append((token, tag.split(",")[0]))
        elif sentence:
            yield sentence
            sentence = []


def traits(tokens: list[str], i: int) -> list[str]:
    """What a token and its neighbours look like."""
    found = []
    for offset in (-2, -1, 0, 1, 2):
        token = tokens[i + offset] if 0 <= i + offset < len(tokens) else "<none>"
        shape = "".join("X" if c.isupper() else "x" if c.islower() else "9" if c.isdigit() else "-" for c in token)[:6]
        found += [f"{offset}w={token.lower()}", f"{offset}s={shape}"]
        if abs(offset) <= 1:
            found += [f"{offset}p={token[:3].lower()}", f"{offset}e={token[-3:].lower()}"]
    return found


def spans(tags: list[str]) -> dict[tuple[int, int], str]:
    """(begin, end) to label, from B- and I- tags; an I- without its B- begins a span."""
    found: dict[tuple[int, int], str] = {}
    begin = 0
    for i, tag in enumerate([*tags, "O"]):
        before = tags[i - 1] if i else "O"
        goes_on = tag.startswith("I-") and before != "O" and before[2:] == tag[2:]
        if before != "O" and not goes_on:
            found[begin, i] = before[2:]
        if tag != "O" and not goes_on:
            begin = i
    return found


def entities(folder: Path) -> dict[str, Any]:
    """Train a tagger and let it answer the development and test parts."""
    hasher = FeatureHasher(2**17, input_type="string")
    learned = list(sentences(folder / "wnut17train.conll"))
    rows = [traits([token for token, _ in one], i) for one in learned for i in range(len(one))]
    model = LogisticRegression(C=3.0, max_iter=200).fit(
        hasher.transform(rows), [tag for one in learned for _, tag in one]
    )
    token_scores, entity_scores, errors = [], [], []
    for path in (folder / "emerging.dev.conll", folder / "emerging.test.annotated"):
        for sentence in sentences(path):
            tokens = [token for token, _ in sentence]
            p = model.predict_proba(hasher.transform([traits(tokens, i) for i in range(len(tokens))]))
            told = spans([str(model.classes_[k]) for k in p.argmax(axis=1)])
            true = spans([tag for _, tag in sentence])
            best = p.max(axis=1)
            token_scores.append(best.tolist())
            entity_scores.append([float(best[begin:end].mean()) for begin, end in told])
            errors.append(len(set(told.items()) ^ set(true.items())))
    return packed("entities/wnut17", tokens=token_scores, entities=entity_scores, errors=errors)


def packed(name: str, errors: list[int], **ragged: Ragged) -> dict[str, Any]:
    """Arrays of one set: values and lengths of each ragged list, errors per asset."""
    some = np.mean(np.array(errors) > 0)
    print(f"{name}: {len(errors)} assets, {some:.3f} with an error, {np.mean(errors):.2f} errors each")
    stored: dict[str, Any] = {f"{name}/errors": np.array(errors, "u1")}
    for what, lists in ragged.items():
        stored[f"{name}/{what}"] = np.array([value for one in lists for value in one], "f4")
        stored[f"{name}/{what}-lengths"] = np.array([len(one) for one in lists], "u2")
    return stored


def main(folder: Path, target: Path) -> None:
    """Train, answer, and write ``target``."""
    stored = detection("linear", LogisticRegression(max_iter=300))
    stored |= detection("network", MLPClassifier((64,), max_iter=60, random_state=SEED))
    stored |= detection("cautious", MLPClassifier((64,), alpha=0.5, max_iter=60, random_state=SEED))
    stored |= entities(folder)
    np.savez_compressed(target, **stored)
    print(f"{target}: {target.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
