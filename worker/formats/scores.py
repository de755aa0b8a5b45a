"""From what a model calls a class and what it says of it to names and probabilities in [0, 1].

A probability vector over all classes must sum to 1, a part of one to at most 1, both within SUM_TOLERANCE;
independent (multi-label) scores must be announced with ``exclusive: false``. Logits become probabilities by
softmax(z)_k = exp(z_k - max z) / Σ_j exp(z_j - max z), which needs every class, or one by one by the logistic
function where the classes are independent. Of what a language model wrote, the tokens' log probabilities add up.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from worker.contract.output import Classification, ClassScore
from worker.formats.checks import (
    Path,
    array,
    describe,
    fail,
    finite_numbers,
    integer,
    is_number,
    mapping,
    member,
    number,
)
from worker.formats.options import ReadOptions


def name_of(index: int, options: ReadOptions, at: Path) -> str:
    """Name the class with this index.

    Raises OutputError when ``options.classes`` does not name it.
    """
    classes = options.classes
    if classes is None:
        fail(at, f"class index {index} has no name", "set classes to the names in the model's order")
    if isinstance(classes, Mapping):
        name = classes.get(index, classes.get(str(index)))
        if name is None:
            fail(at, f"class index {index} has no name", f"add {index} to classes")
        return name
    position = index - (options.first_class or 0)
    if not 0 <= position < len(classes):
        if index == len(classes) and options.first_class is None:
            fail(at, f"class index {index} of {len(classes)} classes: does the model count from 1?", _FROM_ONE)
        fail(at, f"class index {index} has no name: classes has {len(classes)}", "complete classes")
    return classes[position]


_FROM_ONE = "set first_class: 1, or complete classes"
_BACKGROUND = frozenset(("background", "__background__", "_background_", "bg", "n/a", "none", "???", ""))


def check_first_class(identifiers: Iterable[int], options: ReadOptions, at: Path) -> None:
    """Refuse class ids of a kind of model that often counts from 1, where nothing tells whether this one does.

    Told it is by ``first_class``, by a mapping, by a first name that is the background's, and by an id 0.
    """
    classes = options.classes
    if options.first_class is not None or classes is None or isinstance(classes, Mapping):
        return
    if classes[0].strip().casefold() in _BACKGROUND:
        return
    ids = list(identifiers)
    if ids and 0 not in ids and max(ids) <= len(classes):
        fail(at, f"class ids from {min(ids)} on: classes may begin with 0 or with 1", "set first_class: 0 or 1")


def name_by_id(identifier: int, options: ReadOptions, at: Path) -> str:
    """Name the class with this category id; ids are not positions, so a list of classes needs ``first_class``."""
    listed = options.classes is not None and not isinstance(options.classes, Mapping)
    if listed and options.first_class is None:
        fail(at, "category ids are not positions in a list", "set classes to a mapping from id to name, or first_class")
    return name_of(identifier, options, at)


def label_of(label: Any, options: ReadOptions, at: Path) -> str:
    """Name a class given as index or label; a label that ``classes`` maps is renamed, others stay."""
    if type(label) is not str and is_number(label):
        return name_of(integer(label, *at), options, at)
    if not isinstance(label, str) or not label.strip():
        fail(at, f"{describe(label)} is neither a class name nor a class index")
    classes = options.classes
    if classes is None:
        return label
    if isinstance(classes, Mapping):
        return classes.get(label) or _numbered(label, classes) or label
    if label in classes:
        return label
    if label.isascii() and label.isdigit() and len(label) < 7:
        return name_of(int(label), options, at)
    return _numbered(label, classes) or label


_UNNAMED = re.compile(r"LABEL_(\d{1,6})")
"""What Hugging Face calls the classes of a model without names."""


def _numbered(label: str, classes: Sequence[str] | Mapping[str | int, str]) -> str | None:
    """The name of LABEL_n, which is the n-th class of the model, from 0."""
    match = _UNNAMED.fullmatch(label)
    if match is None:
        return None
    index = int(match[1])
    if isinstance(classes, Mapping):
        return classes.get(index) or classes.get(match[1])
    return classes[index] if index < len(classes) else None


def known_names(options: ReadOptions) -> tuple[str, ...]:
    """Return every configured class name, in order; empty when none is configured."""
    if options.classes is None:
        return ()
    values = options.classes.values() if isinstance(options.classes, Mapping) else options.classes
    return tuple(dict.fromkeys(values))


SUM_TOLERANCE = 0.02
MOST_PERCENT = 100.5
ROUNDING = 0.001
"""How far above 1 or below 0 a probability may lie from rounding in half precision; it is clipped."""

Where = Callable[[int], Path]


def vector_scores(
    values: Sequence[Any], options: ReadOptions, at: Path, names: Sequence[str] | None = None
) -> Classification:
    """Read one score per class, in the order of ``names`` or else of ``options.classes``.

    Raises OutputError for a class without a name, a vector that is no distribution, a value out of range.
    """
    if not values:
        fail(at, "no scores")
    labels = _vector_labels(len(values), options, at, names)
    raw = [number(value, *at, i) for i, value in enumerate(values)]
    scores = _probabilities(raw, options, lambda i: (*at, i))
    total = math.fsum(scores)
    if options.exclusive is not False and abs(total - 1) > SUM_TOLERANCE:
        fail(at, f"probabilities over all classes sum to {total:.3g}, not to 1", _NOT_ONE)
    return _classification(labels, scores, options, complete=options.exclusive is not False)


def label_scores(
    labels: Sequence[str],
    values: Sequence[Any],
    options: ReadOptions,
    at: Path,
    where: Where | None = None,
    *,
    whole: bool = False,
) -> Classification:
    """Read scores that come with their labels; they may be the best few of many classes.

    ``where`` gives the path of the i-th score. ``whole`` says that no class is missing.
    Raises OutputError for a repeated label, a sum above 1, a value out of range, logits of some classes only.
    """
    place = where or (lambda i: (*at, i))
    if not labels:
        fail(at, "no scores")
    _refuse_repeats(labels, place)
    exact = finite_numbers(values)
    raw = [number(value, *place(i)) for i, value in enumerate(values)] if exact is None else exact
    if options.score_kind == "logit" and options.exclusive is not False and not whole:
        _require_every_class(labels, options, at)
    scores = _probabilities(raw, options, place)
    return _classification(labels, scores, options, complete=_is_complete(scores, options, at))


def bare_label(label: str, options: ReadOptions) -> Classification:
    """A class without any score."""
    return Classification((ClassScore(label),), exclusive=options.exclusive)


def bare_labels(labels: Sequence[str], at: Path) -> Classification:
    """Several classes without any score; raises OutputError for a repeated one."""
    _refuse_repeats(labels, lambda i: (*at, i))
    return Classification(tuple(ClassScore(label) for label in labels), exclusive=False)


def probability(value: Any, options: ReadOptions, at: Path) -> float | None:
    """Read one probability that stands alone (of a box, a span, an answer); null means unknown.

    Raises OutputError for a value outside [0, 1], and for a lone logit, which has no softmax.
    """
    if value is None:
        return None
    if options.score_kind == "logit":
        fail(at, "a lone logit cannot become a probability", "send probabilities for this format")
    if type(value) is float and 0.0 <= value <= 1.0:
        return value
    return in_range(number(value, *at), at, "send probabilities between 0 and 1")


def in_range(value: float, at: Path, fix: str) -> float:
    """Clip what rounding put outside [0, 1]; raises OutputError for a value further away, or one that is no number."""
    if not -ROUNDING <= value <= 1 + ROUNDING:
        fail(at, f"{describe(value)} is not a probability", fix)
    return min(1.0, max(0.0, value))


_LOGIT_ADVICE = "set score_kind: logit if the model sends raw scores"
_NOT_ONE = "set exclusive: false if classes are independent, score_kind: logit if these are raw scores"


def _vector_labels(count: int, options: ReadOptions, at: Path, names: Sequence[str] | None) -> list[str]:
    given = names if names is not None else options.classes
    if isinstance(given, Sequence) and len(given) != count:
        fail(at, f"{count} scores for {len(given)} classes", "classes must name every column, in order")
    if names is not None:
        _refuse_repeats(names, lambda _: at)
        return list(names)
    labels = [name_of(i, options, (*at, i)) for i in range(count)]
    _refuse_repeats(labels, lambda i: (*at, i))
    return labels


def _refuse_repeats(labels: Sequence[str], where: Where) -> None:
    if len(set(labels)) == len(labels):
        return
    for i, label in enumerate(labels):
        if label in labels[:i]:
            fail(where(i), f"class {label!r} appears twice", "send one row per item: a list of lists")


def _probabilities(raw: list[float], options: ReadOptions, where: Where) -> list[float]:
    if options.score_kind == "logit":
        return [_logistic(z) for z in raw] if options.exclusive is False else _softmax(raw)
    low, high = min(raw), max(raw)
    if low < -ROUNDING or high > 1 + ROUNDING:
        _refuse_no_probabilities(raw, where)
    if low < 0 or high > 1:
        return [min(1.0, max(0.0, value)) for value in raw]
    return raw


def _refuse_no_probabilities(raw: list[float], where: Where) -> NoReturn:
    """Say what scores seem to be that lie outside [0, 1]."""
    i = next(i for i, value in enumerate(raw) if not -ROUNDING <= value <= 1 + ROUNDING)
    problem, fix = f"{describe(raw[i])} is not a probability", _LOGIT_ADVICE
    if min(raw) >= 0 and all(value.is_integer() for value in raw):
        problem += ": whole numbers may be counts, votes or class indices"
        fix = "send probabilities between 0 and 1"
    elif min(raw) >= 0 and max(raw) <= MOST_PERCENT:
        fix = f"{_LOGIT_ADVICE}, and probabilities, not percents, otherwise"
    fail(where(i), problem, fix)


def _softmax(logits: list[float]) -> list[float]:
    top = max(logits)
    weights = [math.exp(z - top) for z in logits]
    total = math.fsum(weights)
    return [weight / total for weight in weights]


def _logistic(z: float) -> float:
    if z >= 0:
        return 1 / (1 + math.exp(-z))
    weight = math.exp(z)
    return weight / (1 + weight)


def _require_every_class(labels: Sequence[str], options: ReadOptions, at: Path) -> None:
    names = known_names(options)
    if not names:
        fail(at, "softmax needs the logits of every class", "set classes to all of the model's classes")
    if len(names) != len(labels):
        fail(at, f"logits of {len(labels)} of {len(names)} classes", "have the model return every class")


def _is_complete(scores: Sequence[float], options: ReadOptions, at: Path) -> bool:
    if options.exclusive is False:
        return False
    total = math.fsum(scores)
    if total > 1 + SUM_TOLERANCE:
        fail(at, f"probabilities sum to {total:.3g}, more than 1", _NOT_ONE)
    return len(scores) > 1 and total >= 1 - SUM_TOLERANCE


def _classification(
    labels: Sequence[str], scores: Sequence[float], options: ReadOptions, *, complete: bool
) -> Classification:
    pairs = tuple(ClassScore(label, score) for label, score in zip(labels, scores, strict=True))
    return Classification(pairs, exclusive=options.exclusive, complete=complete)


_ROUNDING = 1e-3
"""How far above 0 a log probability may be that was rounded."""


@dataclass(frozen=True, slots=True)
class Tokens:
    """The tokens of an answer, each with its logprob and the likeliest alternatives at its place."""

    texts: tuple[str, ...]
    logprobs: tuple[float, ...]
    others: tuple[tuple[tuple[str, float], ...], ...]

    def covering(self, text: str, begin: int, end: int) -> tuple[int, ...] | None:
        """Return the tokens that overlap a stretch of the text; None when tokens and text do not line up."""
        if begin < 0 or not "".join(self.texts).startswith(text):
            return None
        span, position = [], 0
        for i, token in enumerate(self.texts):
            if position < end and position + len(token) > begin:
                span.append(i)
            position += len(token)
        return tuple(span) or None

    def probability(self, span: Sequence[int]) -> float:
        """Return the joint probability of tokens: exp(Σ log p)."""
        return min(1.0, math.exp(math.fsum(self.logprobs[i] for i in span)))

    def alternatives(self, index: int) -> Iterator[tuple[str, float]]:
        """Yield the other tokens that were likely at this place, with their probability."""
        for token, logprob in self.others[index]:
            if token != self.texts[index]:
                yield token, math.exp(logprob)


def chat_tokens(logprobs: Mapping[str, Any], at: Path) -> Tokens | None:
    """Read ``{"content": [{"token", "logprob", "top_logprobs": [{"token", "logprob"}]}]}``."""
    if logprobs.get("content") is None:
        return None
    entries = [mapping(e, *at, "content", i) for i, e in enumerate(array(logprobs["content"], *at, "content"))]
    pairs = [_pair(entry, (*at, "content", i)) for i, entry in enumerate(entries)]
    others = []
    for i, entry in enumerate(entries):
        place = (*at, "content", i, "top_logprobs")
        top = array(entry.get("top_logprobs") or [], *place)
        others.append(tuple(_pair(mapping(other, *place, j), (*place, j)) for j, other in enumerate(top)))
    return Tokens(tuple(t for t, _ in pairs), tuple(p for _, p in pairs), tuple(others))


def _pair(entry: Mapping[str, Any], at: Path) -> tuple[str, float]:
    token = read_token(member(entry, "token", at), (*at, "token"))
    return token, read_logprob(member(entry, "logprob", at), (*at, "logprob"))


def read_token(value: Any, at: Path) -> str:
    """Read a token's text, which may be empty."""
    if not isinstance(value, str):
        fail(at, f"{describe(value)} is not a token")
    return value


def read_logprob(value: Any, at: Path) -> float:
    """Read a natural-log probability."""
    result = number(value, *at)
    if result > _ROUNDING:
        fail(at, f"{describe(value)} is no log probability: it is above 0")
    return min(0.0, result)
