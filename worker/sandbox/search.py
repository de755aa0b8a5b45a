"""Kili's search by category: `JOB.CATEGORY.count > 0 AND (OTHER.A.count == 2 OR OTHER.*.count == 0)`."""

from __future__ import annotations

import operator
import re
from collections import Counter
from collections.abc import Callable, Iterator
from fnmatch import fnmatchcase
from typing import Any

Found = Callable[[dict[str, Any]], bool]
Counts = Counter[tuple[str, str]]

WORD = r"[A-Za-z*][\w*-]*"
NUMBER = r"\d+(?:\.\d+)?"
TOKEN = re.compile(rf"\s*(?:(\(|\)|AND\b|OR\b)|({WORD})\.({WORD})\.count\s*(>=|<=|==|>|<)\s*({NUMBER}))")
COMPARE: dict[str, Callable[[float, float], bool]] = {
    ">": operator.gt,
    "<": operator.lt,
    ">=": operator.ge,
    "<=": operator.le,
    "==": operator.eq,
}


class SearchError(ValueError):
    """The text is no search; the message says where it stops to be one."""


def category_search(text: str) -> Found:
    """Compile a search into a predicate on a json_response; raises SearchError."""
    tokens = list(_tokens(text))
    expression = _any(tokens)
    if tokens:
        raise SearchError(f"'{tokens[0]}' is not expected there")
    return lambda response: expression(Counter(_chosen(response)))


Expression = Callable[[Counts], bool]
Token = str | Expression


def _tokens(text: str) -> Iterator[Token]:
    text, position = text.strip(), 0
    while position < len(text):
        match = TOKEN.match(text, position)
        if match is None:
            raise SearchError(f"cannot read '{text[position:]}'")
        position = match.end()
        yield match[1] or _comparison(match[2], match[3], COMPARE[match[4]], float(match[5]))


def _comparison(job: str, category: str, compare: Callable[[float, float], bool], number: float) -> Expression:
    def expression(counts: Counts) -> bool:
        found = (
            times
            for (in_job, of_category), times in counts.items()
            if fnmatchcase(in_job, job) and fnmatchcase(of_category, category)
        )
        return compare(sum(found), number)

    return expression


def _any(tokens: list[Token]) -> Expression:
    terms = [_all(tokens)]
    while tokens[:1] == ["OR"]:
        tokens.pop(0)
        terms.append(_all(tokens))
    return lambda counts: any(term(counts) for term in terms)


def _all(tokens: list[Token]) -> Expression:
    terms = [_term(tokens)]
    while tokens[:1] == ["AND"]:
        tokens.pop(0)
        terms.append(_term(tokens))
    return lambda counts: all(term(counts) for term in terms)


def _term(tokens: list[Token]) -> Expression:
    head = tokens.pop(0) if tokens else None
    if head == "(":
        inner = _any(tokens)
        if not tokens or tokens.pop(0) != ")":
            raise SearchError("a parenthesis is not closed")
        return inner
    if head is None or isinstance(head, str):
        raise SearchError(f"a comparison is missing before '{head or 'the end'}'")
    return head


def _chosen(part: Any, job: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(part, dict):
        for category in part.get("categories") or ():
            yield job, category["name"]
            yield from _chosen(category.get("children"), job)
        for name, value in part.items():
            if name != "categories":
                inside = name not in {"annotations", "children"} and isinstance(value, dict)
                yield from _chosen(value, name if inside else job)
    elif isinstance(part, list):
        for item in part:
            yield from _chosen(item, job)
