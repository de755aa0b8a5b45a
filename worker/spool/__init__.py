"""The spool: where predictions wait, durable in Redis, until a wave takes them."""

from worker.spool.entries import (
    LANES,
    Admission,
    Arrival,
    Dead,
    Fate,
    Item,
    Leased,
    Ledger,
    Settlement,
    Waiting,
)
from worker.spool.spool import INBOX_GROUP, LeaseLost, Spool

__all__ = [
    "INBOX_GROUP",
    "LANES",
    "Admission",
    "Arrival",
    "Dead",
    "Fate",
    "Item",
    "LeaseLost",
    "Leased",
    "Ledger",
    "Settlement",
    "Spool",
    "Waiting",
]
