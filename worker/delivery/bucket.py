"""What is known of Kili's bucket, and what becomes of an upload that failed in all attempts of its batch.

A refusal of the content (400, 413, 415, 422, ...) or of a fresh signed URL (403, 404, ...) is the item's fault as soon
as the bucket takes others. What passes (408, 425, 429, 5xx, the network) is tried again, a little later each time; an
item that fails while the bucket takes others, again and again, is at fault. A few that fail alone are given up after
``patience``. When many fail and none is taken, the bucket is down: definite refusals are given up after ``patience``,
all others wait for its return, and one batch at a time asks.
"""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from worker.delivery.failure_policy import CROWD, WITNESS_SECONDS, FailurePolicy
from worker.delivery.failures import UPLOAD_UNAVAILABLE, Action, Failure, Others, Stage
from worker.environment import clock
from worker.kili import KiliError
from worker.spool.dead_letters import Cause

logger = logging.getLogger(__name__)

FIRST_DELAY = 1.0
LAST_DELAY = 30.0
REMEMBERED = 10_000


@dataclass(slots=True)
class _Failing:
    """An upload that fails: since when and last (monotonic), in how many waves, and in how many of others' turns."""

    since: float
    last: float
    tries: int = 0
    accusations: int = 0


@dataclass(frozen=True, slots=True)
class Failed:
    """A failed upload; ``tried_for`` is how long it has been tried in vain, in seconds."""

    asset_id: str
    error: KiliError
    tried_for: float


@dataclass(frozen=True, slots=True)
class PutOff:
    """To be tried again after so many seconds; ``cause`` is empty when the upload itself is not in the way."""

    seconds: float
    cause: str = ""


class Bucket:
    """The memory of one process; threads share it.

    Args:
        failures: decides what becomes of an upload that failed.
        clock: monotonic seconds.
    """

    def __init__(self, failures: FailurePolicy, *, clock: Callable[[], float] = clock.monotonic) -> None:
        self._failures = failures
        self._clock = clock
        self._failing: OrderedDict[str, _Failing] = OrderedDict()
        self._taken_at = float("-inf")
        self._closed_until = float("-inf")
        self._closed_for = 0.0
        self._guard = threading.Lock()

    @property
    def closed_for(self) -> float:
        """Seconds for which nothing is to be tried; 0 when the bucket may be asked."""
        return max(0.0, self._closed_until - self._clock())

    def tries_of(self, asset_id: str) -> int:
        """In how many waves an upload has failed."""
        known = self._failing.get(asset_id)
        return known.tries if known else 0

    def took(self, asset_id: str) -> None:
        """It took an upload."""
        with self._guard:
            self._taken_at = self._clock()
            self._failing.pop(asset_id, None)
            if self._closed_for:
                self._closed_for = 0.0
                for one in self._failing.values():  # it was not their fault so far
                    one.last = self._taken_at
                    one.tries = one.accusations = 0
                logger.info("the bucket takes uploads again", extra={"action": "bucket_resumed"})

    def failed(self, asset_id: str) -> None:
        """An upload failed; ``verdicts`` are asked for when its batch has had its turn."""
        with self._guard:
            now = self._clock()
            self._failing.setdefault(asset_id, _Failing(now, now))
            while len(self._failing) > REMEMBERED:
                self._failing.popitem(last=False)

    def close(self, error: KiliError) -> None:
        """It takes nobody: ask again after a while, and after longer each time."""
        with self._guard:
            if self._closed_until > self._clock():
                return
            if not self._closed_for:
                server_message = "the bucket takes no uploads, they are put off: %s"
                logger.warning(server_message, str(error)[:300], extra={"action": "bucket_closed"})
            self._closed_for = min(LAST_DELAY, max(FIRST_DELAY, 2 * self._closed_for))
            self._closed_until = self._clock() + self._closed_for

    def verdicts(self, failed: Sequence[Failed]) -> list[Cause | PutOff]:
        """What becomes of each failed upload of a batch."""
        with self._guard:
            is_down = self._is_down()
            return [self._verdict(one, is_down=is_down) for one in failed]

    def _verdict(self, failed: Failed, *, is_down: bool) -> Cause | PutOff:
        now, error = self._clock(), failed.error
        known = self._failing.setdefault(failed.asset_id, _Failing(now, now))
        known.tries += 1
        known.accusations += self._taken_at > known.last
        known.last = now
        failure = Failure(
            Stage.UPLOAD,
            error,
            attempts=known.tries,
            accused=known.accusations,
            tried_for=failed.tried_for,
            others=self._others(known),
            is_down=is_down,
        )
        decision = self._failures.decide(failure)
        if decision.action is Action.RETRY:
            return PutOff(decision.delay, decision.cause)
        del self._failing[failed.asset_id]
        return _unavailable(error, failed.tried_for) if decision.is_over else _refused(error)

    def _others(self, known: _Failing) -> Others:
        if self._taken_at > known.since:
            return Others.TAKEN
        return Others.TAKEN_BEFORE if known.since - self._taken_at < WITNESS_SECONDS else Others.UNKNOWN

    def _is_down(self) -> bool:
        return sum(one.since > self._taken_at for one in self._failing.values()) >= CROWD


def _refused(error: KiliError) -> Cause:
    fix = "send content that the bucket takes, or mend what it names, and replay"
    return Cause("upload_refused", "refused", "asset", str(error), fix, error.server_message)


def _unavailable(error: KiliError, seconds: float) -> Cause:
    problem = f"cannot be uploaded for {seconds:.0f} s now: {error}"
    return Cause(
        UPLOAD_UNAVAILABLE, "refused", "asset", problem, "replay it when the bucket takes it", error.server_message
    )
