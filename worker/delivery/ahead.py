"""What a wave makes ready beside its sending: the next entries, while batches before them are under way or wait."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor, Future, wait

from worker.delivery.item import Item


class Ahead:
    """The entries that are being made ready, one lot at a time; used by one thread.

    Args:
        pool: runs what makes them ready.
    """

    def __init__(self, pool: Executor) -> None:
        self._pool = pool
        self._coming: Future[list[Item]] | None = None

    @property
    def is_empty(self) -> bool:
        """Whether nothing is being made ready, and nothing that is ready waits to be taken."""
        return self._coming is None

    def begin(self, make_ready: Callable[[], list[Item]]) -> None:
        """Make a lot ready; only when there is no other."""
        self._coming = self._pool.submit(make_ready)

    def take(self, *, at_once: bool) -> list[Item]:
        """What is ready; nothing where it is not yet, unless the caller cannot go on without it.

        Raises what making it ready raised.
        """
        if self._coming is None or not (at_once or self._coming.done()):
            return []
        ready, self._coming = self._coming, None
        return ready.result()

    def end(self) -> None:
        """Wait until nothing is being made ready; what came of it does not matter any more."""
        if self._coming is not None:
            wait([self._coming])
            self._coming = None
