"""How long an entry has been tried in vain, by what was in the way: kept with the entry while it waits.

A grace begins with the first attempt that failed, whatever the entry waited before in the queue; and only time in which
attempts were made counts: between two of them no more than twice the delay that was asked for. So neither a backlog
nor an outage of something else uses it up.
"""

from __future__ import annotations

import json
from typing import Any

COUNTED = 2
"""Of the time between two attempts so many times the delay count at most."""


def tried_for(known: bytes, cause: str, now_ms: int) -> int:
    """Milliseconds since the first attempt that failed for this cause; 0 when there was none.

    Args:
        known: what ``tried_again`` made, or nothing.
        cause: what is in the way.
        now_ms: on the clock of Redis, milliseconds since the epoch.
    """
    row = _rows(known).get(cause)
    return row["for"] + max(0, min(now_ms - row["last"], COUNTED * row["delay"])) if row else 0


def tried_since(known: bytes, cause: str) -> int | None:
    """When the first attempt failed for this cause, in milliseconds since the epoch on the clock of Redis."""
    row = _rows(known).get(cause)
    return int(row["first"]) if row else None


def tried_again(known: bytes, cause: str, now_ms: int, delay_ms: int) -> bytes:
    """What is known after one more attempt that failed, of which the next follows after ``delay_ms``."""
    rows = _rows(known)
    first = rows[cause]["first"] if cause in rows else now_ms
    rows[cause] = {"first": first, "for": tried_for(known, cause, now_ms), "last": now_ms, "delay": delay_ms}
    return json.dumps(rows, separators=(",", ":")).encode()


def _rows(known: bytes) -> dict[str, Any]:
    rows: dict[str, Any] = json.loads(known) if known else {}
    return rows
