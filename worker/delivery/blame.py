"""What becomes of the predictions in a call that failed, when nobody can tell whether one of them is at fault.

They wait, since the server may be at fault; but not for ever: a prediction whose calls alone fail, day and night, while
Kili answers everything else, would keep its project from being served.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from worker.delivery.failure_policy import FailurePolicy
from worker.delivery.failures import FAULT, Action, Failure, Stage, Trouble
from worker.delivery.item import Burial, Item
from worker.delivery.prepare import cause_of
from worker.spool import Fate, Leased, Settlement
from worker.spool.dead_letters import Cause


@dataclass(frozen=True, slots=True)
class Blame:
    """Settles what a wave that failed has left open.

    The time that counts begins with the first failure that a prediction was suspected of, and passes only while there
    are waves.
    """

    burial: Burial
    failures: FailurePolicy

    def settled(
        self, entries: Iterable[Leased], suspects: Mapping[tuple[int, str], Item], error: Exception | None
    ) -> Sequence[Settlement]:
        """The fates of open entries: suspects of ``error`` wait until their grace is used up, others wait."""
        return [self._fate(entry, suspects.get(entry.key), error) for entry in entries]

    def _fate(self, entry: Leased, item: Item | None, error: Exception | None) -> Settlement:
        what = Trouble.NOT_SUSPECTED if item is None or error is None else error
        waited = entry.tried_for_ms(FAULT)
        decision = self.failures.decide(Failure(Stage.OPEN, what, tried_for=waited / 1000))
        if decision.action is Action.DEAD_LETTER and item is not None and error is not None:
            return self.burial.of(entry, item.prediction, _after(error, waited), "deliver")
        return Settlement(entry, Fate.RETURNED, decision.counted_as, delay_ms=decision.delay_ms)


def _after(error: Exception, waited_ms: int) -> Cause:
    cause = cause_of(error)
    problem = f"{cause.problem}; so for {waited_ms / 3_600_000:.1f} h, while Kili answered other calls"
    return Cause(cause.slug, cause.kind, cause.field, problem, cause.fix, cause.words)
