"""Delivery: waves of predictions from the spool to Kili."""

from worker.delivery.circuit_breaker import CircuitBreaker, Documents, Pause
from worker.delivery.failure_policy import FailurePolicy
from worker.delivery.failures import Graces
from worker.delivery.in_flight import AdaptiveLimit
from worker.delivery.item import DeadLetterWriter
from worker.delivery.leasing import DeliveryRules, LeaseKeeper
from worker.delivery.prepare import AwaitedResults
from worker.delivery.scheduler import Deliverer, Scheduler

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
