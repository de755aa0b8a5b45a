"""Faults on demand: rules that make chosen calls go wrong, in the ways a real server does.

A script is a list of rules, or an object {"faults": [rules]}. Every call is held against the rules in their order.

    {"operation": "appendManyLabels",  root field, whatever its alias; "*" for all (default)
     "project":   "clx...",            only calls about this project (default: any)
     "external_id": "a.jpg",           only the label files of this asset (default: any)
     "asset_id":  "clx...",            only the uploads for this asset (default: any)
     "skip":      2,                   leave out the first 2 calls that match (default 0)
     "times":     3,                   then hit 3 of them (default: for ever)
     "chance":    0.1, "seed": 7,      hit each with this probability (default 1); skipped ones do not draw
     "action":    {"kind": ...}}

Kinds of action, with their keys and defaults:

    status    {"status": 503, "body": "Service Unavailable", "headers": {"Retry-After": "2"}}
    errors    {"status": 200, "message": "[unexpectedRetrieving] ...", "code": "OPERATION_RESOLUTION_FAILURE",
               "reason": null} a GraphQL answer with one error and no data, by default one that names no item;
              or {"errors": [...]} as they are to be sent
    html      {"status": 502} a page of a proxy; status may be 200
    reset     the connection is aborted
    lost      the operation runs and the connection is aborted before the answer
    cut       the operation runs and the connection closes in the middle of the answer
    truncated the operation runs and its answer is valid HTTP, but half a JSON text
    partial   {"message": ...} the operation runs; its answer carries an error next to the data
    padded    {"bytes": 9000000} the operation runs; its answer is blown up by blanks to so many bytes
    too_large {"bytes": 200000} 413 for bodies above so many bytes, uncompressed; smaller ones do not match
    delay     {"seconds": 1.5} the call waits before the operation runs; later rules still apply
    refuse    {"external_ids": [...], "asset_ids": [...], "categories": [...], "names_item": false,
               "key": "unexpectedRetrieving", "message": null} every mutation with one of these items is refused as
              the batch switch says; matches only calls that write assets or labels, and counts also those without
              such an item; later rules still apply
    fail_import {"external_ids": [...], "message": "..."} an import in the background ends as FAILURE and leaves out
              these assets, or all when none is named; matches only such imports; later rules still apply

`labelFile` is the operation of a file that `jsonResponseUrl` names (switch `label_json`): an HTTP GET, so `errors` and
`partial` say nothing there. `upload` is that of a PUT to the bucket; "*" leaves uploads out.

Where a document holds several root fields, a rule that names an operation and answers with `errors` and status 200, or
refuses items, hits that field alone; the others run. Anything else hits the whole document.

`status`, `errors`, `html` and `delay` take "after": true, which runs the operation first: the outcome a client
cannot know. An operation runs also when the client has gone away while it waited.
The first action other than `delay`, `refuse` and `fail_import` ends the search. `times` counts the calls a rule was
applied to.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from worker.sandbox.errors import (
    Action,
    Delay,
    Errors,
    FailImport,
    FaultError,
    Refuse,
    TooLarge,
    check_keys,
    read_action,
)

#: Operations whose single items can be refused.
WRITES = frozenset(
    {
        "appendManyAssets",
        "appendManyAssetsAsynchronously",
        "updatePropertiesInAssets",
        "deleteAssets",
        "setAssetsPriority",
        "assignAssets",
        "addAssetsToReview",
        "sendAssetsBackToQueue",
        "appendManyLabels",
        "appendToLabels",
        "createHoneypot",
    }
)

#: Operations that go on after their answer.
IMPORTS = frozenset({"appendManyAssetsAsynchronously"})

#: The name of a PUT to the bucket.
UPLOAD = "upload"

RULE_KEYS = frozenset({"operation", "project", "external_id", "asset_id", "skip", "times", "chance", "seed", "action"})


@dataclass(frozen=True, slots=True)
class Call:
    """What a rule may look at."""

    operations: tuple[str, ...]
    project_id: str | None
    body_bytes: int
    external_id: str | None = None
    asset_id: str | None = None


@dataclass(slots=True)
class FieldPlan:
    """What is to happen to one of several root fields."""

    rejections: list[Refuse] = field(default_factory=list)
    error: Errors | None = None


@dataclass(slots=True)
class Plan:
    """What is to happen to one call: wait, refuse items, end in an action or go well; `fields` by operation."""

    delay: float = 0.0
    delay_after: float = 0.0
    rejections: list[Refuse] = field(default_factory=list)
    failures: list[FailImport] = field(default_factory=list)
    fields: dict[str, FieldPlan] = field(default_factory=dict)
    action: Action | None = None

    def of_field(self, operation: str) -> FieldPlan:
        """The plan of one of several root fields."""
        return self.fields.setdefault(operation, FieldPlan())


@dataclass(slots=True)
class Rule:
    """One rule and how often it has matched and been applied."""

    action: Action
    source: Mapping[str, Any]
    operation: str = "*"
    project: str | None = None
    external_id: str | None = None
    asset_id: str | None = None
    skip: int = 0
    times: int | None = None
    chance: float = 1.0
    seed: int = 0
    matched: int = 0
    applied: int = 0
    _random: random.Random = field(init=False)

    def __post_init__(self) -> None:
        """Seed the rule's own dice."""
        self._random = random.Random(self.seed)

    def hits(self, call: Call) -> bool:
        """Tell whether the rule is applied to a call, and count."""
        if not self._matches(call):
            return False
        self.matched += 1
        if self.matched <= self.skip or (self.times is not None and self.applied >= self.times):
            return False
        if self.chance < 1 and self._random.random() >= self.chance:
            return False
        self.applied += 1
        return True

    def _matches(self, call: Call) -> bool:
        return (
            self._names(call.operations)
            and (self.project is None or self.project == call.project_id)
            and self.external_id in {None, call.external_id}
            and self.asset_id in {None, call.asset_id}
            and not (isinstance(self.action, FailImport) and IMPORTS.isdisjoint(call.operations))
            and not (isinstance(self.action, Refuse) and WRITES.isdisjoint(call.operations))
            and not (isinstance(self.action, TooLarge) and call.body_bytes <= self.action.bytes)
        )

    def _names(self, operations: Sequence[str]) -> bool:
        return self.operation in operations or (self.operation == "*" and UPLOAD not in operations)


class Script:
    """The rules in force."""

    def __init__(self, rules: Any = (), *, seed: int = 0) -> None:
        """Start with some rules; `seed` is for rules that have none of their own."""
        self._seed = seed
        self._rules: list[Rule] = []
        self.add(rules)

    def add(self, rules: Any) -> None:
        """Append rules; raises FaultError, and adds none, when one of them is wrong."""
        if isinstance(rules, Mapping):
            rules = rules.get("faults", [rules])
        if not isinstance(rules, Sequence) or isinstance(rules, str):
            raise FaultError('faults: give a list of rules or {"faults": [rules]}')
        first = len(self._rules)
        self._rules += [self._read(first + index, source) for index, source in enumerate(rules)]

    def clear(self) -> None:
        """Drop all rules."""
        self._rules.clear()

    def describe(self) -> list[dict[str, Any]]:
        """Return the rules with their counts."""
        return [{**rule.source, "matched": rule.matched, "applied": rule.applied} for rule in self._rules]

    def plan(self, call: Call) -> Plan:
        """Decide what happens to a call."""
        plan = Plan()
        for rule in self._rules:
            is_one_of_several = len(call.operations) > 1 and rule.operation != "*"
            if is_one_of_several and plan.of_field(rule.operation).error is not None:
                continue
            if not rule.hits(call):
                continue
            match rule.action:
                case Errors(status=200) as error if is_one_of_several:
                    plan.of_field(rule.operation).error = error
                case Refuse() as refuse if is_one_of_several:
                    plan.of_field(rule.operation).rejections.append(refuse)
                case Delay(seconds=seconds, after=True):
                    plan.delay_after += seconds
                case Delay(seconds=seconds):
                    plan.delay += seconds
                case Refuse() as refuse:
                    plan.rejections.append(refuse)
                case FailImport() as failure:
                    plan.failures.append(failure)
                case action:
                    plan.action = action
                    return plan
        return plan

    def _read(self, index: int, source: Any) -> Rule:
        where = f"faults[{index}]"
        check_keys(where, source, RULE_KEYS)
        if "action" not in source:
            raise FaultError(f"{where}: action is missing")
        options = {"seed": self._seed + index, **source, "action": read_action(where, source["action"])}
        rule = Rule(**options, source=source)
        _check_numbers(where, rule)
        return rule


def _check_numbers(where: str, rule: Rule) -> None:
    for name, value in (("skip", rule.skip), ("times", 0 if rule.times is None else rule.times)):
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            raise FaultError(f"{where}.{name}: {value!r} is not a whole number of at least 0")
    if not isinstance(rule.chance, int | float) or not 0 <= rule.chance <= 1:
        raise FaultError(f"{where}.chance: {rule.chance!r} is not between 0 and 1")
