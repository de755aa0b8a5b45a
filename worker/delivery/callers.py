"""Who makes the calls of a wave, and what becomes of those that fail."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

from worker.delivery.failure_policy import FailurePolicy
from worker.kili import KiliClient


@dataclass(frozen=True, slots=True)
class Callers:
    """The clients of a wave.

    ``patient`` repeats what may pass, ``once`` does not. A ``probing`` wave begins every step with ``once``, so that a
    server that is still down is asked no more than it takes to know. ``stop`` is set when the worker drains.
    ``failures`` decides what becomes of what failed.
    """

    patient: KiliClient
    once: KiliClient
    stop: threading.Event
    probing: bool = False
    failures: FailurePolicy = field(default_factory=FailurePolicy)

    @property
    def first(self) -> KiliClient:
        """The client that begins a step."""
        return self.once if self.probing else self.patient
