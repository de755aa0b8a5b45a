"""Numbers, times and names as people read them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from worker.environment import clock
from worker.feedback.messages import age, detector_name, percent

NAMELESS = "(names none)"


def number(value: float | None) -> str:
    """A count with separators, or a rate with what digits it needs."""
    if value is None:
        return "unknown"
    if isinstance(value, int) or float(value).is_integer():
        return f"{value:,.0f}"
    return f"{value:,.1f}" if value >= 10 else f"{value:.2g}"


def seconds(value: float | None) -> str:
    """A span of time; nothing for none."""
    if value is None:
        return "unknown"
    return "never at this rate" if math.isinf(value) else age(value)


def moment(value: float | str | None) -> str:
    """A time in UTC, of seconds since the epoch or as ISO 8601."""
    if value is None:
        return "unknown"
    found = datetime.fromisoformat(value) if isinstance(value, str) else datetime.fromtimestamp(value, UTC)
    return found.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def until(moment_ms: int) -> str:
    """How long it is until a moment, in milliseconds since the epoch."""
    left = moment_ms / 1000 - clock.now()
    return f"in {age(left)}" if left > 0 else "now"


def size(count: int) -> str:
    """Bytes."""
    for length, unit in ((1_000_000_000, "GB"), (1_000_000, "MB"), (1000, "kB")):
        if count >= length:
            return f"{count / length:.1f}\u202f{unit}"
    return f"{count}\u202fB"


def query(values: Mapping[str, Any]) -> str:
    """The query of an address, without what is not set."""
    found = urlencode({name: value for name, value in values.items() if value not in (None, "")}, doseq=True)
    return f"?{found}" if found else ""


def named(text: str | None) -> str:
    """A name, or that there is none."""
    return NAMELESS if text in (None, "", "-") else str(text)


def diff_rows(text: str) -> list[tuple[str, str]]:
    """A kept diff as rows: its sign, and the line."""
    return [(line[:1], line[1:]) for line in text.splitlines()]


FILTERS: dict[str, Callable[..., Any]] = {
    "detector": detector_name,
    "diff_rows": diff_rows,
    "moment": moment,
    "named": named,
    "number": number,
    "percent": percent,
    "query": query,
    "seconds": seconds,
    "size": size,
    "until": until,
}
