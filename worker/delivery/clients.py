"""Who makes the calls of a wave, and what becomes of those that fail."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

from worker.delivery.failure_policy import FailurePolicy
from worker.kili import KiliClient


@dataclass(frozen=True, slots=True)
class DeliveryClients:
    """The clients of a wave.

    ``retrying`` repeats what may pass, ``single_attempt`` does not. A ``probing`` wave begins every step with
    ``single_attempt``: a server that is still down gets no more requests than it takes to know. ``stop`` is set when
    the worker drains.
    ``failures`` decides what becomes of what failed.
    """

    retrying: KiliClient
    single_attempt: KiliClient
    stop: threading.Event
    probing: bool = False
    failures: FailurePolicy = field(default_factory=FailurePolicy)

    @property
    def first(self) -> KiliClient:
        """The client that begins a step."""
        return self.single_attempt if self.probing else self.retrying
