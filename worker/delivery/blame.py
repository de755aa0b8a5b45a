"""What becomes of the predictions in a call that failed, when nobody can tell whether one of them is at fault.

They wait, since the server may be at fault; but not for ever: a prediction whose calls alone fail, day and night, while
Kili answers everything else, would keep its project from being served.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from worker.delivery.item import Burial, Item
from worker.delivery.prepare import cause_of
from worker.spool import Fate, Leased, Settlement
from worker.spool.dead_letters import Cause

FAULT = "fault"
PROBED_MS = 60_000
"""So far apart a project that fails is probed at the latest."""


@dataclass(frozen=True, slots=True)
class Blame:
    """Settles what a wave that failed has left open.

    ``grace_ms`` counts from the first failure that a prediction was suspected of, and only while there are waves.
    """

    burial: Burial
    grace_ms: int

    def settled(
        self, entries: Iterable[Leased], suspects: Mapping[tuple[int, str], Item], error: Exception | None
    ) -> Sequence[Settlement]:
        """The fates of open entries: suspects of ``error`` wait until their grace is used up, others wait."""
        return [self._fate(entry, suspects.get(entry.key), error) for entry in entries]

    def _fate(self, entry: Leased, item: Item | None, error: Exception | None) -> Settlement:
        if item is None or error is None:
            return Settlement(entry, Fate.RETURNED)
        waited = entry.tried_for_ms(FAULT)
        if waited >= self.grace_ms:
            return self.burial.of(entry, item.prediction, _after(error, waited), "deliver")
        return Settlement(entry, Fate.RETURNED, FAULT, delay_ms=PROBED_MS)


def _after(error: Exception, waited_ms: int) -> Cause:
    cause = cause_of(error)
    problem = f"{cause.problem}; so for {waited_ms / 3_600_000:.1f} h, while Kili answered other calls"
    return Cause(cause.slug, cause.kind, cause.field, problem, cause.fix, cause.words)
