"""Records for figures and reports: predictions with decisions, some of them answered."""

from __future__ import annotations

import random
from datetime import UTC, datetime

from tests.unit.feedback.kili_in_memory import INTERFACE, START, asset_of, label_of
from worker.feedback.records import AssetRecord
from worker.feedback.verdicts import record_of

NAMES = ("CAT", "DOG", "COW")


def record(
    number: int,
    said: str,
    meant: str | None = None,
    *,
    model: str = "m:1",
    at: float = START,
    band: int = 0,
    doubt: float = 0.1,
    site: str = "north",
    mark: float | None = None,
    answered_after: float = 3600.0,
) -> AssetRecord:
    """One asset with one prediction, and one answer if ``meant`` is given."""
    labels = [label_of(f"i{number}-{model}", "INFERENCE", said, at, model=model, author="bot")]
    if meant is not None:
        labels.append(label_of(f"h{number}", "DEFAULT", meant, at + answered_after, mark=mark, seconds=4.0))
    metadata = {
        "prediction_model": model,
        "prediction_at": datetime.fromtimestamp(at, UTC).isoformat(),
        "prediction_confidence": 1 - doubt,
        "review_band": band,
        "review_error_probability": doubt,
        "review_inclusion_probability": 0.1,
        "review_reason": "because",
        "review_policy": "ranked/7/rule one",
        "site": site,
    }
    return record_of(asset_of(f"asset{number:05d}", labels, at, **metadata), INTERFACE)


def traffic(
    count: int,
    *,
    model: str = "m:1",
    seed: int = 0,
    first: int = 0,
    at: float = START,
    step: float = 600.0,
    cows_are_dogs_from: int | None = None,
    answered: bool = True,
) -> list[AssetRecord]:
    """Predictions in a row with doubt that tells the truth; audits and doubtful ones are answered.

    From ``cows_are_dogs_from`` on every cow is called a dog with unchanged confidence.
    """
    dice = random.Random(seed)
    found = []
    for number in range(count):
        doubt = dice.random() ** 4
        meant = dice.choice(NAMES)
        said = dice.choice([name for name in NAMES if name != meant]) if dice.random() < doubt else meant
        if cows_are_dogs_from is not None and number >= cows_are_dogs_from and meant == "COW":
            said = "DOG"
        band = 2 if dice.random() < 0.1 else 1 if doubt > 0.5 else 0
        human = meant if band and answered else None
        options = {"model": model, "at": at + number * step, "band": band, "doubt": doubt}
        mark = None if human is None else 1.0 if human == said else 0.5
        site = ("north", "south")[number % 2]
        found.append(record(first + number, said, human, site=site, mark=mark, **options))
    return found
