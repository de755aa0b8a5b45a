"""Tokens of a language model's answer with their natural-log probabilities."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from worker.formats.checks import Path, array, describe, fail, mapping, member, number, same_length

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
