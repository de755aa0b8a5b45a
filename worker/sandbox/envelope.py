"""One GraphQL call over HTTP: key, limit, faults, execution, answer, in the order of a real server.

401 and 429 come before the body is looked at. Their bodies, and those of 5xx, are text: clients take any JSON with
`errors` or `data` in it for a GraphQL answer, whatever the status.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from graphql import ExecutionResult, GraphQLError, execute
from starlette.requests import Request

from .actions import (
    Action,
    Cut,
    Errors,
    Html,
    Lost,
    Partial,
    Reset,
    Status,
    TooLarge,
    Truncated,
)
from .calls import count_items
from .context import Context
from .core import Sandbox
from .documents import Prepared
from .faults import Call, Plan
from .fields import read_field
from .records import User
from .targets import project_of

JSON = "application/json"
TEXT = "text/plain; charset=utf-8"
HTML = "text/html; charset=utf-8"
HTML_BODY = "<html><head><title>{status}</title></head><body><h1>{status}</h1><hr>proxy</body></html>"


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes back: an HTTP answer, whole or cut in the middle, or (status 0) nothing but a reset."""

    status: int
    body: bytes = b""
    media_type: str = TEXT
    headers: Mapping[str, str] | None = None
    ending: str = "ok"
    is_cut: bool = False


@dataclass(frozen=True, slots=True)
class Body:
    """A decoded request body."""

    query: str
    variables: dict[str, Any]
    operation_name: str | None
    size: int


class BodyError(ValueError):
    """The request body is no GraphQL request."""


async def answer_call(sandbox: Sandbox, request: Request) -> Answer:
    """Answer one call and write it into the books."""
    started = sandbox.clock()
    sandbox.store.settle()
    operation, items = "(refused)", 0
    key = api_key_of(request)
    user = sandbox.user_of(key)
    if user is None:
        answer = _text(401, "Unauthorized")
    elif (seconds := sandbox.limiter.take(key, sandbox.config.calls_per_minute)) is not None:
        answer = _text(429, "Too Many Requests", {"Retry-After": str(seconds)})
    else:
        try:
            body = read_body(await request.body(), request.headers.get("content-encoding", ""))
        except BodyError as error:
            answer = _json(400, {"errors": [{"message": str(error), "extensions": {"code": "BAD_REQUEST"}}]})
        else:
            prepared = sandbox.documents.prepare(body.query, body.operation_name)
            operation, items = "+".join(prepared.names) or "(invalid)", count_items(body.variables)
            answer = await _answer_body(sandbox, request, user, body, prepared)
    sandbox.calls.add(operation, started=started, status=answer.status, ending=answer.ending, items=items)
    return answer


def api_key_of(request: Request) -> str:
    """Return the key of a request: Kili's SDK writes `X-API-Key: <key>` inside Authorization."""
    return request.headers.get("authorization", "").removeprefix("X-API-Key:").strip()


def read_body(raw: bytes, encoding: str) -> Body:
    """Decode a request body; raises BodyError."""
    try:
        data = gzip.decompress(raw) if encoding == "gzip" else raw
        content = json.loads(data)
    except (ValueError, OSError, EOFError, zlib.error, RecursionError) as error:
        raise BodyError(f"The body is not valid JSON: {error}") from error
    if not isinstance(content, dict) or not isinstance(content.get("query"), str):
        raise BodyError("The body must be an object with the key query.")
    variables = content.get("variables")
    if not isinstance(variables, dict | None):
        raise BodyError("The key variables must be an object.")
    return Body(content["query"], variables or {}, content.get("operationName"), len(data))


async def _answer_body(
    sandbox: Sandbox, request: Request, user: User, body: Body, prepared: Prepared
) -> Answer:
    call = Call(
        operations=prepared.names,
        project_id=project_of(sandbox.documents.arguments(prepared, body.variables), sandbox.store.tables),
        body_bytes=body.size,
    )
    plan = sandbox.script.plan(call)
    if seconds := sandbox.config.latency + plan.delay:
        await asyncio.sleep(seconds)
        sandbox.store.settle()
    instead = _answer_instead(plan.action)
    if instead is not None:
        return instead
    return _bend(plan.action, _run(sandbox, request, user, body, prepared, plan))


def _answer_instead(action: Action | None) -> Answer | None:
    match action:
        case Reset():
            return Answer(0, ending="aborted")
        case TooLarge():
            return _text(413, "Request Entity Too Large")
        case Status(after=False) | Errors(after=False) | Html(after=False):
            return _scripted(action)
    return None


def _scripted(action: Action | None) -> Answer | None:
    match action:
        case Status(status=status, body=body, headers=headers):
            return _text(status, body, headers)
        case Errors(status=status):
            return _json(status, action.body())
        case Html(status=status):
            return Answer(status, HTML_BODY.format(status=status).encode(), HTML, ending="refused")
    return None


def _run(
    sandbox: Sandbox, request: Request, user: User, body: Body, prepared: Prepared, plan: Plan
) -> dict[str, Any]:
    if prepared.errors or prepared.document is None:
        return {"errors": [error.formatted for error in prepared.errors]}
    context = Context(
        store=sandbox.store,
        config=sandbox.config,
        buckets=sandbox.buckets,
        user=user,
        base_url=str(request.base_url).rstrip("/"),
        tables=sandbox.store.tables if prepared.is_mutation else sandbox.store.reader(),
        refusals=plan.refusals,
    )
    result = execute(
        sandbox.schema,
        prepared.document,
        context_value=context,
        variable_values=body.variables,
        operation_name=body.operation_name,
        field_resolver=read_field,
    )
    if not isinstance(result, ExecutionResult):
        raise TypeError("a resolver must not be a coroutine: calls would overlap")
    return _result(result)


def _result(result: ExecutionResult) -> dict[str, Any]:
    content: dict[str, Any] = {"data": result.data}
    if result.errors:
        content["errors"] = [_formatted(error) for error in result.errors]
        if all(error.path is None for error in result.errors):
            del content["data"]
    return content


def _formatted(error: GraphQLError) -> dict[str, Any]:
    formatted: dict[str, Any] = {**error.formatted}
    formatted.setdefault("extensions", {"code": "INTERNAL_SERVER_ERROR"})
    return formatted


def _bend(action: Action | None, content: dict[str, Any]) -> Answer:
    status = 200 if "data" in content else 400
    if isinstance(action, Partial):
        error = {"message": action.message, "extensions": {"code": "OPERATION_RESOLUTION_FAILURE"}}
        content = {**content, "errors": [*content.get("errors", ()), error]}
    whole = _json(status, content)
    match action:
        case Lost():
            return Answer(0, ending="aborted")
        case Cut():
            return Answer(status, whole.body, JSON, ending="aborted", is_cut=True)
        case Truncated():
            return Answer(status, whole.body[: len(whole.body) // 2], JSON, ending="aborted")
    return _scripted(action) or whole


def _text(status: int, body: str, headers: Mapping[str, str] | None = None) -> Answer:
    return Answer(status, body.encode(), TEXT, headers, ending="ok" if status < 400 else "refused")


def _json(status: int, content: dict[str, Any]) -> Answer:
    body = json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()
    return Answer(status, body, JSON, ending="errors" if content.get("errors") else "ok")
