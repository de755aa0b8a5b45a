"""The spool: where predictions wait, durable in Redis, until a wave takes them."""

from worker.spool.entries import (
    LANES,
    Admission,
    Arrival,
    Dead,
    Item,
    LateWrites,
    Leased,
    Ledger,
    Outcome,
    SampledOut,
    Settlement,
    SpoolObserver,
    Waiting,
)
from worker.spool.spool import INBOX_GROUP, Lane, LeaseLost, Spool
from worker.spool.watch import Watch, replacement_of

__all__ = [
    "INBOX_GROUP",
    "LANES",
    "Admission",
    "Arrival",
    "Dead",
    "Item",
    "Lane",
    "LateWrites",
    "LeaseLost",
    "Leased",
    "Ledger",
    "Outcome",
    "SampledOut",
    "Settlement",
    "Spool",
    "SpoolObserver",
    "Waiting",
    "Watch",
    "replacement_of",
]
