"""Why a request is refused, as ``application/problem+json`` (RFC 9457) with the field and the fix."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from starlette.responses import JSONResponse, Response

PROBLEM_TYPE = "application/problem+json"
SHOWN = 20
"""Errors of single messages that an answer names; it counts all."""


class Refused(Exception):
    """A request that is not taken; nothing of it was stored.

    Args:
        status: of the answer.
        problem: what is wrong.
        fix: what the producer can do.
        retry_after: seconds after which it may be sent again.
        errors: one of each wrong message: ``index``, ``field``, ``problem``, ``fix``, ``cause``.
    """

    def __init__(
        self,
        status: int,
        problem: str,
        fix: str = "",
        *,
        retry_after: int | None = None,
        errors: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        super().__init__(problem)
        self.status = HTTPStatus(status)
        self.problem = problem
        self.fix = fix
        self.retry_after = retry_after
        self.errors = errors

    def response(self) -> Response:
        """The answer."""
        body: dict[str, Any] = {"type": "about:blank", "title": self.status.phrase, "status": self.status.value}
        body["detail"] = f"{self.problem}; {self.fix}" if self.fix else self.problem
        if self.errors:
            body |= {"errors": list(self.errors[:SHOWN]), "wrong": len(self.errors)}
        headers = {} if self.retry_after is None else {"Retry-After": str(self.retry_after)}
        if self.status == HTTPStatus.UNAUTHORIZED:
            headers["WWW-Authenticate"] = "Bearer"
        text = json.dumps(body, ensure_ascii=True).encode()
        return Response(text, self.status.value, headers=headers, media_type=PROBLEM_TYPE)


def accepted(content: Mapping[str, Any]) -> Response:
    """202: what was sent is stored."""
    return JSONResponse(dict(content), HTTPStatus.ACCEPTED)
