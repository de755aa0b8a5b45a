"""The people of the demo: they answer the truth, but for a few mistakes."""

from __future__ import annotations

import random

from worker.demo.digits import CLASS_NAMES
from worker.demo.plan import Plan
from worker.demo.traffic import JOB
from worker.sandbox.labelers import JsonResponse

MISTAKES = 0.02


class People:
    """What they would answer to each asset, whenever and by whomever it is asked.

    ``answers`` has a class for every external id: so the demo knows what agreement with all of them would be.
    """

    def __init__(self, plan: Plan, *, mistakes: float = MISTAKES, seed: int = 0) -> None:
        dice = random.Random(f"people {seed}")
        self.answers: dict[str, str] = {}
        for one in plan.predictions:
            mistaken = dice.random() < mistakes
            others = [name for name in CLASS_NAMES if name != one.truth]
            self.answers[one.external_id] = dice.choice(others) if mistaken else one.truth

    def __call__(self, external_id: str) -> JsonResponse | None:
        """The answer as a json_response; None for an asset that is not the demo's."""
        name = self.answers.get(external_id)
        return {JOB: {"categories": [{"name": name}]}} if name else None
