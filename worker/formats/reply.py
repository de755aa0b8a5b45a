"""What a language model replied: a label, a JSON answer or a text, with the probability of its own tokens."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from worker.contract.output import Classification, ClassScore, Either, ModelOutput, Several, Transcription
from worker.formats.checks import (
    Path,
    describe,
    fail,
    is_number,
    looks_like_json,
    mapping,
    parse_json,
)
from worker.formats.meaning import foreign_key, with_ignored
from worker.formats.options import ReadOptions
from worker.formats.scores import Tokens, chat_tokens, known_names, label_of, label_scores
from worker.formats.structure import Unwrapped

_LABEL_KEYS = ("label", "class", "category", "answer")
_LIST_KEYS = (*_LABEL_KEYS, "labels", "classes", "categories", "tags", "answers")
_STATED_KEYS = (
    *("confidence", "score", "probability", "certainty", "reason", "reasoning", "explanation", "rationale"),
    *("thought", "thoughts", "thinking", "justification", "comment", "comments"),
)
_FENCE = re.compile(r"\s*```\w*\n(?P<inside>.*?)\n?```\s*", re.DOTALL)
_THOUGHT = re.compile(r"\s*<(think|thinking|reasoning)>.*?</\1>\s*", re.DOTALL | re.IGNORECASE)


PLACE = re.compile(
    r"<loc\d{1,4}>|<loc_\d{1,4}>|<\|(?:box|quad|point)_start\|>|<patch_index_\d+>|<points? [^<>]*x\d?="
    r"|<(?:box|quad|point)>\s*[\[(]|<\|det\|>|\[\[\d{3},\d{3},\d{3},\d{3}(?:;\d{3},\d{3},\d{3},\d{3})*\]\]"
)
"""How PaliGemma, Florence-2, Qwen-VL, InternVL, DeepSeek-VL, CogVLM, Kosmos-2 and Molmo write a place in the image."""


@dataclass(frozen=True, slots=True)
class Found:
    """The labels with their position in the text, whether they were a list, and what else was stated or ignored."""

    labels: tuple[tuple[str, int], ...]
    several: bool = False
    stated: dict[str, Any] = field(default_factory=dict)
    ignored: tuple[str, ...] = ()
    is_json: bool = False


@dataclass(frozen=True, slots=True)
class Questions:
    """One answer per question: the labels by the key that names the question."""

    answers: dict[str, Found]
    stated: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Data:
    """JSON that holds no label but data of another format: boxes, entities, objects."""

    value: Any


def answer_begin(text: str) -> int:
    """Where the answer begins behind the thoughts that a model without a reasoning parser writes before it."""
    thought = _THOUGHT.match(text)
    return thought.end() if thought else 0


def find_answer(text: str, key: str | None, job: str | None, at: Path) -> Found | Questions | Data:
    """Find the labels: the whole text, or a value of the JSON object (or list) that the text is.

    ``key`` is the key of the label; else ``job`` names it where it is one of several keys. Raises OutputError when the
    JSON holds no label.
    """
    begin = answer_begin(text)
    fenced = _FENCE.fullmatch(text, begin)
    begin, inside = (fenced.start("inside"), fenced["inside"]) if fenced else (begin, text[begin:])
    if not looks_like_json(inside):
        label = inside.strip().strip("\"'`*").strip().rstrip(".")
        if not label:
            fail(at, f"{describe(text)} is no label")
        return Found(((label, begin + inside.index(label)),))
    answer = parse_json(inside, at)
    if isinstance(answer, Mapping):
        return _in_object(answer, key, job, text, begin, at)
    listed = [_only_label(one) for one in answer]
    if answer and all(listed):
        return Found(_positions(listed, text, begin, at), several=True)
    if not answer or any(isinstance(one, Mapping | list) for one in answer):
        return Data(answer)
    return Found(_positions(answer, text, begin, at), several=True)


def _only_label(value: Any) -> str | None:
    """The label of an object that holds nothing else."""
    label = value.get(next(iter(value))) if isinstance(value, Mapping) and len(value) == 1 else None
    return label if isinstance(label, str) and next(iter(value)) in _LABEL_KEYS else None


def _in_object(
    answer: Mapping[str, Any], key: str | None, job: str | None, text: str, begin: int, at: Path
) -> Found | Questions | Data:
    name = _named(answer, key, job, at)
    if name is None and (foreign_key(answer, ()) or any(map(_is_data, answer.values()))):
        return Data(answer)
    asked = [name] if name is not None else [one for one in answer if one not in _STATED_KEYS]
    questions = asked if len(asked) == 1 else [one for one in asked if _is_stated(answer[one])]
    if name is None and not any(_is_stated(answer[one]) for one in asked) and _is_hollow(answer, asked):
        return Data(answer)
    if not questions:
        fail(at, "which key of the answer is the label? There are: " + (", ".join(answer) or "none"), _SET_FIELD)
    stated = {one: answer[one] for one in _STATED_KEYS if one not in questions and _is_plain(answer.get(one))}
    ignored = tuple(one for one in answer if one not in questions and one not in stated)
    if name is not None:
        carried = foreign_key(answer, (name,))
        if carried is not None:
            fail((*at, carried), "is geometry or a place in a text, which a label cannot carry", "leave field out")
    if len(questions) == 1:
        labels, several = _stated_labels(answer, questions[0], text, begin, at)
        return Found(labels, several, stated, ignored, is_json=True)
    parts = {one: Found(*_stated_labels(answer, one, text, begin, at)) for one in questions}
    return Questions(parts, {**stated, **({"ignored": list(ignored)} if ignored else {})})


_SET_FIELD = "set field to it"


def _named(answer: Mapping[str, Any], key: str | None, job: str | None, at: Path) -> str | None:
    """The key that ``field`` names, or that is called as the job is."""
    if key is not None:
        if key not in answer:
            fail(at, f"the answer has no key {key!r}", "set field to the key of the label")
        return key
    plain = {_letters(one): one for one in answer}
    return plain.get(_letters(job)) if job is not None and len(answer) > 1 else None


def _letters(name: str) -> str:
    return "".join(filter(str.isalnum, name)).casefold()


def _is_hollow(answer: Mapping[str, Any], asked: list[str]) -> bool:
    """Whether lists of objects are empty; an empty list of labels is no such list."""
    return any(answer[one] == [] and one not in _LIST_KEYS for one in asked)


def _is_stated(value: Any) -> bool:
    """Whether a value can be a label, or several."""
    return isinstance(value, str) or (
        bool(value) and isinstance(value, list) and all(isinstance(v, str) for v in value)
    )


def _is_data(value: Any) -> bool:
    """Whether a value is an object, or a list of something else than texts and numbers."""
    if isinstance(value, list):
        return any(isinstance(one, Mapping | list) for one in value)
    return isinstance(value, Mapping)


def _is_plain(value: Any) -> bool:
    return isinstance(value, str) or is_number(value)


def _stated_labels(
    answer: Mapping[str, Any], name: str, text: str, begin: int, at: Path
) -> tuple[tuple[tuple[str, int], ...], bool]:
    value = answer[name]
    labels = value if isinstance(value, list) else [value]
    place = _value_position(text, name, begin)
    return _positions(labels, text, place, (*at, name)), isinstance(value, list)


def _value_position(text: str, name: str, begin: int) -> int:
    """Where the value of a top-level key begins, as well as plain text search can tell."""
    match = re.compile(re.escape(f'"{name}"') + r"\s*:").search(text, begin)
    return match.end() if match else begin


def _positions(labels: list[Any], text: str, begin: int, at: Path) -> tuple[tuple[str, int], ...]:
    found = []
    for i, label in enumerate(labels):
        if not isinstance(label, str) or not label.strip():
            fail((*at, i) if len(labels) > 1 else at, f"{describe(label)} is no class name")
        position = text.find(label, begin)
        found.append((label, position))
        begin = max(begin, position + len(label))
    return tuple(found)


def read_reply(value: Any, options: ReadOptions, at: Path) -> ModelOutput | Unwrapped:
    """Read a reply: a text, or ``{"text", "tokens": [{"token", "logprob", "top_logprobs"}]}``."""
    if isinstance(value, str):
        return reply_output(value, None, options, at)
    stated = mapping(value, *at)
    text = stated.get("text")
    if not isinstance(text, str):
        fail((*at, "text"), f"{describe(text)} is not a text")
    return reply_output(text, chat_tokens({"content": stated.get("tokens")}, (*at, "tokens")), options, (*at, "text"))


def reply_output(text: str, tokens: Tokens | None, options: ReadOptions, at: Path) -> ModelOutput | Unwrapped:
    """Read the label or labels that the text holds, or one answer per question; or return data of another format.

    ``strings`` says whether a text is a text; without it the job decides. Raises OutputError when it is empty.
    """
    if not text.strip():
        fail(at, f"{describe(text)} is no answer")
    if options.strings == "text":
        return options.output(_transcription(text, tokens))
    refuse_place(text, at)
    found = find_answer(text, options.field, options.job, at)
    if isinstance(found, Data):
        return Unwrapped(found.value, at)
    if isinstance(found, Questions):
        return _several(found, text, tokens, options, at)
    output = with_ignored(_labels(found, text, tokens, options, at), found.ignored)
    if options.strings == "label" or found.several or not isinstance(output.answer, Classification):
        return output
    as_text = _value(found, text, tokens) if found.is_json else _transcription(text, tokens)
    return replace(output, answer=Either((output.answer, as_text)))


def refuse_place(text: str, at: Path) -> None:
    """Raise OutputError for a text that places something in the image, which no label or text can say."""
    token = PLACE.search(text)
    if token is not None:
        fail(
            at,
            f"{describe(token[0])} is a place in the image (box or point) as the model's tokens write it",
            "have the model's processor decode it, and send boxes or points in the short form",
        )


def _several(found: Questions, text: str, tokens: Tokens | None, options: ReadOptions, at: Path) -> ModelOutput:
    answers: dict[str, Any] = {}
    for name, part in found.answers.items():
        if not part.labels:
            fail((*at, name), "names no class", "leave it out, or set field to the answer to send")
        answer = _labels(part, text, tokens, options, (*at, name)).answer
        if len(part.labels) == 1 and isinstance(answer, Classification):
            answer = Either((answer, _value(part, text, tokens)))
        answers[name] = answer
    return options.output(Several(answers), evidence={"answer": found.stated} if found.stated else None)


def _value(found: Found, text: str, tokens: Tokens | None) -> Transcription:
    """The only value as a text."""
    value, position = found.labels[0]
    return Transcription(value, _probability(value, position, text, tokens))


def _transcription(text: str, tokens: Tokens | None) -> Transcription:
    begin = answer_begin(text)
    stripped = text[begin:].strip()
    if tokens is None:
        return Transcription(stripped)
    begin = text.index(stripped, begin)
    span = tokens.covering(text, begin, begin + len(stripped))
    if span is None:
        return Transcription(stripped)
    return Transcription(stripped, tokens.probability(span), tuple(tokens.logprobs[i] for i in span))


def _labels(found: Found, text: str, tokens: Tokens | None, options: ReadOptions, at: Path) -> ModelOutput:
    if not found.labels and not found.several:
        fail(at, "the answer names no class")
    _refuse_denied(found, options, at)
    scores = tuple(_score(label, text, tokens, options, at) for label in found.labels)
    if len({score.label for score in scores}) < len(scores):
        fail(at, "the answer names a class twice")
    if found.several:
        answer = Classification(scores, exclusive=False, chosen=True)
    else:
        answer = _with_alternatives(found.labels[0], scores[0], text, tokens, options, at)
    return options.output(answer, evidence={"answer": found.stated} if found.stated else None)


def _refuse_denied(found: Found, options: ReadOptions, at: Path) -> None:
    """Refuse a class that the reply names as improbable, where the classes are independent: it is a no."""
    stated = next((key for key in ("probability", "confidence", "score") if is_number(found.stated.get(key))), None)
    if options.exclusive is False and stated is not None and 0 <= found.stated[stated] < EVEN:
        fail(
            (*at, stated),
            f"{found.stated[stated]} for one class is no answer",
            "have the model name the class it chose",
        )


EVEN = 0.5
"""What the probability of an independent class must reach to say yes."""


def _score(label: tuple[str, int], text: str, tokens: Tokens | None, options: ReadOptions, at: Path) -> ClassScore:
    name, begin = label
    return ClassScore(label_of(name, options, at), _probability(name, begin, text, tokens))


def _probability(name: str, begin: int, text: str, tokens: Tokens | None) -> float | None:
    span = tokens.covering(text, begin, begin + len(name)) if tokens else None
    return tokens.probability(span) if tokens and span else None


def _with_alternatives(
    label: tuple[str, int],
    chosen: ClassScore,
    text: str,
    tokens: Tokens | None,
    options: ReadOptions,
    at: Path,
) -> Classification:
    """The chosen label, and the other known classes that its only token could have been."""
    name, begin = label
    span = tokens.covering(text, begin, begin + len(name)) if tokens else None
    if tokens is None or span is None or len(span) != 1 or options.exclusive is False:
        return Classification((chosen,), exclusive=options.exclusive or None, chosen=True)
    scores = {chosen.label: tokens.probability(span)}
    for token, probability in tokens.alternatives(span[0]):
        other = label_of(token.strip(), options, at) if token.strip() else ""
        if other in known_names(options):
            scores[other] = min(1.0, scores.get(other, 0.0) + probability)
    stated = label_scores(list(scores), list(scores.values()), replace(options, score_kind=None), at)
    return replace(stated, chosen=True)
