"""Everything a report says, computed from records."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from tests.unit.feedback.feedback_records import record, traffic
from tests.unit.feedback.kili_in_memory import INTERFACE, JOB, START
from worker.feedback.breakdown import NOTHING, cases_by_model, class_pairs, is_audit
from worker.feedback.records import AssetRecord
from worker.feedback.report_data import ReportQuestion, contradicts, disagreements, report_data_of

DAY = 86_400.0


def report_data(records: list[AssetRecord], **options):
    return report_data_of(records, INTERFACE, ReportQuestion(**{"now": START + 20 * DAY, **options}))


def test_an_empty_project_has_empty_figures() -> None:
    found = report_data([])

    assert found["models"] == []
    assert found["comparisons"] == []
    assert found["reviewers"]["verdicts"] == 0


def test_figures_are_plain_data() -> None:
    found = report_data(traffic(300))

    assert json.loads(json.dumps(found)) == found


def test_every_model_version_has_its_own_figures_in_the_order_of_their_first_prediction() -> None:
    found = report_data(traffic(100, model="m:2", at=START + DAY, first=500) + traffic(100, model="m:1"))

    assert [model["model"] for model in found["models"]] == ["m:1", "m:2"]
    assert [model["agreement"]["population"] for model in found["models"]] == [100, 100]


def test_only_the_days_asked_for_are_looked_at() -> None:
    records = traffic(100) + traffic(50, at=START + 15 * DAY, first=500)

    assert report_data(records, days=10)["models"][0]["agreement"]["population"] == 50
    assert report_data(records, days=30)["models"][0]["agreement"]["population"] == 150


def test_windows_of_time_add_up_to_the_whole() -> None:
    found = report_data(traffic(2000))
    (model,) = found["models"]

    assert sum(window["population"] for window in model["windows"]) == 2000
    assert sum(window["verdicts"] for window in model["windows"]) == model["agreement"]["verdicts"]
    assert all(window["end"] - window["start"] == found["window"] for window in model["windows"])


def test_the_class_that_is_wrong_most_often_comes_first() -> None:
    (model,) = report_data(traffic(1500, cows_are_dogs_from=0))["models"]
    classes = model["jobs"][JOB]["classes"]

    assert classes[0]["name"] == "DOG"
    assert classes[0]["value"] < 0.65
    assert classes[0]["errors_per_day"] > 3 * classes[1]["errors_per_day"]


def test_the_confusion_is_counted_and_estimated_for_the_whole_traffic() -> None:
    (model,) = report_data(traffic(1500, cows_are_dogs_from=0))["models"]
    confusion = model["jobs"][JOB]["confusion"]

    worst = next(row for row in confusion if row["model"] != row["human"])
    assert (worst["model"], worst["human"]) == ("DOG", "COW")
    assert 350 < worst["estimated"] < 650
    assert sum(row["estimated"] for row in confusion) == pytest.approx(1500, rel=0.01)
    assert sum(row["answers"] for row in confusion) == model["agreement"]["verdicts"]


def test_metadata_with_few_values_are_slices() -> None:
    (model,) = report_data(traffic(400))["models"]

    assert {row["name"] for row in model["slices"]["site"]} == {"north", "south"}
    assert sum(row["population"] for row in model["slices"]["site"]) == 400


def test_metadata_of_one_value_or_one_per_asset_are_none() -> None:
    same = traffic(60)
    other = [replace(one, slices={"site": "north", "id": one.asset_id}) for one in same]

    assert report_data(other)["models"][0]["slices"] == {}


def test_the_reliability_of_p_error_lies_on_the_diagonal() -> None:
    (model,) = report_data(traffic(4000, step=60))["models"]

    rows = [row for row in model["p_error"] if row["answers"] >= 60]
    assert len(rows) >= 5
    for row in rows:
        assert row["agreement"] == pytest.approx(row["stated"], abs=0.12)


def test_audits_that_wait_and_that_are_overdue_are_counted() -> None:
    records = [record(n, "CAT", band=2, at=START + n * DAY) for n in range(5)] + [record(9, "CAT", "CAT", band=2)]

    (model,) = report_data(records, now=START + 5 * DAY, audit_sla=3 * DAY)["models"]

    assert model["audits"] == {"drawn": 6, "answered": 1, "waiting": 5, "overdue": 2, "oldest_waiting": START}


def test_an_asset_that_was_answered_before_the_decision_is_no_audit() -> None:
    before = record(1, "CAT", "CAT", band=2, answered_after=-7200.0)
    after = record(2, "CAT", "CAT", band=2)

    assert not is_audit(before)
    assert is_audit(after)


def test_a_wrong_clock_of_the_producer_does_not_take_audits_away() -> None:
    """The prediction is dated an hour ahead of Kili's clock; its label was written before the answer."""
    ahead = record(1, "CAT", "CAT", band=2)
    assert ahead.decision is not None

    assert is_audit(replace(ahead, decision=replace(ahead.decision, at=START + 2 * 3600)))


def test_p_error_is_used_for_the_model_version_it_was_made_for() -> None:
    one = record(1, "CAT", "CAT", doubt=0.3)
    other = replace(one.answers[0], model="m:0")

    cases = cases_by_model([replace(one, answers=(other, *one.answers))])

    assert cases["m:1"][0].sample.p_error == 0.3
    assert cases["m:0"][0].sample.p_error is None
    assert cases["m:0"][0].sample.doubt == 0.3


def test_a_drift_names_the_version_the_time_and_the_class() -> None:
    records = traffic(3000, step=120, cows_are_dogs_from=2000)

    (model,) = report_data(records, run_length=10_000.0)["models"]

    alarm = next(one for one in model["drift"]["alarms"] if one["detector"] == "accuracy_fell")
    assert alarm["model"] == "m:1"
    assert alarm["at"] - START >= 2000 * 120
    assert abs(alarm["since"] - START - 2000 * 120) < 100 * 120
    assert alarm["before"]["value"] > alarm["after"]["value"] + 0.1
    assert alarm["classes"][0]["name"] == f"{JOB}/DOG"
    assert all(case["human_says"] != case["model_says"] for case in alarm["cases"])


def test_versions_are_compared_on_the_assets_both_have_predicted() -> None:
    shared = [
        replace(
            one,
            answers=(replace(one.answers[0], model="m:0", verdicts=tuple(
                replace(verdict, agreement=0.0) for verdict in one.answers[0].verdicts
            )), *one.answers),
        )
        for one in traffic(300)
    ]  # fmt: skip

    (row,) = report_data(shared)["comparisons"]

    assert (row["champion"], row["challenger"], row["population"]) == ("m:0", "m:1", 300)
    assert row["value"] > 0.5
    assert row["decided"]


def test_disagreements_come_with_the_most_confident_first() -> None:
    records = [record(1, "CAT", "DOG", doubt=0.4), record(2, "CAT", "CAT"), record(3, "COW", "DOG", doubt=0.01)]

    found = disagreements(records)

    assert [row["asset_id"] for row in found] == ["asset00003", "asset00001"]
    assert found[0]["model_says"] == {JOB: ["COW"]}
    assert found[0]["human_says"] == {JOB: ["DOG"]}


@pytest.mark.parametrize(
    ("ours", "mark", "conflict"),
    [(0.0, 0.5, False), (1.0, 1.0, False), (0.5, 0.75, False), (1.0, 0.5, True), (0.0, 1.0, True), (0.9, 0.95, False)],
)
def test_when_kilis_mark_contradicts_ours(ours: float, mark: float, conflict: bool) -> None:
    assert contradicts(ours, mark) is conflict


def test_contradicting_marks_are_counted_and_shown() -> None:
    found = report_data([record(1, "CAT", "CAT", mark=0.5), record(2, "CAT", "DOG", mark=0.5)])["marks"]

    assert (found["compared"], found["conflicts"]) == (2, 1)
    assert found["examples"][0]["external_id"] == "asset00001.jpg"


@pytest.mark.parametrize(
    ("model", "human", "pairs"),
    [
        (["A"], ["A"], [("A", "A")]),
        (["A"], ["B"], [("A", "B")]),
        (["A", "B"], ["B", "C"], [("B", "B"), ("A", "C")]),
        (["A", "B"], [], [("A", NOTHING), ("B", NOTHING)]),
        ([], ["A"], [(NOTHING, "A")]),
        (["A", "B"], ["C"], [("A", NOTHING), ("B", NOTHING), (NOTHING, "C")]),
    ],
)
def test_classes_are_paired(model: list[str], human: list[str], pairs: list[tuple[str, str]]) -> None:
    assert class_pairs({"J": model}, {"J": human}, "J") == pairs


def test_the_reviewers_pace_and_what_waits_for_them() -> None:
    records = [record(n, "CAT", "CAT", band=1, at=START + n * DAY / 4) for n in range(12)]
    records += [record(20 + n, "CAT", band=3, at=START + 3 * DAY) for n in range(3)]

    found = report_data(records, now=START + 4 * DAY)["reviewers"]

    assert (found["people"], found["verdicts"], found["median_seconds"]) == (1, 12, 4.0)
    assert sum(day["verdicts"] for day in found["per_day"]) == 12
    assert found["capacity_per_day"] == 3
    assert found["waiting"] == {"3": 3}
    assert found["longest_wait"] == DAY
    assert found["rules"] == ["rule one"]
