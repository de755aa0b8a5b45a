"""The table says what the outcome holds, in lines that fit a terminal."""

from __future__ import annotations

from dataclasses import replace

from outcome_examples import MODEL, small_figures, small_outcome

from worker.demo.display import WIDTH, table
from worker.demo.outcome import DemoResult
from worker.demo.traffic import DeadLetterGroup

OUTCOME = small_outcome()
FIELDS = ["external_id", "model.version", "output.scores.SEVEN", "predicted_at", "metadata.camera"]


def large() -> DemoResult:
    """The largest figures that a demo can have."""
    return replace(
        OUTCOME,
        models=["digit-logistic:1", "digit-bayes:1", "digit-bayes:2"],
        published=replace(OUTCOME.published, messages=9_999, celery=4_999, stream=5_000, predictions=9_000),
        in_kili=replace(OUTCOME.in_kili, assets=9_999, inference_labels=9_999, missing=9_999, calls=9_999),
        ledger={"received": 9_999, "delivered": 9_999, "superseded": 999, "dead": 99, "balance": 0},
        dead_letters=[DeadLetterGroup("invalid_message", 99, FIELDS)],
        review=replace(
            OUTCOME.review, reviewed=999, assets=9_999, errors=999, errors_found=999, errors_by_confidence=99
        ),
        broken_promises=["words " * 40],
    )


def rows(text: str) -> dict[str, str]:
    """The rows by their names."""
    return {line[2:28].strip(): " ".join(line[28:].split()) for line in text.splitlines() if line.startswith("  ")}


def test_every_figure_stands_in_its_row() -> None:
    found = rows(table(OUTCOME))

    assert found["messages"] == "7 5 through Celery, 2 by XADD"
    assert found["assets"] == "4 one per external id"
    assert found["calls per 100 predictions"] == "75.0 3 calls in all"
    assert found["received"] == "7 4 delivered, 1 superseded, 2 dead"
    assert found["not_json"] == "1 message"
    assert found["in the worker's order"] == "1 ################ 100% of 1"
    assert found["by the models' confidence"] == "0 ................ 0% of 1"
    assert found["by chance"] == "0.5 ########........ 50% of 1"
    assert found[MODEL] == "70.0% truth 75.0% in 60.0% to 80.0%; naive 50.0%"


def test_the_columns_are_aligned() -> None:
    text = table(OUTCOME).partition("Drift injected")[0]
    lines = [line for line in text.splitlines() if line.startswith("  ")]

    assert all(line[34] != " " and line[35:38] in ("   ", "") and line[38:39] != " " for line in lines), lines


def test_the_largest_figures_fit_the_width() -> None:
    lines = table(large(), blocks=True).splitlines()

    assert max(map(len, lines)) <= WIDTH


def test_fields_that_need_more_than_a_line_go_on_in_the_same_column() -> None:
    lines = table(large()).splitlines()
    start = next(number for number, line in enumerate(lines) if "invalid_message" in line)

    assert [line[38:] for line in lines[start : start + 3]] == [
        "external_id, model.version,",
        "output.scores.SEVEN, predicted_at,",
        "metadata.camera",
    ]


def test_without_block_signs_the_table_is_plain_ascii() -> None:
    assert table(large()).isascii()
    assert "█" in table(OUTCOME, blocks=True)


def test_what_is_wrong_is_said_in_its_row_and_at_the_end() -> None:
    found = table(large())

    assert rows(found)["INFERENCE labels"] == "9,999 9,999 MISSING"
    assert found.splitlines()[-4].startswith("BROKEN PROMISE: words")
    assert "BROKEN" not in table(OUTCOME)


def test_the_gain_over_confidence_has_a_row_of_its_own() -> None:
    review = replace(OUTCOME.review, errors_found=3, errors_by_confidence=2, errors=4)

    assert rows(table(replace(OUTCOME, review=review)))["gain over confidence"].startswith("1.50x")


def test_an_interval_that_misses_the_truth_is_said_to() -> None:
    missed = small_outcome(mistakes=1.0)

    assert "NOT IN 60.0% to 80.0%" in rows(table(missed))[MODEL]


def test_an_alarm_stands_in_its_own_words_with_whether_it_is_the_right_one() -> None:
    right, other, none = (
        " ".join(table(outcome).split())
        for outcome in (
            OUTCOME,
            small_outcome(report_data=small_figures(fallen="NINE")),
            replace(OUTCOME, drift=replace(OUTCOME.drift, alarms=[])),
        )
    )

    assert f"ALARM {MODEL}: accuracy fell since about" in right
    assert "fell most: TWO (the right one)" in right
    assert "fell most: NINE (ANOTHER)" in other
    assert "no alarm was raised" in none


def test_a_sum_that_is_off_is_not_called_held() -> None:
    off = replace(OUTCOME, ledger={**OUTCOME.ledger, "balance": 2})

    assert rows(table(off))["conservation"].startswith("OFF")
    assert rows(table(OUTCOME))["conservation"].startswith("holds")
