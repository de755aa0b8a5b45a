"""What the warehouse's gates send: ``{"gates": [{"gate": 7, "state": "open"}]}``."""

from __future__ import annotations

from typing import Any

from worker.contract.output import Classification, ClassScore
from worker.formats import Family, Match, Miss, ModelOutput, OutputError, ReadOptions


def read(payload: Any, options: ReadOptions, at: tuple[str | int, ...] = ("payload",)) -> tuple[ModelOutput, ...]:
    """Read the state of the only gate."""
    gates = payload.get("gates") if isinstance(payload, dict) else None
    if not isinstance(gates, list) or len(gates) != 1 or not isinstance(gates[0].get("state"), str):
        raise OutputError(
            ".".join(map(str, (*at, "gates"))), "does not hold one gate with its state", "send one gate per message"
        )
    return (options.output(Classification((ClassScore(gates[0]["state"]),))),)


def detect(payload: Any) -> Match | None:
    """Recognise an object whose only key is gates."""
    return Match("an object with gates") if isinstance(payload, dict) and payload.keys() == {"gates"} else None


def near(_payload: Any) -> Miss | None:
    """Say nothing of payloads that are almost of this format."""
    return None


FAMILY = Family(
    name="warehouse",
    title="The warehouse's gates",
    rule="an object whose only key is `gates`",
    detect=detect,
    near=near,
    read=read,
    sources=("https://example.com/warehouse",),
)
