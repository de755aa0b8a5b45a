"""The two doors and the one admission behind them."""

from worker.intake.admission import Admitter, InboxEntry, Rules
from worker.intake.envelope import TASK, as_json, messages_of
from worker.intake.inbox import Inbox
from worker.intake.reader import Reader, ReaderLimits

__all__ = ["TASK", "Admitter", "Inbox", "InboxEntry", "Reader", "ReaderLimits", "Rules", "as_json", "messages_of"]
