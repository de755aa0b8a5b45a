"""OpenAI-style chat completions and completions, with token logprobs: a label, a JSON answer or a text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from worker.formats.checks import ROOT, Path, array, describe, fail, mapping, member
from worker.formats.classes import known_names, label_of
from worker.formats.evidence import texts_of, with_evidence
from worker.formats.families.answer_text import find_answer
from worker.formats.families.token_logprobs import Tokens, chat_tokens, completion_tokens
from worker.formats.options import ReadOptions
from worker.formats.output import Classification, ClassScore, ModelOutput, Transcription
from worker.formats.scores import label_scores
from worker.formats.structure import LIST, Family, Keys, Match, Miss, near_object

_KEYS = Keys({"choices": LIST}, open=True)


def read(payload: Any, options: ReadOptions, at: Path = ROOT) -> tuple[ModelOutput, ...]:
    """Read the only choice of one response, or of each response in a list."""
    if isinstance(payload, Mapping):
        return (_read_response(payload, options, at),)
    return tuple(_read_response(item, options, (*at, i)) for i, item in enumerate(array(payload, *at)))


def _read_response(value: Any, options: ReadOptions, at: Path) -> ModelOutput:
    response = mapping(value, *at)
    choices = array(member(response, "choices", at), *at, "choices")
    if len(choices) != 1:
        fail((*at, "choices"), f"{len(choices)} answers for one item", "ask for one (n: 1)")
    evidence = texts_of(response, {"id": "request_id", "model": "model_name"})
    return with_evidence(_read_choice(choices[0], options, (*at, "choices", 0)), evidence)


def _read_choice(value: Any, options: ReadOptions, at: Path) -> ModelOutput:
    choice = mapping(value, *at)
    reason = choice.get("finish_reason")
    if reason not in (None, "stop", "eos", "stop_sequence"):
        fail((*at, "finish_reason"), f"{describe(reason)}: the answer is not whole", "raise the token limit")
    text, place = _text(choice, at)
    tokens = _tokens(choice, at)
    if options.strings == "text":
        return options.output(_transcription(text, tokens))
    return _labels(text, tokens, options, place)


def _text(choice: Mapping[str, Any], at: Path) -> tuple[str, Path]:
    if "message" not in choice:
        return _filled(choice, "text", at)
    message = mapping(choice["message"], *at, "message")
    if isinstance(message.get("refusal"), str):
        fail((*at, "message", "refusal"), f"the model refused: {message['refusal'][:200]}")
    return _filled(message, "content", (*at, "message"))


def _filled(holder: Mapping[str, Any], key: str, at: Path) -> tuple[str, Path]:
    text = member(holder, key, at)
    if not isinstance(text, str) or not text.strip():
        fail((*at, key), f"{describe(text)} is no answer")
    return text, (*at, key)


def _tokens(choice: Mapping[str, Any], at: Path) -> Tokens | None:
    logprobs = choice.get("logprobs")
    if logprobs is None:
        return None
    holder = mapping(logprobs, *at, "logprobs")
    reader = chat_tokens if "message" in choice else completion_tokens
    return reader(holder, (*at, "logprobs"))


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


def _detect(payload: Any) -> Match | None:
    item = payload[0] if isinstance(payload, list) and payload else payload
    if not _KEYS.fits(item) or not item["choices"]:
        return None
    first = item["choices"][0]
    if isinstance(first, Mapping) and ("message" in first or "text" in first):
        return Match("an object whose choices hold a message or a text")
    return None


def _near(payload: Any) -> Miss | None:
    item = payload[0] if isinstance(payload, list) and payload else payload
    if not _KEYS.fits(item):
        return near_object(_KEYS)(payload)
    return Miss("payload.choices[0]", "neither a message nor a text", 0.5)


FAMILY = Family(
    name="openai",
    title="OpenAI-style LLM answers with token logprobs",
    rule="an object (or a list, one per item) whose `choices` hold a `message` or a `text`",
    detect=_detect,
    near=_near,
    read=read,
    options=("classes", "strings", "field", "exclusive"),
    limits=(
        "One choice per response. The answer is a label, or JSON with the label (or a list of labels) in its only "
        "key, in `label`, `class`, `category` or `answer`, or in `field`; `strings: text` reads it as a text. The "
        "probability is that of the label's own tokens; without logprobs there is none."
    ),
    sources=("https://platform.openai.com/docs/api-reference/chat/object",),
)
