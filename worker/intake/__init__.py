"""The inbox and the one admission behind it."""

from worker.intake.admission import Admitter
from worker.intake.celery_messages import TASK, messages_of
from worker.intake.events import EventRules, pair_of
from worker.intake.inbox import IdReused, Inbox, InboxFull, PutLimits, RawMessage, Stored
from worker.intake.parsing import InboxEntry, MessageParser, Rules
from worker.intake.reader import InboxReader, ReaderLimits

__all__ = [
    "TASK",
    "Admitter",
    "EventRules",
    "IdReused",
    "Inbox",
    "InboxEntry",
    "InboxFull",
    "InboxReader",
    "MessageParser",
    "PutLimits",
    "RawMessage",
    "ReaderLimits",
    "Rules",
    "Stored",
    "messages_of",
    "pair_of",
]
