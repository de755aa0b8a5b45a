"""Why a message is not a prediction.

MessageError
├─ (cause ``not_json``)            bytes that are no JSON, or hold NaN or Infinity
├─ (cause ``too_large``)           more bytes than the settings allow
├─ (cause ``too_deep``)            nested deeper than the settings allow
├─ (cause ``invalid_message``)     JSON that is not ``prediction/v1``
└─ (cause ``not_understood``)      anything that raised an error nobody foresaw
"""

from __future__ import annotations

import logging
import traceback
from pathlib import Path

logger = logging.getLogger(__name__)


class MessageError(ValueError):
    """A message that cannot be admitted: names the field, the problem and the fix.

    ``cause`` is a short stable word by which dead letters are grouped.
    """

    def __init__(self, cause: str, field: str, problem: str, fix: str = "") -> None:
        self.cause = cause
        self.field = field
        self.problem = problem
        self.fix = fix
        super().__init__(f"{field}: {problem}" + (f"; {fix}" if fix else ""))


def not_understood(error: Exception) -> MessageError:
    """An error that no code foresaw, as a refusal: the log has the place, nobody has the payload."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    place = f"{Path(frame.filename).name}:{frame.lineno}"
    words, kind = "a message was not understood: %s at %s", type(error).__name__
    logger.error(words, kind, place, extra={"action": "message_not_understood", "error": kind, "place": place})
    return MessageError("not_understood", "message", f"raised {kind} at {place}", "report it; replay after an update")
