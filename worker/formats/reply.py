"""What a language model replied: a label, a JSON answer or a text, with the probability of its own tokens."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from worker.formats.answer_text import find_answer
from worker.formats.checks import Path, describe, fail, mapping
from worker.formats.classes import known_names, label_of
from worker.formats.options import ReadOptions
from worker.formats.output import Classification, ClassScore, ModelOutput, Transcription
from worker.formats.scores import label_scores
from worker.formats.token_logprobs import Tokens, chat_tokens


def read_reply(value: Any, options: ReadOptions, at: Path) -> ModelOutput:
    """Read a reply: a text, or ``{"text", "tokens": [{"token", "logprob", "top_logprobs"}]}``."""
    if isinstance(value, str):
        return reply_output(value, None, options, at)
    told = mapping(value, *at)
    text = told.get("text")
    if not isinstance(text, str):
        fail((*at, "text"), f"{describe(text)} is not a text")
    return reply_output(text, chat_tokens({"content": told.get("tokens")}, (*at, "tokens")), options, (*at, "text"))


def reply_output(text: str, tokens: Tokens | None, options: ReadOptions, at: Path) -> ModelOutput:
    """Read the text as a text where ``strings`` says so, else as the label or labels that it holds.

    Raises OutputError when it is empty or holds no label.
    """
    if not text.strip():
        fail(at, f"{describe(text)} is no answer")
    if options.strings == "text":
        return options.output(_transcription(text, tokens))
    return _labels(text, tokens, options, at)


def _transcription(text: str, tokens: Tokens | None) -> Transcription:
    stripped = text.strip()
    if tokens is None:
        return Transcription(stripped)
    begin = text.index(stripped)
    span = tokens.covering(text, begin, begin + len(stripped))
    if span is None:
        return Transcription(stripped)
    return Transcription(stripped, tokens.probability(span), tuple(tokens.logprobs[i] for i in span))


def _labels(text: str, tokens: Tokens | None, options: ReadOptions, at: Path) -> ModelOutput:
    found = find_answer(text, options.field, at)
    if not found.labels:
        fail(at, "the answer names no class")
    scores = tuple(_score(label, text, tokens, options, at) for label in found.labels)
    if len({score.label for score in scores}) < len(scores):
        fail(at, "the answer names a class twice")
    if found.several:
        answer = Classification(scores, exclusive=False)
    else:
        answer = _with_alternatives(found.labels[0], scores[0], text, tokens, options, at)
    return options.output(answer, evidence={"answer": found.stated} if found.stated else None)


def _score(label: tuple[str, int], text: str, tokens: Tokens | None, options: ReadOptions, at: Path) -> ClassScore:
    name, begin = label
    span = tokens.covering(text, begin, begin + len(name)) if tokens else None
    probability = tokens.probability(span) if tokens and span else None
    return ClassScore(label_of(name, options, at), probability)


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
        return Classification((chosen,), exclusive=options.exclusive)
    scores = {chosen.label: tokens.probability(span)}
    for token, probability in tokens.alternatives(span[0]):
        other = label_of(token.strip(), options, at) if token.strip() else ""
        if other in known_names(options):
            scores[other] = min(1.0, scores.get(other, 0.0) + probability)
    return label_scores(list(scores), list(scores.values()), replace(options, score_kind=None), at)
