"""Hugging Face token classification, aggregated (``entity_group``) or token by token (``entity``)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from worker.contract.output import Entities, Entity, ModelOutput, has_more_at_ends, letters
from worker.formats.checks import ROOT, Path, describe, fail, integer, member
from worker.formats.meaning import unused_keys, with_ignored
from worker.formats.options import ReadOptions, keep
from worker.formats.scores import label_of, probability
from worker.formats.structure import (
    NUMBER,
    NUMBER_OR_NULL,
    TEXT,
    Family,
    Keys,
    Match,
    Miss,
    Row,
    detect_items,
    near_items,
    needed,
    refuse_foreign,
    rows_of,
)

_SPAN = {"word": TEXT, "score": NUMBER, "start": NUMBER_OR_NULL, "end": NUMBER_OR_NULL}
_MORE = {"index": NUMBER_OR_NULL}
_GROUPED = Keys({"entity_group": TEXT, **_SPAN}, {"entity": TEXT, **_MORE})
_TOKENS = Keys({"entity": TEXT, **_SPAN}, {"entity_group": TEXT, **_MORE})
_KNOWN = _GROUPED.known

_STARTS = ("B-", "S-", "U-")
_CONTINUES = ("I-", "E-", "L-")
_ENDS = ("S-", "U-", "E-", "L-")


@dataclass(slots=True)
class _Span:
    label: str
    begin: int
    end: int
    words: list[str]
    scores: list[float | None] = field(default_factory=list)
    index: int | None = None
    closed: bool = False


def read(payload: Any, options: ReadOptions, at: Path = ROOT) -> tuple[ModelOutput, ...]:
    """Read the entities of every text; ``options.text`` can only belong to a single one."""
    rows = rows_of(payload, at)
    if options.text is not None and len(rows) > 1:
        fail(at, f"{len(rows)} items and only one text", "leave text out, or send one item per message")
    return tuple([_read_row(row, options.of_item(i), path) for i, (row, path) in enumerate(rows)])


def _read_row(row: Row, options: ReadOptions, at: Path) -> ModelOutput:
    spans: list[_Span] = []
    token_scores: list[float | None] = []
    for item, place in row:
        refuse_foreign(item, _KNOWN, place)
        tag, span = _read_item(item, options, place)
        if "entity_group" not in item:
            token_scores += span.scores
        if tag == "O":
            continue
        if spans and "entity_group" not in item and _continues(spans[-1], tag, span):
            _extend(spans[-1], tag, span)
        else:
            spans.append(span)
    kept = keep(spans, lambda span: _entity(span, options, at), options)
    evidence = {"token_scores": token_scores} if token_scores else {}
    output = options.output(Entities(tuple(kept.found)), evidence=evidence | (kept.evidence() or {}))
    return with_ignored(output, unused_keys([item for item, _ in row], _KNOWN))


def _read_item(item: Mapping[str, Any], options: ReadOptions, at: Path) -> tuple[str, _Span]:
    key = "entity_group" if "entity_group" in item else "entity"
    tag, word = _text(item, key, at), _text(item, "word", at)
    prefixed = key == "entity" and tag[:2] in _STARTS + _CONTINUES
    begin, end = _offset(item, "start", at), _offset(item, "end", at)
    if not 0 <= begin < end:
        fail((*at, "end"), f"a span from {begin} to {end} holds no character", "start counts from 0, end is exclusive")
    label = label_of(tag[2:] if prefixed else tag, options, (*at, key))
    score = probability(member(item, "score", at), options, (*at, "score"))
    index = None if item.get("index") is None else integer(item["index"], *at, "index")
    return tag, _Span(label, begin, end, [word], [score], index, closed=prefixed and tag[:2] in _ENDS)


def _text(item: Mapping[str, Any], key: str, at: Path) -> str:
    value = member(item, key, at)
    if not isinstance(value, str):
        fail((*at, key), f"{describe(value)} is not a string")
    return value


def _offset(item: Mapping[str, Any], key: str, at: Path) -> int:
    if item.get(key) is None:
        fail((*at, key), "missing: the tokenizer gave no offsets", "use a fast tokenizer")
    return integer(item[key], *at, key)


def _continues(last: _Span, tag: str, span: _Span) -> bool:
    """A token goes on with the last span when its tag allows it and it stands next to it."""
    if last.closed or tag.startswith(_STARTS) or span.label != last.label:
        return False
    if last.index is not None and span.index is not None:
        return span.index == last.index + 1
    return 0 <= span.begin - last.end <= 1


def _extend(last: _Span, tag: str, span: _Span) -> None:
    glued = span.begin == last.end
    last.words += span.words if glued else [" ", *span.words]
    last.scores += span.scores
    last.end, last.index, last.closed = span.end, span.index, tag.startswith(("E-", "L-"))


def _entity(span: _Span, options: ReadOptions, at: Path) -> Entity:
    scores = [score for score in span.scores if score is not None]
    mean = sum(scores) / len(scores) if scores else None
    word = _joined(span.words)
    if options.text is None:
        return Entity(span.label, *_trimmed(span, word, at), word, mean)
    if span.end > len(options.text):
        fail(at, f"a span ends at {span.end}, the text at {len(options.text)}", _OTHER_TEXT)
    begin, end = _without_space(span, options.text, at)
    quote = options.text[begin:end]
    if not _agree(word, quote):
        fail(at, f"{word[:40]!r} is not what the text has there: {quote[:40]!r}", _OTHER_TEXT)
    return Entity(span.label, begin, end, quote, mean)


def _without_space(span: _Span, text: str, at: Path) -> tuple[int, int]:
    """The span without the white space at its ends, which byte-level and SentencePiece tokens bring along."""
    begin, end = span.begin, span.end
    while begin < end and text[begin].isspace():
        begin += 1
    while begin < end and text[end - 1].isspace():
        end -= 1
    if begin == end:
        fail(at, f"characters {span.begin} to {span.end} of the text are white space", _OTHER_TEXT)
    return begin, end


def _trimmed(span: _Span, word: str, at: Path) -> tuple[int, int]:
    """Where the text is not known: a token that is marked as following a space may hold that space, or may not."""
    length = span.end - span.begin
    if span.words[0].startswith(("Ġ", "▁", " ")) and length == len(word) + 1:
        return span.begin + 1, span.end
    if length == len(word) + 1 and word.isascii() and len(span.words) == 1:
        fail(at, f"{length} characters for {word[:40]!r}: does a space belong to them?", "send asset.text")
    return span.begin, span.end


_OTHER_TEXT = "send the text the model read"


def _joined(words: list[str]) -> str:
    return "".join(word.removeprefix("##").replace("▁", " ").replace("Ġ", " ") for word in words).strip()


def _agree(word: str, quote: str) -> bool:
    """Whether a model's word can be these characters: tokenizers change case, accents and spacing, not the letters."""
    if "[" in word or not word.isascii():
        return True  # an unknown token, or one whose bytes are shown as other letters
    ours, theirs = letters(word), letters(quote)
    return not ours or not theirs or (ours == theirs and not has_more_at_ends(word, quote))


_detect_grouped = detect_items(_GROUPED, "objects with entity_group, word, score, start and end")
_detect_tokens = detect_items(_TOKENS, "objects with entity, word, score, start and end")


def _detect(payload: Any) -> Match | None:
    return _detect_grouped(payload) or _detect_tokens(payload)


def _near(payload: Any) -> Miss | None:
    misses = [miss for keys in (_GROUPED, _TOKENS) if (miss := near_items(keys)(payload))]
    return max(misses, key=lambda miss: miss.share) if misses else None


FAMILY = Family(
    name="hf-token-classification",
    title="Hugging Face token classification",
    rule="a list (per text) of objects with `entity_group` or `entity`, `word`, `score`, `start` and `end`",
    detect=_detect,
    near=_near,
    needs=needed(_GROUPED, _TOKENS),
    read=read,
    options=("text", "classes"),
    limits=(
        "Tokens are merged by their B-/I- tags (also S-, E-, L-, U-) and their neighbourhood; a merged span scores "
        "the mean of its tokens, whose scores are kept as evidence. Offsets are needed (fast tokenizers give them). "
        "White space at the ends of a span is trimmed, then the span is held against its word."
    ),
    sources=("https://huggingface.co/docs/inference-providers/tasks/token-classification",),
)
