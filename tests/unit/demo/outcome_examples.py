"""A small demo whose figures can be checked by hand: four assets, one model, one error, two reviews."""

from __future__ import annotations

from typing import Any

from worker.demo.outcome import Evidence
from worker.demo.traffic import JOB, ModelRun, Sent, Traffic

RUN = ModelRun("m", "1", "network", range(4))
SAID = {"a": "ONE", "b": "TWO", "c": "TWO", "d": "NINE"}
TRUTH = {"a": "ONE", "b": "TWO", "c": "SEVEN", "d": "NINE"}
LEDGER = {"received": 7, "delivered": 4, "superseded": 1, "dead": 2, "waiting": 0, "leased": 0, "balance": 0}


def label(kind: str, name: str, model: str | None = None) -> dict[str, Any]:
    return {"labelType": kind, "modelName": model, "jsonResponse": {JOB: {"categories": [{"name": name}]}}}


def asset(external_id: str, *labels: dict[str, Any]) -> dict[str, Any]:
    return {"externalId": external_id, "labels": [label("INFERENCE", SAID[external_id], "m:1"), *labels]}


def letter(cause: str, field: str) -> dict[str, Any]:
    return {"cause": cause, "field": field}


def small_traffic() -> Traffic:
    return Traffic(
        runs=[RUN],
        sent=[
            *(Sent("prediction", "celery", {"external_id": name}) for name in "abcd"),
            Sent("duplicate", "stream", {"external_id": "a"}),
            Sent("bad", "stream", "{", "not_json"),
            Sent("bad", "celery", {}, "invalid_message"),
        ],
        answers={(name, "m:1"): said for name, said in SAID.items()},
        truth=dict(TRUTH),
    )


def small_evidence(**changed: Any) -> Evidence:
    """What is seen when every promise holds, but for what is ``changed``."""
    reviewed = [asset("c", label("DEFAULT", "SEVEN")), asset("a", label("DEFAULT", "ONE"))]
    seen: dict[str, Any] = {
        "assets": [*reviewed, asset("b"), asset("d")],
        "calls": {"appendManyAssets": 1, "appendManyLabels": 1, "projects": 1},
        "ledger": LEDGER,
        "letters": [letter("not_json", "message"), letter("invalid_message", "model")],
        "labeled": ["c", "a"],
    }
    return Evidence(**{**seen, **changed})
