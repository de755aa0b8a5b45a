"""A small HTTP receiver for Kili's webhooks: a request lets a project's next collection cycle begin at the next look.

Nothing of what a webhook says is believed but the project's id: the labels are read from Kili as always, so a webhook
that is lost, late, doubled or made up costs a cycle and no more.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from hmac import compare_digest
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import redis

logger = logging.getLogger(__name__)

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


def receiver(
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
