"""When the labels of a project are collected: once an interval for the whole fleet, and soon after a webhook of Kili.

The clock runs beside delivery and takes every project in turn. Nothing of what a webhook says is believed but the
project's id: the labels are read from Kili as always, so a webhook that is lost, late, doubled or made up costs a cycle
and no more.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Sequence
from hmac import compare_digest
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import redis

from worker.environment import clock
from worker.feedback.service import Feedback
from worker.feedback.store import IntervalLock
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
        interval_lock: shared by the fleet.
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


MAX_BODY = 1_000_000
TIMEOUT = 10.0
PROJECT_KEYS = ("projectId", "project_id", "projectID")


def project_in(event: Any, depth: int = 6) -> str | None:
    """The first project id that an event names, at most so many levels deep; None without one."""
    parts = event.values() if isinstance(event, dict) else event if isinstance(event, list) else ()
    if isinstance(event, dict):
        for key in PROJECT_KEYS:
            if isinstance(event.get(key), str) and event[key]:
                return str(event[key])
    found = (project_in(part, depth - 1) for part in parts) if depth else iter(())
    return next((project for project in found if project is not None), None)


def webhook_receiver(
    address: tuple[str, int], hasten: Callable[[str], object], *, known: Callable[[str], bool], secret: str
) -> ThreadingHTTPServer:
    """Make a server; ``serve_forever`` runs it.

    Args:
        address: host and port; port 0 takes a free one.
        hasten: called with the project's id; its errors of Redis are answered with 503, so that Kili sends again.
        known: whether a project is one of ours; others are answered with 404.
        secret: what the ``Authorization`` header must say; empty accepts everybody.
    """

    class Handler(BaseHTTPRequestHandler):
        timeout = TIMEOUT

        def do_POST(self) -> None:
            status, message = self._outcome()
            self.send_response(status)
            self.send_header("Content-Type", "text/plain; charset=utf-8")
            self.end_headers()
            self.wfile.write(f"{message}\n".encode())

        def _outcome(self) -> tuple[HTTPStatus, str]:
            if secret and not compare_digest(self.headers.get("Authorization", "").encode(), secret.encode()):
                return HTTPStatus.UNAUTHORIZED, "the Authorization header is not the agreed one"
            length = self.headers.get("Content-Length", "")
            if not length.isdigit() or int(length) > MAX_BODY:
                return HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"Content-Length must be at most {MAX_BODY}"
            return _received(self.rfile.read(int(length)), hasten, known)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server's own name
            logger.debug(format, *args, extra={"action": "knock"})

    return ThreadingHTTPServer(address, Handler)


def _received(body: bytes, hasten: Callable[[str], object], known: Callable[[str], bool]) -> tuple[HTTPStatus, str]:
    try:
        project = project_in(json.loads(body))
    except (ValueError, RecursionError):
        return HTTPStatus.BAD_REQUEST, "the body is not JSON"
    if project is None:
        return HTTPStatus.BAD_REQUEST, f"the event names no project ({', '.join(PROJECT_KEYS)})"
    try:
        if not known(project):
            return HTTPStatus.NOT_FOUND, "no prediction for this project has been here"
        hasten(project)
    except redis.RedisError as error:
        logger.warning("webhook request not used: %s", error, extra={"action": "feedback_waits", "project": project})
        return HTTPStatus.SERVICE_UNAVAILABLE, "try again later"
    return HTTPStatus.ACCEPTED, "heard"
