"""OpenAI-style chat completions and completions, with token logprobs: a label, a JSON answer or a text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from worker.contract.output import ModelOutput
from worker.formats.checks import ROOT, Path, array, describe, fail, mapping, member, same_length
from worker.formats.meaning import texts_of, with_evidence
from worker.formats.options import ReadOptions
from worker.formats.reply import reply_output
from worker.formats.scores import Tokens, chat_tokens, read_logprob, read_token
from worker.formats.structure import (
    LIST,
    Family,
    Keys,
    Match,
    Miss,
    Unwrapped,
    near_object,
    needed,
    refuse_foreign,
)

_KEYS = Keys({"choices": LIST}, open=True)


def read(payload: Any, options: ReadOptions, at: Path = ROOT) -> tuple[ModelOutput | Unwrapped, ...]:
    """Read the only choice of one response, or of each response in a list."""
    if isinstance(payload, Mapping):
        return (_read_response(payload, options, at),)
    items = enumerate(array(payload, *at))
    return tuple([_read_response(item, options.of_item(i), (*at, i)) for i, item in items])


def _read_response(value: Any, options: ReadOptions, at: Path) -> ModelOutput | Unwrapped:
    response = mapping(value, *at)
    refuse_foreign(response, ("choices",), at)
    choices = array(member(response, "choices", at), *at, "choices")
    if len(choices) != 1:
        fail((*at, "choices"), f"{len(choices)} answers for one item", "ask for one (n: 1)")
    evidence = texts_of(response, {"id": "request_id", "model": "model_name"})
    found = _read_choice(choices[0], options, (*at, "choices", 0))
    if isinstance(found, Unwrapped):
        return Unwrapped(found.payload, found.at, evidence)
    return with_evidence(found, evidence)


def _read_choice(value: Any, options: ReadOptions, at: Path) -> ModelOutput | Unwrapped:
    choice = mapping(value, *at)
    text, place = _text(choice, at)
    return reply_output(text, _tokens(choice, at), options, place)


def _text(choice: Mapping[str, Any], at: Path) -> tuple[str, Path]:
    if "message" not in choice:
        require_whole(choice.get("finish_reason"), (*at, "finish_reason"))
        return _filled(choice, "text", at)
    message, place = mapping(choice["message"], *at, "message"), (*at, "message")
    if isinstance(message.get("refusal"), str) and message["refusal"].strip():
        fail((*place, "refusal"), f"the model refused: {message['refusal'][:200]}")
    called = arguments_of(message, place)
    if called is not None:
        return called
    require_whole(choice.get("finish_reason"), (*at, "finish_reason"))
    return _filled(message, "content", place)


def arguments_of(message: Mapping[str, Any], at: Path) -> tuple[str, Path] | None:
    """The arguments of the only function call, in which the answer stands; None where nothing is called."""
    calls = message.get("tool_calls") or (
        [{"function": message["function_call"]}] if message.get("function_call") else []
    )
    if not calls:
        return None
    place = (*at, "tool_calls")
    if len(array(calls, *place)) != 1:
        fail(place, f"{len(calls)} function calls for one answer", "have the model call one function")
    function = mapping(mapping(calls[0], *place, 0).get("function"), *place, 0, "function")
    arguments = function.get("arguments")
    if not isinstance(arguments, str) or not arguments.strip():
        fail((*place, 0, "function", "arguments"), "the function call has no arguments")
    return arguments, (*place, 0, "function", "arguments")


_WHOLE = (
    "stop",
    "eos",
    "eos_token",
    "stop_sequence",
    "end_turn",
    "tool_calls",
    "function_call",
    "complete",
    "completed",
)
_CUT = ("length", "max_tokens", "max_length", "token_limit")
_FILTERED = ("content_filter", "content-filter", "safety", "filtered", "guardrail")


def require_whole(reason: Any, at: Path) -> None:
    """Refuse an answer that ended before it was whole, and say what ended it."""
    stated = reason.casefold() if isinstance(reason, str) else reason
    if stated is None or stated in _WHOLE:
        return
    if stated in _CUT:
        fail(at, f"{describe(reason)}: the answer is not whole", "raise the token limit")
    if stated in _FILTERED:
        fail(at, f"{describe(reason)}: the answer was held back by a filter", "have a human label it, or ask otherwise")
    fail(at, f"{describe(reason)} is no ordinary end of an answer", "publish whole answers only")


def _filled(holder: Mapping[str, Any], key: str, at: Path) -> tuple[str, Path]:
    value = member(holder, key, at)
    if isinstance(value, list):
        value = _joined(value, (*at, key))
    if not isinstance(value, str) or not value.strip():
        fail((*at, key), f"{describe(value)} is no answer")
    return value, (*at, key)


def _joined(parts: list[Any], at: Path) -> str:
    """The texts of content parts, one after another; parts of another kind are refused, thoughts left out."""
    texts = []
    for i, value in enumerate(parts):
        part = mapping(value, *at, i)
        kind = part.get("type", "text")
        if kind == "refusal":
            fail((*at, i), f"the model refused: {str(part.get('refusal'))[:200]}")
        if kind in ("reasoning", "thinking"):
            continue
        if kind not in ("text", "output_text") or not isinstance(part.get("text"), str):
            fail((*at, i, "type"), f"a part of type {describe(kind)} is no text")
        texts.append(part["text"])
    return "".join(texts)


def _tokens(choice: Mapping[str, Any], at: Path) -> Tokens | None:
    logprobs = choice.get("logprobs")
    if logprobs is None:
        return None
    holder = mapping(logprobs, *at, "logprobs")
    reader = chat_tokens if "message" in choice else _completion_tokens
    return reader(holder, (*at, "logprobs"))


def _completion_tokens(logprobs: Mapping[str, Any], at: Path) -> Tokens:
    """Read ``{"tokens": […], "token_logprobs": […], "top_logprobs": [{token: logprob}]}``."""
    tokens = array(member(logprobs, "tokens", at), *at, "tokens")
    values = array(member(logprobs, "token_logprobs", at), *at, "token_logprobs")
    same_length({"tokens": tokens, "token_logprobs": values}, at)
    texts = tuple(read_token(token, (*at, "tokens", i)) for i, token in enumerate(tokens))
    numbers = tuple(read_logprob(value, (*at, "token_logprobs", i)) for i, value in enumerate(values))
    return Tokens(texts, numbers, tuple(_completion_others(logprobs, len(texts), at)))


def _completion_others(logprobs: Mapping[str, Any], count: int, at: Path) -> Iterator[tuple[tuple[str, float], ...]]:
    top = logprobs.get("top_logprobs")
    entries = array(top, *at, "top_logprobs") if top is not None else [None] * count
    same_length({"tokens": range(count), "top_logprobs": entries}, at)
    for i, entry in enumerate(entries):
        place = (*at, "top_logprobs", i)
        likely = mapping(entry, *place) if entry is not None else {}
        yield tuple((token, read_logprob(value, (*place, token))) for token, value in likely.items())


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
    choices = item["choices"]
    if choices and isinstance(choices[0], Mapping) and "delta" in choices[0]:
        return Miss("payload.choices[0].delta", "a piece of a stream; send the whole answer", 0.5)
    return Miss("payload.choices[0]", "neither a message nor a text", 0.5)


FAMILY = Family(
    name="openai",
    title="OpenAI-style LLM answers with token logprobs",
    rule="an object (or a list, one per item) whose `choices` hold a `message` or a `text`",
    detect=_detect,
    near=_near,
    needs=needed(_KEYS),
    read=read,
    options=("classes", "strings", "field", "exclusive"),
    limits=(
        "One choice per response. The answer is a label, or JSON with the label (or a list of labels) in its only "
        "key, in `label`, `class`, `category` or `answer`, or in `field`; in the arguments of a function call, too. "
        "Several keys answer several jobs, called as the jobs are. JSON with boxes, entities or objects is read by its "
        "own format. A text may be a label or a text: the job decides, or `strings`. The probability is that of the "
        "label's own tokens; without logprobs there is none."
    ),
    sources=("https://platform.openai.com/docs/api-reference/chat/object",),
)
