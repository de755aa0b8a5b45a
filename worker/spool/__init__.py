"""The spool: where predictions wait, durable in Redis, until a wave takes them."""

from worker.spool.entries import (
    LANES,
    Admission,
    Arrival,
    Dead,
    Item,
    Leased,
    Ledger,
    Outcome,
    SampledOut,
    Settlement,
    SpoolObserver,
    Waiting,
)
from worker.spool.late_writes import LateWrites
from worker.spool.spool import INBOX_GROUP, Lane, LeaseLost, Spool
from worker.spool.watch import Replacement, Watch, replacement_of

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
    "Replacement",
    "SampledOut",
    "Settlement",
    "Spool",
    "SpoolObserver",
    "Waiting",
    "Watch",
    "replacement_of",
]
