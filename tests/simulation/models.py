"""Models whose truth is known: they drift, improve and are deployed anew; and the producers that send what they say."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

from tests.simulation.actors import COLOURS, Producer
from tests.simulation.world import BEGIN

DAY = 86_400.0

CONFIDENCES = (0.99, 0.97, 0.9, 0.75, 0.55)
SHARES = (40, 30, 15, 10, 5)
"""How often a model is how sure; before it drifts it is wrong as often as it says."""


ENOUGH = 480.0
"""Predictions a day with which drifts are found within the days that are stated; with fewer it takes longer."""


@dataclass(frozen=True, slots=True)
class Change:
    """From a day on, so much more of what would be right is wrong; confidences stay. Below 0: less is wrong."""

    day: float
    worse: float


@dataclass(frozen=True, slots=True)
class Model:
    """One deployed model version; days since the beginning."""

    project: int
    name: str
    version: str
    daily: float
    begin: float = 0.0
    end: float = 1e6
    changes: tuple[Change, ...] = ()

    @property
    def label(self) -> str:
        """As Kili and the reports name it."""
        return f"{self.name}:{self.version}"

    @property
    def drifts(self) -> list[float]:
        """The days on which it becomes worse."""
        return [one.day for one in self.changes if one.worse > 0]

    @property
    def slowness(self) -> float:
        """How many times as long everything takes that needs a number of predictions."""
        return max(1.0, ENOUGH / self.daily)

    def level(self, day: float) -> float:
        """How much worse than it says it is, on a day."""
        return sum(one.worse for one in self.changes if one.day <= day)


def truth_of(name: str) -> str:
    """The right answer about an asset."""
    return COLOURS[hashlib.sha256(name.encode()).digest()[0] % len(COLOURS)]


@dataclass
class ModelProducer(Producer):
    """Sends what a model says of assets whose truth is known; a few times a day, many at once."""

    says: Model = field(default_factory=lambda: Model(0, "m", "1", 100.0))

    def _burst(self) -> tuple[int, float]:
        per_day = 6.0 if self.says.daily > 300 else 2.0
        wait = DAY / per_day
        size = max(1, round(self.dice.uniform(0.3, 1.7) * self.says.daily / per_day))
        return size, self.dice.uniform(0.5, 1.5) * wait

    def _answer(self, name: str) -> tuple[str, float]:
        dice, truth = self.dice, truth_of(name)
        sure = dice.choices(CONFIDENCES, SHARES)[0]
        level = self.says.level((self.world.now - BEGIN) / DAY)
        is_wrong = dice.random() < 1 - sure
        if level > 0:
            is_wrong = is_wrong or dice.random() < level
        elif level < 0:
            is_wrong = is_wrong and dice.random() >= -level
        others = [colour for colour in COLOURS if colour != truth]
        return (dice.choice(others) if is_wrong else truth), sure
