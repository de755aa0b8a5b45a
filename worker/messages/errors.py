"""Why a message is not a prediction.

MessageError
├─ (cause ``not_json``)            bytes that are no JSON, or hold NaN or Infinity
├─ (cause ``too_large``)           more bytes than the settings allow
├─ (cause ``too_deep``)            nested deeper than the settings allow
└─ (cause ``invalid_message``)     JSON that is not ``prediction/v1``
"""

from __future__ import annotations


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
