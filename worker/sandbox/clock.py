"""Times as Kili writes them, and ids as Kili mints them."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from datetime import UTC, datetime

DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
MILLISECONDS = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")

Clock = Callable[[], float]


def iso(seconds: float) -> str:
    """Write Unix seconds as ISO 8601 in UTC with milliseconds and a Z."""
    moment = datetime.fromtimestamp(seconds, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"


def base36(number: int, width: int) -> str:
    """Write the lowest `width` base-36 digits of a non-negative number."""
    digits = []
    for _ in range(width):
        number, digit = divmod(number, 36)
        digits.append(DIGITS[digit])
    return "".join(reversed(digits))


class Mint:
    """Makes ids in the form of cuid v1: c, 8 of time, 4 of counter, 4 of process, 8 of chance."""

    def __init__(self, clock: Clock, seed: int) -> None:
        """Take Unix seconds from `clock`; `seed` fixes the random part."""
        self._clock = clock
        self._random = random.Random(seed)
        self._fingerprint = base36(self._random.getrandbits(30), 4)
        self._counter = 0
        self._stamp = (0, "")

    def __call__(self) -> str:
        """Return a new id."""
        self._counter += 1
        middle = base36(self._counter, 4) + self._fingerprint
        return "c" + self._time() + middle + "".join(self._random.choices(DIGITS, k=8))

    def _time(self) -> str:
        millisecond = int(self._clock() * 1000)
        if millisecond != self._stamp[0]:
            self._stamp = (millisecond, base36(millisecond, 8))
        return self._stamp[1]
