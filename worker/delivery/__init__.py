"""Delivery: waves of predictions from the spool to Kili."""

from worker.delivery.awaited import AwaitedResults
from worker.delivery.deliverer import Deliverer
from worker.delivery.documents import Documents
from worker.delivery.item import Burial
from worker.delivery.lease import LeaseKeeper
from worker.delivery.pace import Pace
from worker.delivery.pauses import Pause, Pauses
from worker.delivery.rules import DeliveryRules
from worker.delivery.ticker import HintSender, Ticker

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
