"""What a language model replied: a label, a JSON answer or a text, with the probability of its own tokens."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from worker.contract.output import Classification, ClassScore, Either, ModelOutput, Several, Transcription
from worker.formats.answer_text import PLACE, Data, Found, Questions, answer_begin, find_answer
from worker.formats.checks import Path, array, describe, fail, is_number, mapping, member, number, same_length
from worker.formats.meaning import with_ignored
from worker.formats.options import ReadOptions
from worker.formats.scores import known_names, label_of, label_scores
from worker.formats.structure import Unwrapped

_ROUNDING = 1e-3


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


def completion_tokens(logprobs: Mapping[str, Any], at: Path) -> Tokens:
    """Read ``{"tokens": […], "token_logprobs": […], "top_logprobs": [{token: logprob}]}``."""
    tokens = array(member(logprobs, "tokens", at), *at, "tokens")
    values = array(member(logprobs, "token_logprobs", at), *at, "token_logprobs")
    same_length({"tokens": tokens, "token_logprobs": values}, at)
    texts = tuple(_token(token, (*at, "tokens", i)) for i, token in enumerate(tokens))
    numbers = tuple(_logprob(value, (*at, "token_logprobs", i)) for i, value in enumerate(values))
    return Tokens(texts, numbers, tuple(_completion_others(logprobs, len(texts), at)))


def _completion_others(logprobs: Mapping[str, Any], count: int, at: Path) -> Iterator[tuple[tuple[str, float], ...]]:
    top = logprobs.get("top_logprobs")
    entries = array(top, *at, "top_logprobs") if top is not None else [None] * count
    same_length({"tokens": range(count), "top_logprobs": entries}, at)
    for i, entry in enumerate(entries):
        place = (*at, "top_logprobs", i)
        likely = mapping(entry, *place) if entry is not None else {}
        yield tuple((token, _logprob(value, (*place, token))) for token, value in likely.items())


def _pair(entry: Mapping[str, Any], at: Path) -> tuple[str, float]:
    return _token(member(entry, "token", at), (*at, "token")), _logprob(member(entry, "logprob", at), (*at, "logprob"))


def _token(value: Any, at: Path) -> str:
    if not isinstance(value, str):
        fail(at, f"{describe(value)} is not a token")
    return value


def _logprob(value: Any, at: Path) -> float:
    """Read a natural-log probability."""
    result = number(value, *at)
    if result > _ROUNDING:
        fail(at, f"{describe(value)} is no log probability: it is above 0")
    return min(0.0, result)


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
