"""The doors and the one admission behind them."""

from worker.intake.admission import Admitter
from worker.intake.celery_messages import TASK, messages_of
from worker.intake.inbox import Inbox
from worker.intake.parsing import InboxEntry, Rules
from worker.intake.queue_door import QueueDoor, queue_step
from worker.intake.reader import Reader, ReaderLimits

__all__ = [
    "TASK",
    "Admitter",
    "Inbox",
    "InboxEntry",
    "QueueDoor",
    "Reader",
    "ReaderLimits",
    "Rules",
    "messages_of",
    "queue_step",
]
