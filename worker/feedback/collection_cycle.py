"""The clock of the feedback: collects every project in turn, once for the whole fleet, beside delivery."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence

import redis

from worker.environment import clock
from worker.feedback.interval_lock import IntervalLock
from worker.feedback.service import Feedback
from worker.kili import KiliError
from worker.ontology import InterfaceError

logger = logging.getLogger(__name__)

CALLS_PER_CYCLE = 5
"""Calls that a round without news costs: two counts and two pages, and now and then the interface."""

LOOKS_PER_CYCLE = 10
"""How often a process looks whether a round is due, in the time between two rounds."""


class CollectionCycle:
    """Collects the feedback of all projects until the worker stops; whatever happens there, delivery goes on.

    Args:
        projects: every project that had a message here.
        enter: opens the feedback of a project; its errors are those of Kili, Redis and the interface.
        turns: shared by the fleet.
        every: seconds between two rounds of a project.
        calls_per_minute: how many calls the rounds of all projects may take; more projects make longer intervals.
        stop: ends the clock.
    """

    def __init__(
        self,
        projects: Callable[[], Sequence[str]],
        enter: Callable[[str], Feedback],
        interval_lock: IntervalLock,
        *,
        every: float,
        calls_per_minute: float,
        stop: threading.Event,
    ) -> None:
        self._projects = projects
        self._enter = enter
        self._interval_lock = interval_lock
        self._every = every
        self._calls_per_minute = calls_per_minute
        self._stop = stop
        self._troubles: dict[str, str] = {}
        self._known: Sequence[str] = ()
        self._listed = float("-inf")

    def run(self) -> None:
        """Look for rounds that are due, the first one interval after the start."""
        self.begin()
        while not clock.wait(self._stop, self.pause):
            self.step()

    @property
    def pause(self) -> float:
        """Seconds between two looks."""
        return self._every / LOOKS_PER_CYCLE

    def begin(self) -> None:
        """The first round of a project comes one interval from now, unless another process makes it."""
        for project in self._named():
            self._taken(project)

    def step(self) -> None:
        """Make the rounds that are due."""
        for project in self._named():
            if self._stop.is_set():
                return
            if self._taken(project):
                self._run_cycle(project)

    def interval(self, projects: int) -> float:
        """Seconds between two rounds of one of so many projects."""
        return max(self._every, projects * CALLS_PER_CYCLE * 60 / self._calls_per_minute)

    def _named(self) -> Sequence[str]:
        """The projects, looked up anew once an interval."""
        if clock.monotonic() - self._listed >= self._every:
            try:
                self._known, self._listed = self._projects(), clock.monotonic()
            except redis.RedisError as error:
                self._log_failure("", error)
        return self._known

    def _taken(self, project: str) -> bool:
        try:
            return self._interval_lock.take(project, self.interval(len(self._known)))
        except redis.RedisError as error:
            self._log_failure("", error)
            return False

    def _run_cycle(self, project: str) -> None:
        try:
            result = self._enter(project).tick()
            if not result.complete:
                self._interval_lock.put(project, self._every / 2)
        except (KiliError, InterfaceError, redis.RedisError) as error:
            self._log_failure(project, error)
        except Exception as error:
            extra = {"action": "feedback_failed", "project": project}
            logger.exception("feedback of project %s failed: %s", project, type(error).__name__, extra=extra)
        else:
            if self._troubles.pop(project, None) is not None:
                extra = {"action": "feedback_resumed", "project": project}
                logger.info("feedback of project %s goes on", project, extra=extra)

    def _log_failure(self, project: str, error: Exception) -> None:
        """Once per trouble, not once per round."""
        message = f"{type(error).__name__}: {error}"[:300]
        if not self._stop.is_set() and self._troubles.get(project) != type(error).__name__:
            self._troubles[project] = type(error).__name__
            extra = {"action": "feedback_waits", "project": project}
            logger.warning("feedback waits%s: %s", f" in project {project}" if project else "", message, extra=extra)
