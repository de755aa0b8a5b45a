"""The inbox and the one admission behind it."""

from worker.intake.admission import Admitter
from worker.intake.inbox import IdReused, Inbox, InboxFull, PutLimits, RawMessage, Stored
from worker.intake.originals import EventRules, pair_of
from worker.intake.parsing import MessageParser, Rules
from worker.intake.reader import InboxReader, ReaderLimits

__all__ = [
    "Admitter",
    "EventRules",
    "IdReused",
    "Inbox",
    "InboxFull",
    "InboxReader",
    "MessageParser",
    "PutLimits",
    "RawMessage",
    "ReaderLimits",
    "Rules",
    "Stored",
    "pair_of",
]
