"""The table says what the outcome holds, in lines that fit a terminal."""

from __future__ import annotations

from dataclasses import replace

from outcome_examples import small_evidence, small_traffic

from worker.demo.outcome import DeadLetterGroup, Outcome, outcome_of
from worker.demo.table import WIDTH, table

OUTCOME = outcome_of(small_traffic(), small_evidence())
FIELDS = ["external_id", "model.version", "output.scores.SEVEN", "predicted_at", "metadata.camera"]


def large() -> Outcome:
    """The largest figures that a demo can have."""
    return replace(
        OUTCOME,
        models=["digit-network:1", "digit-network:2"],
        published=replace(OUTCOME.published, messages=9_999, celery=4_999, stream=5_000, predictions=9_000),
        in_kili=replace(OUTCOME.in_kili, assets=9_999, inference_labels=9_999, missing=9_999, calls=9_999),
        ledger={"received": 9_999, "delivered": 9_999, "superseded": 999, "dead": 99, "balance": 0},
        dead_letters=[DeadLetterGroup("invalid_message", 99, FIELDS)],
        review=replace(OUTCOME.review, reviewed=999, assets=9_999, errors=999, errors_found=999, errors_by_chance=99.9),
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
    assert found["model errors found"] == "1 ################ 100% of 1, 2.0x chance"
    assert found["by chance"] == "0.5 ########........ 50% of 1"


def test_the_columns_are_aligned() -> None:
    lines = [line for line in table(OUTCOME).splitlines() if line.startswith("  ")]

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


def test_a_sum_that_is_off_is_not_called_held() -> None:
    off = replace(OUTCOME, ledger={**OUTCOME.ledger, "balance": 2})

    assert rows(table(off))["conservation"].startswith("OFF")
    assert rows(table(OUTCOME))["conservation"].startswith("holds")
