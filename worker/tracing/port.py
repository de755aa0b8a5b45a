"""What intake, delivery and feedback tell a tracer; the one that is there without traces does nothing.

A context is a text, see ``context.py``; an empty one is none.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Protocol

from worker.kili import CallRecord
from worker.spool import Admission, Arrival, Leased, Settlement


@dataclass(frozen=True, slots=True)
class Evaluation:
    """A human's verdict on a traced prediction.

    ``label_id`` is that of the human label, ``label_type`` DEFAULT or REVIEW, ``at`` when it was written in seconds
    since the epoch, ``agreement`` 0 to 1. ``context`` is the prediction's.
    """

    context: str
    project: str
    model: str
    label_id: str
    label_type: str
    at: float
    agreement: float


class Tracer(Protocol):
    """Told of what happens to predictions; every method is quick and raises nothing."""

    def carried(self, fields: Mapping[bytes, bytes]) -> str:
        """The context of what carried the messages of an inbox entry."""

    def received(self, message: bytes, carried: str) -> str:
        """The context to keep with a prediction: its own, else the carrier's, else that of a trace that begins here."""

    def admitted(self, arrivals: Sequence[Arrival], result: Admission) -> None:
        """Items were admitted."""

    def batch(self, project: str, entries: Iterable[Leased], step: str) -> AbstractContextManager[None]:
        """What this thread does meanwhile is done with these predictions; ``step`` is deliver or update."""

    def called(self, record: CallRecord) -> None:
        """This thread made a call to Kili."""

    def settled(self, project: str, settlements: Sequence[Settlement]) -> None:
        """The outcomes of leased entries were recorded."""

    def evaluated(self, evaluation: Evaluation) -> None:
        """A human has judged a prediction."""

    def close(self) -> None:
        """Send what is left, and no more."""


class _NoTraces:
    """Does nothing."""

    _nothing = nullcontext()

    def carried(self, _fields: Mapping[bytes, bytes]) -> str:
        return ""

    def received(self, _message: bytes, carried: str) -> str:
        return carried  # of a letter that is replayed: it is kept

    def admitted(self, _arrivals: Sequence[Arrival], _result: Admission) -> None:
        pass

    def batch(self, _project: str, _entries: Iterable[Leased], _step: str) -> AbstractContextManager[None]:
        return self._nothing

    def called(self, _record: CallRecord) -> None:
        pass

    def settled(self, _project: str, _settlements: Sequence[Settlement]) -> None:
        pass

    def evaluated(self, _evaluation: Evaluation) -> None:
        pass

    def close(self) -> None:
        pass


NO_TRACES: Tracer = _NoTraces()
