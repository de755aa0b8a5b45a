"""What a language model replied: a label, a JSON answer or a text, with the probability of its own tokens."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from worker.formats.answer_text import Data, Found, Questions, answer_begin, find_answer
from worker.formats.checks import Path, describe, fail, mapping
from worker.formats.classes import known_names, label_of
from worker.formats.evidence import with_ignored
from worker.formats.options import ReadOptions
from worker.formats.output import Classification, ClassScore, Either, ModelOutput, Several, Transcription
from worker.formats.scores import label_scores
from worker.formats.structure import Unwrapped
from worker.formats.token_logprobs import Tokens, chat_tokens


def read_reply(value: Any, options: ReadOptions, at: Path) -> ModelOutput | Unwrapped:
    """Read a reply: a text, or ``{"text", "tokens": [{"token", "logprob", "top_logprobs"}]}``."""
    if isinstance(value, str):
        return reply_output(value, None, options, at)
    told = mapping(value, *at)
    text = told.get("text")
    if not isinstance(text, str):
        fail((*at, "text"), f"{describe(text)} is not a text")
    return reply_output(text, chat_tokens({"content": told.get("tokens")}, (*at, "tokens")), options, (*at, "text"))


def reply_output(text: str, tokens: Tokens | None, options: ReadOptions, at: Path) -> ModelOutput | Unwrapped:
    """Read the label or labels that the text holds, or one answer per question; or return data of another format.

    ``strings`` says whether a text is a text; without it the job decides. Raises OutputError when it is empty.
    """
    if not text.strip():
        fail(at, f"{describe(text)} is no answer")
    if options.strings == "text":
        return options.output(_transcription(text, tokens))
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
    if not found.labels:
        fail(at, "the answer names no class")
    scores = tuple(_score(label, text, tokens, options, at) for label in found.labels)
    if len({score.label for score in scores}) < len(scores):
        fail(at, "the answer names a class twice")
    if found.several:
        answer = Classification(scores, exclusive=False, chosen=True)
    else:
        answer = _with_alternatives(found.labels[0], scores[0], text, tokens, options, at)
    return options.output(answer, evidence={"answer": found.stated} if found.stated else None)


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
        return Classification((chosen,), exclusive=options.exclusive, chosen=True)
    scores = {chosen.label: tokens.probability(span)}
    for token, probability in tokens.alternatives(span[0]):
        other = label_of(token.strip(), options, at) if token.strip() else ""
        if other in known_names(options):
            scores[other] = min(1.0, scores.get(other, 0.0) + probability)
    told = label_scores(list(scores), list(scores.values()), replace(options, score_kind=None), at)
    return replace(told, chosen=True)
