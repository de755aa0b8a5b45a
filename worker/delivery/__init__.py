"""Delivery: waves of predictions from the spool to Kili."""

from worker.delivery.adaptive_limit import AdaptiveLimit
from worker.delivery.awaited import AwaitedResults
from worker.delivery.circuit_breaker import CircuitBreaker, Pause
from worker.delivery.deliverer import Deliverer
from worker.delivery.documents import Documents
from worker.delivery.failure_policy import FailurePolicy
from worker.delivery.failures import Graces
from worker.delivery.item import DeadLetterWriter
from worker.delivery.leasing import LeaseKeeper
from worker.delivery.scheduler import Scheduler
from worker.delivery.tools import DeliveryRules

__all__ = [
    "AdaptiveLimit",
    "AwaitedResults",
    "CircuitBreaker",
    "DeadLetterWriter",
    "Deliverer",
    "DeliveryRules",
    "Documents",
    "FailurePolicy",
    "Graces",
    "LeaseKeeper",
    "Pause",
    "Scheduler",
]
