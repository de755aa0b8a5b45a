"""Fault scripts: which calls a rule hits, and what a wrong rule is told."""

from __future__ import annotations

from typing import Any

import pytest

from worker.sandbox.errors import Errors, Html, KiliError, Refuse, Reset, Status
from worker.sandbox.faults import Call, FaultError, Plan, Script

RESET = {"kind": "reset"}


def plan(script: Script, operation: str = "appendManyLabels", project: str = "p", size: int = 100) -> Plan:
    return script.plan(Call((operation,), project, size))


def hits(script: Script, calls: int, **options: Any) -> list[int]:
    """The numbers of the calls that were hit."""
    return [number for number in range(calls) if plan(script, **options).action is not None]


def test_a_rule_without_conditions_hits_every_call() -> None:
    assert hits(Script([{"action": RESET}]), 3) == [0, 1, 2]


def test_a_rule_hits_its_operation_only() -> None:
    script = Script([{"operation": "appendManyAssets", "action": RESET}])
    assert hits(script, 2) == []
    assert hits(script, 2, operation="appendManyAssets") == [0, 1]


def test_a_rule_hits_its_project_only() -> None:
    script = Script([{"project": "p", "action": RESET}])
    assert hits(script, 1, project="q") == []
    assert hits(script, 1, project="p") == [0]


def test_skip_and_times_select_a_window_of_the_calls_that_match() -> None:
    script = Script([{"operation": "appendManyLabels", "skip": 2, "times": 3, "action": RESET}])
    plan(script, "projects")
    assert hits(script, 8) == [2, 3, 4]


def test_chance_draws_the_same_calls_for_the_same_seed() -> None:
    rule = {"chance": 0.3, "seed": 5, "action": RESET}
    first = hits(Script([rule]), 1000)
    assert first == hits(Script([rule]), 1000)
    assert first != hits(Script([{**rule, "seed": 6}]), 1000)
    assert 230 < len(first) < 370


def test_the_seed_of_the_sandbox_stands_in_for_a_missing_one() -> None:
    rule = {"chance": 0.5, "action": RESET}
    assert hits(Script([rule], seed=1), 100) != hits(Script([rule], seed=2), 100)
    assert hits(Script([rule], seed=1), 100) == hits(Script([rule], seed=1), 100)


def test_delays_add_up_and_the_first_other_action_ends_the_search() -> None:
    script = Script(
        [
            {"action": {"kind": "delay", "seconds": 1}},
            {"action": {"kind": "refuse", "external_ids": ["x"]}},
            {"action": {"kind": "delay", "seconds": 0.5}},
            {"action": {"kind": "status", "status": 429, "headers": {"Retry-After": 7}}},
            {"action": RESET},
        ]
    )
    found = plan(script)
    assert found.delay == 1.5
    assert len(found.rejections) == 1
    assert found.action == Status(429, headers={"Retry-After": "7"})
    assert script.describe()[4]["matched"] == 0


def test_large_bodies_only_are_too_large() -> None:
    script = Script([{"times": 1, "action": {"kind": "too_large", "bytes": 1000}}])
    assert hits(script, 1, size=1000) == []
    assert hits(script, 1, size=1001) == [0]


def test_queries_are_never_refused_item_by_item() -> None:
    script = Script([{"action": {"kind": "refuse", "asset_ids": ["x"]}}])
    assert plan(script, "assets").rejections == []
    assert len(plan(script, "appendManyAssets").rejections) == 1


def test_rules_report_how_often_they_matched_and_were_applied() -> None:
    script = Script({"faults": [{"skip": 1, "times": 1, "action": RESET}]})
    hits(script, 4)
    assert script.describe() == [{"skip": 1, "times": 1, "action": RESET, "matched": 4, "applied": 1}]


def test_a_cleared_script_leaves_calls_alone() -> None:
    script = Script([{"action": RESET}])
    script.clear()
    assert hits(script, 2) == []


@pytest.mark.parametrize(
    ("item", "is_refused"),
    [
        (("a1", "one", None), True),
        (("a2", "two", None), False),
        (("a3", "two", '{"J": {"categories": [{"name": "PINK"}]}}'), True),
        (("a3", "two", '{"J": {"categories": [{"name": "PINKISH"}]}}'), False),
    ],
)
def test_items_are_refused_by_who_they_are_or_what_they_say(
    item: tuple[str, str, str | None], is_refused: bool
) -> None:
    refuse = Refuse(external_ids=frozenset({"one"}), categories=frozenset({"PINK"}))
    if is_refused:
        with pytest.raises(KiliError):
            refuse.check(*item)
    else:
        refuse.check(*item)


@pytest.mark.parametrize(("names_item", "expected"), [(True, True), (False, False)])
def test_a_refusal_names_the_item_only_when_asked_to(names_item: bool, expected: bool) -> None:
    refuse = Refuse(external_ids=frozenset({"secret"}), names_item=names_item, key="someKey")
    with pytest.raises(KiliError, match=r"\[someKey\]") as caught:
        refuse.check("a1", "secret", None)
    assert ("secret" in caught.value.message) is expected


def test_errors_name_no_item_and_carry_no_data_by_default() -> None:
    body = Errors().body()
    assert body["data"] is None
    assert body["errors"][0]["extensions"] == {"code": "OPERATION_RESOLUTION_FAILURE"}


def test_errors_can_be_given_in_full() -> None:
    assert Errors(errors=({"message": "m"},)).body() == {"errors": [{"message": "m"}], "data": None}


def test_errors_can_carry_a_reason() -> None:
    extensions = Errors(reason="AssetAlreadyLocked").body()["errors"][0]["extensions"]
    assert extensions["context"] == {"reason": "AssetAlreadyLocked"}


@pytest.mark.parametrize(
    ("rules", "words"),
    [
        ("reset", "give a list"),
        ([{}], r"faults\[0\]: action is missing"),
        ([7], r"faults\[0\]: must be an object"),
        ([{"action": RESET, "oops": 1}], r"faults\[0\].oops: no such key"),
        ([{"action": {"kind": "explode"}}], r"faults\[0\].action.kind: 'explode' is none of"),
        ([{"action": {"kind": "reset", "status": 1}}], r"faults\[0\].action.status: no such key"),
        (
            [{"action": {"kind": "status", "status": "503"}}],
            r"faults\[0\].action.status: '503' has the wrong type",
        ),
        ([{"action": {"kind": "status", "headers": 3}}], r"faults\[0\].action"),
        ([{"action": RESET, "times": -1}], r"faults\[0\].times: -1"),
        ([{"action": RESET, "skip": 1.5}], r"faults\[0\].skip: 1.5"),
        ([{"action": RESET, "chance": 2}], r"faults\[0\].chance: 2"),
        ([{"action": RESET}, {"action": {"kind": "x"}}], r"faults\[1\]"),
    ],
)
def test_a_wrong_rule_is_refused_by_name_and_changes_nothing(rules: Any, words: str) -> None:
    script = Script()
    with pytest.raises(FaultError, match=words):
        script.add(rules)
    assert script.describe() == []


def test_every_kind_can_be_read_with_its_defaults() -> None:
    kinds = ["status", "errors", "html", "reset", "lost", "cut", "truncated", "partial", "too_large", "delay"]
    script = Script([{"times": 1, "action": {"kind": kind}} for kind in [*kinds, "refuse"]])
    assert plan(script).action == Status()
    assert plan(script).action == Errors()
    assert plan(script).action == Html()
    assert plan(script).action == Reset()
