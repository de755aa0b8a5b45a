"""Where messages come from: the port, the sources, and the threads that run them."""

from worker.sources.base import (
    GivenBack,
    InboxIsFull,
    InboxUnavailable,
    Put,
    Receiver,
    ReceivingSource,
    Source,
    SourceError,
)
from worker.sources.host import SourceHost, WaitingLimit
from worker.sources.registry import SOURCES, UnknownSource, make_sources

__all__ = [
    "SOURCES",
    "GivenBack",
    "InboxIsFull",
    "InboxUnavailable",
    "Put",
    "Receiver",
    "ReceivingSource",
    "Source",
    "SourceError",
    "SourceHost",
    "UnknownSource",
    "WaitingLimit",
    "make_sources",
]
