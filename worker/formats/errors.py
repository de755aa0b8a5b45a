"""Why a payload could not be read.

OutputError              a field, its problem, the fix
├── UnknownFormat        no family has this structure; names the nearest and the field that did not fit
├── AmbiguousFormat      two families have this structure with different meanings; names both
└── ResultPointer        the payload only says where the result is; fetch it and read that instead
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from worker.formats.output import OutputError


class UnknownFormat(OutputError):
    """No family has the payload's structure."""

    def __init__(self, field: str, problem: str, fix: str, nearest: str | None = None) -> None:
        super().__init__(field, problem, fix)
        self.nearest = nearest


class AmbiguousFormat(OutputError):
    """Several families have the payload's structure and would read different things from it."""

    def __init__(self, field: str, problem: str, families: Sequence[str], fix: str = "") -> None:
        super().__init__(field, problem, fix or f"set format to one of {', '.join(families)}")
        self.families = tuple(families)


class ResultPointer(OutputError):
    """The result was not sent along: it lies at ``location``.

    Fetch it where the settings allow that place, then read the payload again with the body as ``ReadOptions.result``.
    ``evidence`` is what the payload says beside it.
    """

    def __init__(self, field: str, location: str, content_type: str | None, evidence: Mapping[str, Any]) -> None:
        super().__init__(
            field,
            f"the result is not inline, it is at {location}",
            "allow that place to be fetched, or have the notification include the response",
        )
        self.location = location
        self.content_type = content_type
        self.evidence = dict(evidence)
