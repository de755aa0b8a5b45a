"""The result of an evaluation for a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from worker.feedback.wording import disagreement_words, estimate_words, percent

SHOWN_NAMES = 5


def text(result: Mapping[str, Any], refused: int = 0) -> str:
    """Write agreement, classes, confusions and every disagreement."""
    return "\n".join(_lines(result, refused))


def _lines(result: Mapping[str, Any], refused: int) -> Iterator[str]:
    for model in result["models"]:
        row = model["agreement"]
        yield f"{model['model']} agrees with the humans on {estimate_words(row)} of {row['verdicts']} labeled assets"
        for job, found in model["jobs"].items():
            yield from _job(job, found)
    if not result["models"]:
        yield f"{result['model']}: none of the assets is labeled by a human"
    yield from _left_out(result, refused)
    marks = result["marks"]
    if marks["compared"]:
        yield f"Kili's marks contradict ours on {marks['conflicts']} of {marks['compared']} labels"
    for one in result["disagreements"]:
        yield disagreement_words(one)


def _job(job: str, found: Mapping[str, Any]) -> Iterator[str]:
    yield f"  {job}: {estimate_words(found['agreement'])}"
    for name, rows in (("predicted", found["classes"]), ("labeled", found["recall"])):
        for row in rows:
            yield f"    {name} {row['name']}: {percent(row['value'], 1)} of {row['verdicts']}"
    for row in found["confusion"]:
        if row["model"] != row["human"]:
            yield f"    {row['model']} for {row['human']}: {row['answers']:g}"


def _left_out(result: Mapping[str, Any], refused: int) -> Iterator[str]:
    reasons = {
        "unlabeled": "without a human label",
        "unread": "with a label file that cannot be read",
        "missing": "not in the project",
    }
    for key, words in reasons.items():
        names = result[key]
        if names:
            more = ", …" if len(names) > SHOWN_NAMES else ""
            yield f"{len(names)} {words}: {', '.join(names[:SHOWN_NAMES])}{more}"
    if refused:
        yield f"{refused} predictions refused"
