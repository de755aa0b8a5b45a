"""Must-review conditions, our own and Amazon A2I's."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from tests.unit.review.review_subjects import answers, choice, policy, subject
from worker.contract.output import Entities, Entity, ModelOutput
from worker.review import PolicyError, parse_policy
from worker.review.conditions import Case, Condition, describe, translate_a2i
from worker.review.expected_errors import read_errors

CONDITION: TypeAdapter[Any] = TypeAdapter(Condition)


def entities(**scores: float) -> ModelOutput:
    """One entity per label."""
    return ModelOutput(Entities(tuple(Entity(label, 0, 1, "x", score) for label, score in scores.items())))


def holds(condition: dict[str, Any], output: ModelOutput, *, audit_draw: float = 0.5, **metadata: Any) -> bool:
    found: bool = CONDITION.validate_python(condition).holds(Case(read_errors(output), metadata, audit_draw))
    return found


CHOICE = choice(0.7, 0.2, 0.1)
NAMES = entities(PERSON=0.95, CITY=0.6)


@pytest.mark.parametrize(
    ("condition", "output", "expected"),
    [
        ({"type": "confidence_lt", "value": 0.8}, CHOICE, True),
        ({"type": "confidence_lt", "value": 0.7}, CHOICE, False),
        ({"type": "confidence_lt", "value": 0.8, "class": "A"}, CHOICE, True),
        ({"type": "confidence_lt", "value": 0.8, "class": "B"}, CHOICE, False),
        ({"type": "confidence_lt", "value": 0.8, "class": ["PERSON", "CITY"]}, NAMES, True),
        ({"type": "confidence_lt", "value": 0.8, "class": ["PERSON"]}, NAMES, False),
        ({"type": "confidence_gt", "value": 0.9, "class": "PERSON"}, NAMES, True),
        ({"type": "confidence_gt", "value": 0.99}, NAMES, False),
        ({"type": "confidence_within", "at_least": 0.6, "below": 0.7}, NAMES, True),
        ({"type": "confidence_within", "above": 0.6, "below": 0.9}, NAMES, False),
        ({"type": "margin_lt", "value": 0.6}, CHOICE, True),
        ({"type": "margin_lt", "value": 0.45}, CHOICE, False),
        ({"type": "margin_lt", "value": 1.0}, NAMES, False),
        ({"type": "class_in", "values": ["CITY", "LAKE"]}, NAMES, True),
        ({"type": "class_in", "values": ["LAKE"]}, NAMES, False),
        ({"type": "missing", "target": "DATE"}, NAMES, True),
        ({"type": "missing", "target": ["DATE", "CITY"]}, NAMES, False),
        ({"type": "empty_prediction"}, entities(), True),
        ({"type": "empty_prediction"}, NAMES, False),
    ],
)
def test_conditions_look_at_what_is_asserted(condition: dict[str, Any], output: ModelOutput, expected: bool) -> None:
    assert holds(condition, output) is expected


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ({"key": "camera", "equals": "north"}, True),
        ({"key": "camera", "equals": "south"}, False),
        ({"key": "camera", "any_of": ["north", "east"]}, True),
        ({"key": "lux", "lt": 5}, True),
        ({"key": "lux", "gt": 3, "lt": 3.5}, False),
        ({"key": "lux", "exists": True}, True),
        ({"key": "gone", "exists": False}, True),
        ({"key": "gone", "equals": None}, False),
        ({"key": "camera", "lt": 5}, False),
        ({"key": "night", "equals": True}, True),
        ({"key": "night", "equals": 1}, False),
    ],
)
def test_conditions_look_at_metadata(condition: dict[str, Any], expected: bool) -> None:
    assert holds({"type": "metadata", **condition}, CHOICE, camera="north", lux=4, night=True) is expected


def test_any_and_all_nest() -> None:
    nested = {
        "all": [
            {"any": [{"type": "class_in", "values": ["A"]}, {"type": "empty_prediction"}]},
            {"type": "confidence_lt", "value": 0.8},
        ]
    }

    assert holds(nested, CHOICE)
    assert not holds(nested, choice(0.9, 0.1))
    assert not holds(nested, NAMES)
    assert not holds({"any": []}, CHOICE)


def test_a_coin_takes_its_share() -> None:
    assert holds({"type": "random", "share": 0.02}, CHOICE, audit_draw=0.01)
    assert not holds({"type": "random", "share": 0.02}, CHOICE, audit_draw=0.03)


@pytest.mark.parametrize(
    "wrong",
    [
        {"type": "confidence_below", "value": 0.5},
        {"type": "confidence_lt", "value": 80},
        {"type": "confidence_lt"},
        {"type": "metadata", "key": "a"},
        {"type": "class_in", "values": []},
        {"all": []},
        {"value": 0.5},
        "confidence_lt",
    ],
)
def test_what_is_no_condition_is_refused(wrong: Any) -> None:
    with pytest.raises(ValidationError):
        CONDITION.validate_python(wrong)


def test_a_wrong_condition_is_named_by_its_place() -> None:
    given = {"rules": [{}, {"must_review": {"any": [{"any": [{"type": "margin", "value": 1}]}]}}]}

    with pytest.raises(
        PolicyError, match=r"rules\.1\.must_review\.any\.0\.any\.any\.0: needs `any`, `all`, or a `type`"
    ):
        parse_policy(given)


def test_a_condition_describes_itself() -> None:
    condition = CONDITION.validate_python(
        {"all": [{"type": "confidence_lt", "value": 0.9, "class": "A"}, {"any": [{"type": "empty_prediction"}]}]}
    )

    assert describe(condition) == "confidence_lt class=A value=0.9 and (empty_prediction)"


REKOGNITION = {
    "Conditions": [
        {
            "Or": [
                {
                    "ConditionType": "ModerationLabelConfidenceCheck",
                    "ConditionParameters": {"ModerationLabelName": "PERSON", "ConfidenceLessThan": 98},
                },
                {
                    "ConditionType": "ModerationLabelConfidenceCheck",
                    "ConditionParameters": {"ModerationLabelName": "CITY", "ConfidenceGreaterThan": 98},
                },
            ]
        }
    ]
}
TEXTRACT = {
    "Conditions": [
        {
            "And": [
                {
                    "ConditionType": "ImportantFormKeyConfidenceCheck",
                    "ConditionParameters": {
                        "ImportantFormKey": "MAIL",
                        "ImportantFormKeyAliases": ["CITY"],
                        "KeyValueBlockConfidenceGreaterThanEquals": 60,
                        "KeyValueBlockConfidenceLessThan": 90,
                        "WordBlockConfidenceEquals": 100,
                    },
                },
                {"ConditionType": "MissingImportantFormKey", "ConditionParameters": {"ImportantFormKey": "PHONE"}},
            ]
        },
        {"ConditionType": "Sampling", "ConditionParameters": {"RandomSamplingPercentage": 5}},
    ]
}


def test_label_thresholds_of_a2i_hold_where_theirs_do() -> None:
    condition = translate_a2i(REKOGNITION)

    assert holds(condition, entities(PERSON=0.97))
    assert holds(condition, entities(CITY=0.99))
    assert not holds(condition, entities(PERSON=0.99, CITY=0.97))


def test_form_keys_aliases_ranges_and_sampling_of_a2i_are_translated() -> None:
    condition = translate_a2i(json.dumps(TEXTRACT))

    assert holds(condition, entities(CITY=0.6))
    assert holds(condition, entities(MAIL=1.0))
    assert not holds(condition, entities(CITY=0.9))
    assert not holds(condition, entities(CITY=0.6, PHONE=0.9))
    assert not holds(condition, entities(CITY=0.3, MAIL=0.95))
    assert holds(condition, entities(PHONE=0.9), audit_draw=0.04)


NESTED = {
    "Conditions": [
        {
            "Or": [
                {
                    "And": [
                        {
                            "ConditionType": "ImportantFormKeyConfidenceCheck",
                            "ConditionParameters": {
                                "ImportantFormKey": "Mail Address",
                                "ImportantFormKeyAliases": ["Mail Address:", "Mail add:", "Mailing Add"],
                                "KeyValueBlockConfidenceLessThan": 85.5,
                                "WordBlockConfidenceLessThan": 60,
                            },
                        },
                        {
                            "ConditionType": "ImportantFormKeyConfidenceCheck",
                            "ConditionParameters": {"ImportantFormKey": "*", "KeyValueBlockConfidenceGreaterThan": 0},
                        },
                    ]
                },
                {
                    "ConditionType": "MissingImportantFormKey",
                    "ConditionParameters": {"ImportantFormKey": "Phone", "ImportantFormKeyAliases": ["Phone:"]},
                },
            ]
        },
        {
            "ConditionType": "ModerationLabelConfidenceCheck",
            "ConditionParameters": {"ModerationLabelName": "*", "ConfidenceEquals": 100},
        },
        {"ConditionType": "Sampling", "ConditionParameters": {"RandomSamplingPercentage": 0.5}},
    ]
}


@pytest.mark.parametrize("how", ["parsed", "text", "whole file"])
@pytest.mark.parametrize(
    ("found", "audit_draw", "expected"),
    [
        ({"Phone:": 0.9, "Mail add:": 0.8}, 0.5, True),
        ({"Phone:": 0.9, "Mail add:": 0.86}, 0.5, False),
        ({"Mail Address": 0.99}, 0.5, True),
        ({"Phone": 0.9, "Other": 0.1}, 0.5, False),
        ({"Phone": 0.9, "Other": 1.0}, 0.5, True),
        ({"Phone": 0.9}, 0.004, True),
    ],
)
def test_every_condition_type_of_a2i_is_taken_as_it_is_wherever_it_stands(
    how: str, found: dict[str, float], audit_draw: float, expected: bool
) -> None:
    given = json.dumps(NESTED) if how == "text" else NESTED
    parsed = parse_policy(given if how == "whole file" else {"rules": [{"must_review": {"a2i": given}}]})
    case = Case(read_errors(entities(**found)), {}, audit_draw)

    assert any(one.holds(case) for one in parsed.rules[0].must_review.conditions) is expected


def test_a_star_means_every_key() -> None:
    parameters = {"ImportantFormKey": "*", "KeyValueBlockConfidenceLessThan": 90}
    given = {"Conditions": [{"ConditionType": "ImportantFormKeyConfidenceCheck", "ConditionParameters": parameters}]}

    assert holds(translate_a2i(given), entities(ANYTHING=0.8))
    assert not holds(translate_a2i(given), entities(ANYTHING=0.95))


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({}, "Conditions: must be a list"),
        ({"Conditions": [{"ConditionType": "Other"}]}, r"Conditions\[0\]\.ConditionType: 'Other'"),
        (
            {"Conditions": [{"Or": [{"ConditionType": "Sampling"}]}]},
            r"Conditions\[0\]\.Or\[0\]: None is not a percentage",
        ),
        (
            {"Conditions": [{"ConditionType": "MissingImportantFormKey", "ConditionParameters": {}}]},
            "needs ModerationLabelName or ImportantFormKey",
        ),
        (
            {
                "Conditions": [
                    {
                        "ConditionType": "ModerationLabelConfidenceCheck",
                        "ConditionParameters": {"ModerationLabelName": "X", "ConfidenceBelow": 3},
                    }
                ]
            },
            "'ConfidenceBelow' is not a parameter",
        ),
    ],
)
def test_what_a2i_would_not_take_is_refused(given: Any, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        translate_a2i(given)


def test_a_file_of_a2i_conditions_is_a_policy() -> None:
    found = parse_policy(REKOGNITION)

    assert len(found.rules[0].must_review.conditions) == 1
    assert found.rules[0].must_review.max_share == 1


def test_must_reviews_go_first_and_tell_why() -> None:
    ranked = policy({"must_review": {"any": [{"type": "class_in", "values": ["A"]}], "max_share": 1.0}})

    first, other = ranked.decide_all([subject("1", choice(0.99, 0.01)), subject("2", choice(0.01, 0.99))])

    assert (first.band, first.lane, first.reason) == (3, 0, "must review: class_in values=A")
    assert first.priority >= 30_000
    assert other.band < 3


def test_must_reviews_are_capped() -> None:
    ranked = policy({"must_review": {"any": [{"type": "confidence_gt", "value": 0.0}], "max_share": 0.02}})

    decided = ranked.decide_all(answers(1000))

    assert 20 <= sum(one.band == 3 for one in decided) <= 30
