"""OpenAI-style chat completions and completions, with token logprobs: a label, a JSON answer or a text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from worker.formats.checks import ROOT, Path, array, describe, fail, mapping, member
from worker.formats.evidence import texts_of, with_evidence
from worker.formats.options import ReadOptions
from worker.formats.output import ModelOutput
from worker.formats.reply import reply_output
from worker.formats.structure import LIST, Family, Keys, Match, Miss, near_object
from worker.formats.token_logprobs import Tokens, chat_tokens, completion_tokens

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
    return reply_output(text, tokens, options, place)


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
