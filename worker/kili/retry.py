"""When a failed call is sent again, and after how long."""

from __future__ import annotations

import itertools
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TypeVar

from tenacity import RetryCallState, Retrying, retry_if_exception, wait_random_exponential

from worker.environment import clock
from worker.kili.errors import (
    AddressRefused,
    KiliError,
    NotSent,
    RateLimited,
    TimedOut,
    TransientError,
    UnknownOutcome,
)

Result = TypeVar("Result")

_SECONDS = re.compile(r"\d{1,12}(\.\d{1,12})?")


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Attempts of one call: exponential back-off with full jitter, never sooner than ``Retry-After``.

    The wait after attempt n is uniform in [0, min(cap, base * 2^(n-1))], or ``Retry-After`` where that is longer, but
    no more than ``retry_after_cap``. All in seconds. A request that timed out gets ``timed_out_attempts``, since each
    makes the server do the work again.
    """

    attempts: int = 4
    base: float = 0.5
    cap: float = 8.0
    retry_after_cap: float = 60.0
    timed_out_attempts: int = 2

    def run(self, attempt: Callable[[int], Result], *, stop: threading.Event) -> Result:
        """Call ``attempt`` with 1, 2, ... until it returns, and return what it returns.

        Raises the last error when the attempts are used up, at once when ``stop`` is set (also while waiting), and
        any error that is neither transient nor of unknown outcome, or that the same request cannot cure.
        """
        try:
            return attempt(1)  # most calls need no more
        except KiliError as error:
            if not may_pass_later(error):
                raise
            failed = error

        def numbered() -> Result:
            number = next(numbers)
            if number == 1:
                raise failed
            return attempt(number)

        pause = _Pause(stop)
        numbers = itertools.count(1)
        retrying = Retrying(
            reraise=True,
            retry=retry_if_exception(may_pass_later),
            stop=lambda state: stop.is_set() or self._used_up(state),
            wait=self._wait,
            before_sleep=pause.remember,
            sleep=pause,
        )
        return retrying(numbered)

    def fleet_pause(self, error: KiliError, attempt: int) -> float:
        """Seconds that all callers of the endpoint should hold back after this error (0: none)."""
        asked = min(error.retry_after or 0.0, self.retry_after_cap)
        return max(asked, self._ceiling(attempt)) if isinstance(error, RateLimited) else asked

    def _ceiling(self, attempt: int) -> float:
        return float(min(self.cap, self.base * 2 ** min(attempt - 1, 64)))

    def _wait(self, state: RetryCallState) -> float:
        jitter = wait_random_exponential(multiplier=self.base, max=self.cap)(state)
        asked = getattr(_error_of(state), "retry_after", None) or 0.0
        return max(jitter, min(asked, self.retry_after_cap))

    def _used_up(self, state: RetryCallState) -> bool:
        limit = self.timed_out_attempts if isinstance(_error_of(state), TimedOut) else self.attempts
        return state.attempt_number >= min(limit, self.attempts)


class _Pause:
    """A sleep between attempts that ends the call when the worker stops."""

    def __init__(self, stop: threading.Event) -> None:
        self._stop = stop
        self._last: BaseException | None = None

    def remember(self, state: RetryCallState) -> None:
        self._last = _error_of(state)

    def __call__(self, seconds: float) -> None:
        if clock.wait(self._stop, seconds) and self._last is not None:
            raise self._last


def _error_of(state: RetryCallState) -> BaseException | None:
    return state.outcome.exception() if state.outcome is not None else None


def may_pass_later(error: BaseException) -> bool:
    """Whether the same call, sent again, may pass."""
    return isinstance(error, TransientError | UnknownOutcome) and not isinstance(error, AddressRefused | NotSent)


def parse_retry_after(value: str | None, date: str | None = None) -> float | None:
    """Return the seconds that a ``Retry-After`` header asks for, None where it asks for nothing usable.

    Reads seconds and HTTP dates; a date is compared with the answer's own ``Date`` header, so that the two clocks
    need not agree. Negative numbers, dates in the past and garbage count as absent.
    """
    text = (value or "").strip()
    if _SECONDS.fullmatch(text):
        return float(text)
    at = _timestamp(text)
    if at is None:
        return None
    now = _timestamp(date or "") or clock.now()
    return at - now if at > now else None


def _timestamp(text: str) -> float | None:
    try:
        return parsedate_to_datetime(text).timestamp()
    except (ValueError, OverflowError):
        return None
