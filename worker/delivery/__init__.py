"""Delivery: waves of predictions from the spool to Kili."""

from worker.delivery.adaptive_limit import Pace
from worker.delivery.awaited import AwaitedResults
from worker.delivery.circuit_breaker import Pause, Pauses
from worker.delivery.deliverer import Deliverer
from worker.delivery.documents import Documents
from worker.delivery.item import Burial
from worker.delivery.leasing import LeaseKeeper
from worker.delivery.ticker import HintSender, Ticker
from worker.delivery.tools import DeliveryRules

__all__ = [
    "AwaitedResults",
    "Burial",
    "Deliverer",
    "DeliveryRules",
    "Documents",
    "HintSender",
    "LeaseKeeper",
    "Pace",
    "Pause",
    "Pauses",
    "Ticker",
]
