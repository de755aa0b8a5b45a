"""The single conditions of Kili's where-objects: each turns its value into a predicate on rows.

Among them is the search by category: `JOB.CATEGORY.count > 0 AND (OTHER.A.count == 2 OR OTHER.*.count == 0)`.
"""

from __future__ import annotations

import json
import operator
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from functools import lru_cache
from operator import attrgetter
from typing import Any

from worker.sandbox.errors import bad_input
from worker.sandbox.records import Asset, Label
from worker.sandbox.resolvers.workflow import current_status, legacy_status
from worker.sandbox.store import Tables, iso

Where = Mapping[str, Any]
Predicate = Callable[[Any], bool]
Condition = Callable[[Any, Tables], Predicate]


def predicates_of(where: Where, conditions: Mapping[str, Condition], tables: Tables) -> list[Predicate]:
    """Return one predicate for each condition of a where-object that is on the list."""
    return [conditions[key](value, tables) for key, value in where.items() if key in conditions]


def between(value: str, lower: str | None, upper: str | None) -> bool:
    """Tell whether a time lies between two others, both included; raises KiliError when a bound is no time.

    A bound may be a day: as the lower one it begins with the day, as the upper one it ends with it.
    """
    return (not lower or value >= _bound(lower)[0]) and (not upper or value <= _bound(upper)[1])


def first_day(lower: str) -> str:
    """Return the day on which a lower bound of time lies; raises KiliError when it is no time."""
    return _bound(lower)[0][: len("2026-11-01")]


@lru_cache(maxsize=256)
def _bound(text: str) -> tuple[str, str]:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise bad_input(f"'{text}' is no date such as 2026-11-01") from error
    if len(text) == len("2026-11-01"):
        return f"{text}T00:00:00.000Z", f"{text}T23:59:59.999Z"
    exact = iso((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())
    return exact, exact


def _member(read: Callable[[Any], object]) -> Condition:
    def condition(values: list[object], _: Tables) -> Predicate:
        wanted = frozenset(values)
        return lambda row: read(row) in wanted

    return condition


def _not(condition: Condition) -> Condition:
    def opposite(value: Any, tables: Tables) -> Predicate:
        predicate = condition(value, tables)
        return lambda row: not predicate(row)

    return opposite


def _mark(name: str, *, least: bool) -> Condition:
    def condition(bound: float, _: Tables) -> Predicate:
        def predicate(row: object) -> bool:
            value = getattr(row, name)
            return value is not None and (value >= bound if least else value <= bound)

        return predicate

    return condition


def _marks(*names: str) -> dict[str, Condition]:
    return {f"{name}Mark{end}": _mark(f"{name}_mark", least=end == "Gte") for name in names for end in ("Gte", "Lte")}


def _time(name: str, *, is_lower: bool, is_upper: bool) -> Condition:
    read = attrgetter(name)

    def condition(time: str, _: Tables) -> Predicate:
        if not time:
            return lambda _: True
        first, last = _bound(time)
        if not is_upper:
            return lambda row: read(row) >= first
        if not is_lower:
            return lambda row: read(row) <= last
        return lambda row: first <= read(row) <= last

    return condition


def _times(*names: str) -> dict[str, Condition]:
    ends = {"Gte": (True, False), "Lte": (False, True), "": (True, True)}
    return {
        f"{name}At{end}": _time(f"{name}_at", is_lower=is_lower, is_upper=is_upper)
        for name in names
        for end, (is_lower, is_upper) in ends.items()
    }


def _external_part(parts: list[str], _: Tables) -> Predicate:
    return lambda asset: any(part in asset.external_id for part in parts)


def _assignee(emails: list[str], tables: Tables) -> Predicate:
    wanted = frozenset(emails)

    def predicate(asset: Asset) -> bool:
        return any(wanted & {key, tables.users[key].email} for key in asset.assignee_ids)

    return predicate


def _metadata(wanted: Mapping[str, Any], _: Tables) -> Predicate:
    def predicate(asset: Asset) -> bool:
        metadata = json.loads(asset.json_metadata)
        return all(key in metadata and _metadata_fits(metadata[key], value) for key, value in wanted.items())

    return predicate


def _metadata_fits(value: object, wanted: object) -> bool:
    if not isinstance(wanted, list):
        return value == wanted
    if len(wanted) == 2 and isinstance(value, int | float) and all(isinstance(end, int | float) for end in wanted):
        return bool(wanted[0] <= value <= wanted[1])
    return value in wanted


def _step_status(values: list[str], _: Tables) -> Predicate:
    wanted = {current_status(value) for value in values}
    return lambda asset: asset.step_status in wanted


def _step_and_status(pairs: list[Mapping[str, str]], _: Tables) -> Predicate:
    wanted = {(pair["stepId"], current_status(pair["status"])) for pair in pairs}
    return lambda asset: (asset.step_id, asset.step_status) in wanted


def _label_of_asset(where: Where, tables: Tables) -> Predicate:
    predicates = predicates_of(where, LABEL_CONDITIONS, tables)
    return lambda asset: any(all(predicate(label) for predicate in predicates) for label in tables.labels_on(asset.id))


def _by(emails: list[str], tables: Tables) -> Predicate:
    wanted = frozenset(emails)

    def predicate(label: Label) -> bool:
        user = tables.users[label.author_id]
        return bool(wanted & {user.id, user.email, user.name, user.firstname, user.lastname})

    return predicate


def _by_as(label_type: str) -> Condition:
    def condition(emails: list[str], tables: Tables) -> Predicate:
        by = _by(emails, tables)
        return lambda label: label.label_type == label_type and by(label)

    return condition


def _by_user(where: Where, tables: Tables) -> Predicate:
    keys = [where[key] for key in ("id", "email") if key in where] + list(where.get("idIn", ()))
    return _by(keys, tables) if keys else lambda _: True


def _search(text: str, _: Tables) -> Predicate:
    try:
        found = category_search(text)
    except SearchError as error:
        raise bad_input(f"search: {error}") from error
    return lambda label: found(json.loads(label.json_response))


def _issue(where: Where, tables: Tables) -> Predicate:
    wanted = [(key, where[key]) for key in ("type", "status") if where.get(key)]

    def predicate(asset: Asset) -> bool:
        issues = tables.issues_on(asset.id)
        return any(all(getattr(issue, key) == value for key, value in wanted) for issue in issues)

    return predicate


def _nothing(_: object, __: Tables) -> Predicate:
    return lambda _: False


#: Step groups do not exist here, so nothing can match them.
ASSET_CONDITIONS: dict[str, Condition] = {
    "idNotIn": _not(_member(lambda asset: asset.id)),
    "externalIdStrictlyIn": _member(lambda asset: asset.external_id),
    "externalIdIn": _external_part,
    "statusIn": lambda values, tables: lambda asset: legacy_status(asset, tables) in values,
    "metadata": _metadata,
    "assigneeIn": _assignee,
    "assigneeNotIn": _not(_assignee),
    "skipped": lambda wanted, _: lambda asset: asset.skipped == wanted,
    "stepIdIn": _member(lambda asset: asset.step_id),
    "stepIdNotIn": _not(_member(lambda asset: asset.step_id)),
    "stepStatusIn": _step_status,
    "stepStatusNotIn": _not(_step_status),
    "stepIdAndStatusIn": _step_and_status,
    "stepIdAndStatusNotIn": _not(_step_and_status),
    "label": _label_of_asset,
    "issue": _issue,
    "groupNameIn": _nothing,
    **_marks("inference", "consensus", "honeypot"),
    **_times("created", "updated"),
}

LABEL_CONDITIONS: dict[str, Condition] = {
    "typeIn": _member(attrgetter("label_type")),
    "authorIn": _by,
    "labelerIn": _by_as("DEFAULT"),
    "labelerNotIn": _not(_by_as("DEFAULT")),
    "reviewerIn": _by_as("REVIEW"),
    "reviewerNotIn": _not(_by_as("REVIEW")),
    "user": _by_user,
    "search": _search,
    **_marks("consensus", "honeypot"),
    **_times("created"),
}


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
