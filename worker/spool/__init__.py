"""The spool: where predictions wait, durable in Redis, until a wave takes them."""

from worker.spool.entries import (
    LANES,
    Admission,
    Arrival,
    Counted,
    Dead,
    Fate,
    Item,
    Leased,
    Ledger,
    Settlement,
    Waiting,
)
from worker.spool.observer import SpoolObserver
from worker.spool.spool import INBOX_GROUP, Lane, LeaseLost, Spool
from worker.spool.watch import Replacement, Watch, replacement_of

__all__ = [
    "INBOX_GROUP",
    "LANES",
    "Admission",
    "Arrival",
    "Counted",
    "Dead",
    "Fate",
    "Item",
    "Lane",
    "LeaseLost",
    "Leased",
    "Ledger",
    "Replacement",
    "Settlement",
    "Spool",
    "SpoolObserver",
    "Waiting",
    "Watch",
    "replacement_of",
]
