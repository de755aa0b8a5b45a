"""A small demo whose figures can be checked by hand: four assets in two rounds, one model, one error, two reviews."""

from __future__ import annotations

from typing import Any

from worker.demo.outcome import DemoResult, Staged, outcome_of
from worker.demo.plan import CLASS_NAMES, JOB, Plan, Predicted, SimulatedLabelers
from worker.demo.traffic import DemoEvidence, SentMessage, Traffic
from worker.feedback.messages import Links

MODEL = "digit-bayes:2"
SAID = {"a": "ONE", "b": "TWO", "c": "TWO", "d": "NINE"}
TRUTH = {"a": "ONE", "b": "TWO", "c": "SEVEN", "d": "NINE"}
CONFIDENCE = {"a": 0.6, "b": 0.9, "c": 0.99, "d": 0.95}
LEDGER = {"received": 7, "delivered": 4, "superseded": 1, "dead": 2, "waiting": 0, "leased": 0, "balance": 0}
LINKS = Links("https://kili.example", "p")


def label(kind: str, name: str, model: str | None = None) -> dict[str, Any]:
    return {"labelType": kind, "modelName": model, "jsonResponse": {JOB: {"categories": [{"name": name}]}}}


def asset(external_id: str, *labels: dict[str, Any]) -> dict[str, Any]:
    return {"externalId": external_id, "labels": [label("INFERENCE", SAID[external_id], MODEL), *labels]}


def letter(cause: str, field: str) -> dict[str, Any]:
    return {"cause": cause, "field": field}


def predicted(name: str, *, drifted: bool = False) -> Predicted:
    rest = (1 - CONFIDENCE[name]) / 9
    scores = [CONFIDENCE[name] if one == SAID[name] else rest for one in CLASS_NAMES]
    return Predicted(MODEL, bytes(64), CLASS_NAMES.index(TRUTH[name]), scores, drifted, name)


def small_plan() -> Plan:
    return Plan([[predicted("a"), predicted("b")], [predicted("c", drifted=True), predicted("d")]], 1)


def small_traffic() -> Traffic:
    return Traffic(
        phases=[
            [
                *(SentMessage("prediction", "celery", {"external_id": name}) for name in "ab"),
                SentMessage("bad", "celery", {}, "bad"),
            ],
            [
                *(SentMessage("prediction", "celery", {"external_id": name}) for name in "cd"),
                SentMessage("duplicate", "stream", {"external_id": "a"}),
                SentMessage("bad", "stream", "{", "not_json"),
            ],
        ],
        answers={(name, MODEL): said for name, said in SAID.items()},
        truth=dict(TRUTH),
    )


def small_evidence(**changed: Any) -> DemoEvidence:
    """What is seen when every promise holds, but for what is ``changed``."""
    reviewed = [asset("c", label("DEFAULT", "SEVEN")), asset("a", label("DEFAULT", "ONE"))]
    seen: dict[str, Any] = {
        "assets": [*reviewed, asset("b"), asset("d")],
        "calls": {"appendManyAssets": 1, "appendManyLabels": 1, "projects": 1},
        "ledger": LEDGER,
        "letters": [letter("not_json", "message"), letter("bad", "model")],
        "labeled": [["a"], ["c"]],
    }
    return DemoEvidence(**{**seen, **changed})


def estimate(value: float | None, low: float, high: float) -> dict[str, Any]:
    return {"value": value, "low": low, "high": high, "naive": 0.5, "verdicts": 2, "audits": 1, "population": 4}


def small_figures(*, fallen: str = "TWO", value: float | None = 0.7) -> dict[str, Any]:
    """What the worker concluded: an interval, and an alarm that names a class."""
    alarm = {
        "id": f"accuracy_fell/{MODEL}/1",
        "detector": "accuracy_fell",
        "meaning": "the model is wrong more often than it used to be",
        "model": MODEL,
        "at": 200.0,
        "since": 100.0,
        "before": estimate(0.9, 0.8, 0.95),
        "after": estimate(0.6, 0.5, 0.7),
        "classes": [{"name": f"{JOB}/{fallen}", "lost": 3.0}, {"name": f"{JOB}/ONE", "lost": -1.0}],
        "cases": [],
    }
    return {"models": [{"model": MODEL, "agreement": estimate(value, 0.6, 0.8), "drift": {"alarms": [alarm]}}]}


def small_outcome(*, mistakes: float = 0.0, report_data: dict[str, Any] | None = None, **changed: Any) -> DemoResult:
    """The outcome of all that."""
    plan = small_plan()
    staged = Staged(plan, small_traffic(), SimulatedLabelers(plan, mistakes=mistakes), 90.0)
    return outcome_of(staged, small_evidence(**changed), report_data or small_figures(), LINKS)
