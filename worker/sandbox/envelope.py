"""One GraphQL call over HTTP: key, limit, faults, execution, answer, in the order of a real server.

401 and 429 come before the body is looked at. Their bodies, and those of 5xx, are text: clients take any JSON with
`errors` or `data` in it for a GraphQL answer, whatever the status.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import logging
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec
from graphql import ExecutionResult, GraphQLError, execute
from starlette.requests import Request

from worker.sandbox.completion import Execution
from worker.sandbox.core import Sandbox, count_items
from worker.sandbox.errors import (
    DOMAIN_CODE,
    Action,
    Cut,
    Errors,
    FailImport,
    Html,
    Lost,
    Padded,
    Partial,
    Reset,
    Status,
    TooLarge,
    Truncated,
)
from worker.sandbox.execution import Prepared
from worker.sandbox.faults import Call, FieldPlan
from worker.sandbox.records import User
from worker.sandbox.resolvers.context import Context, Rejection
from worker.sandbox.resolvers.fields import read_field
from worker.sandbox.resolvers.filters import project_of
from worker.sandbox.responses.validation import DECODER

logger = logging.getLogger(__name__)


def run(
    sandbox: Sandbox,
    prepared: Prepared,
    variables: dict[str, Any],
    *,
    user: User,
    base_url: str,
    rejections: Sequence[Rejection] = (),
    failures: Sequence[FailImport] = (),
    fields: Mapping[str, FieldPlan] | None = None,
) -> dict[str, Any]:
    """Return what the answer carries: `data`, `errors` or both.

    The operation runs without a break, so that calls never overlap. `data` is missing when nothing was executed.
    """
    if prepared.errors or prepared.document is None:
        return {"errors": [error.formatted for error in prepared.errors]}
    sandbox.store.settle()
    context = Context(
        store=sandbox.store,
        config=sandbox.config,
        buckets=sandbox.buckets,
        user=user,
        base_url=base_url,
        tables=sandbox.store.tables if prepared.is_mutation else sandbox.store.reader(),
        rejections=rejections,
        failures=failures,
        fields=fields or {},
    )
    result = execute(
        sandbox.schema,
        prepared.document,
        context_value=context,
        variable_values=variables,
        operation_name=prepared.name,
        field_resolver=read_field,
        execution_context_class=Execution,
    )
    if not isinstance(result, ExecutionResult):
        raise TypeError("a resolver must not be a coroutine: calls would overlap")
    return _content(result)


def _content(result: ExecutionResult) -> dict[str, Any]:
    if not result.errors:
        return {"data": result.data}
    errors = [_formatted(error) for error in result.errors]
    if all(error.path is None for error in result.errors):
        return {"errors": errors}
    return {"data": result.data, "errors": errors}


def _formatted(error: GraphQLError) -> dict[str, Any]:
    if error.original_error is not None and not isinstance(error.original_error, GraphQLError):
        logger.error("a resolver failed", exc_info=error.original_error)
    formatted: dict[str, Any] = {**error.formatted}
    formatted.setdefault("extensions", {"code": "INTERNAL_SERVER_ERROR"})
    return formatted


JSON = "application/json"
TEXT = "text/plain; charset=utf-8"
HTML = "text/html; charset=utf-8"
HTML_BODY = "<html><head><title>{status}</title></head><body><h1>{status}</h1><hr>proxy</body></html>"


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer, whole or cut in the middle, or (status 0) nothing but a reset.

    `ending` says for the books how the call went: ok, errors, refused or aborted.
    """

    status: int
    body: bytes = b""
    media_type: str = TEXT
    headers: Mapping[str, str] | None = None
    ending: str = "ok"
    is_cut: bool = False


def text_answer(status: int, body: str, headers: Mapping[str, str] | None = None) -> Answer:
    """Return an answer that no client takes for GraphQL."""
    return Answer(status, body.encode(), TEXT, headers, ending="ok" if status < 400 else "refused")


def json_answer(status: int, content: Mapping[str, Any]) -> Answer:
    """Return a GraphQL answer."""
    return Answer(status, _encoded(content), JSON, ending="errors" if content.get("errors") else "ok")


def _encoded(content: Mapping[str, Any]) -> bytes:
    try:
        return msgspec.json.encode(content)
    except UnicodeEncodeError:  # half of a surrogate pair, which only an escape can write
        return json.dumps(content, separators=(",", ":")).encode()


def answer_instead(action: Action | None) -> Answer | None:
    """Return the answer of a fault that keeps the operation from running."""
    match action:
        case Reset():
            return Answer(0, ending="aborted")
        case TooLarge():
            return text_answer(413, "Request Entity Too Large")
        case Status(after=False) | Errors(after=False) | Html(after=False):
            return _scripted(action)
    return None


def answer_after(action: Action | None, content: Mapping[str, Any]) -> Answer:
    """Return the answer of an operation that has run, or what a fault leaves of it."""
    if isinstance(action, Partial):
        error = {"message": action.message, "extensions": {"code": DOMAIN_CODE}}
        content = {**content, "errors": [*content.get("errors", ()), error]}
    return altered(action, json_answer(200 if "data" in content else 400, content))


def altered(action: Action | None, whole: Answer) -> Answer:
    """Return a JSON answer as a fault leaves it."""
    match action:
        case Lost():
            return Answer(0, ending="aborted")
        case Cut():
            return Answer(whole.status, whole.body, JSON, ending="aborted", is_cut=True)
        case Truncated():
            return Answer(whole.status, whole.body[: len(whole.body) // 2], JSON, ending="aborted")
        case Padded(bytes=size):
            return replace(whole, body=whole.body.ljust(size))
    return _scripted(action) or whole


def _scripted(action: Action | None) -> Answer | None:
    match action:
        case Status(status=status, body=body, headers=headers):
            return text_answer(status, body, headers)
        case Errors(status=status):
            return json_answer(status, action.body())
        case Html(status=status):
            return Answer(status, HTML_BODY.format(status=status).encode(), HTML, ending="refused")
    return None


TOO_MANY_MUTATIONS = {
    "message": "A document may hold one mutation only.",
    "extensions": {"code": "GRAPHQL_VALIDATION_FAILED"},
}


@dataclass(frozen=True, slots=True)
class Body:
    """A decoded request body; `size` in bytes, uncompressed."""

    query: str
    variables: dict[str, Any]
    operation_name: str | None
    size: int


class BodyError(ValueError):
    """The request body is no GraphQL request."""


async def answer_call(sandbox: Sandbox, request: Request) -> Answer:
    """Answer one call and write it into the books."""
    started = sandbox.clock()
    key = api_key_of(request)
    user = sandbox.user_of(key)
    operation, items = "(refused)", 0
    if user is None:
        answer = text_answer(401, "Unauthorized")
    elif (seconds := sandbox.limiter.take(key, sandbox.config.calls_per_minute)) is not None:
        answer = text_answer(429, "Too Many Requests", {"Retry-After": str(seconds)})
    else:
        try:
            body = read_body(await request.body(), request.headers.get("content-encoding", ""))
        except BodyError as error:
            answer = json_answer(400, {"errors": [{"message": str(error), "extensions": {"code": "BAD_REQUEST"}}]})
        else:
            prepared = sandbox.documents.prepare(body.query, body.operation_name)
            operation, items = "+".join(prepared.names) or "(invalid)", count_items(body.variables)
            answer = await _answer_body(sandbox, str(request.base_url).rstrip("/"), user, body, prepared)
    sandbox.calls.add(operation, started=started, status=answer.status, ending=answer.ending, items=items)
    return answer


def api_key_of(request: Request) -> str:
    """Return the key of a request: Kili's SDK writes `X-API-Key: <key>` inside Authorization."""
    return request.headers.get("authorization", "").removeprefix("X-API-Key:").strip()


def read_body(raw: bytes, encoding: str) -> Body:
    """Decode a request body; raises BodyError."""
    try:
        data = gzip.decompress(raw) if encoding == "gzip" else raw
        content = DECODER.decode(data.decode())
    except (ValueError, OSError, EOFError, zlib.error, RecursionError) as error:
        raise BodyError(f"The body is not valid JSON: {error}") from error
    if not isinstance(content, dict) or not isinstance(content.get("query"), str):
        raise BodyError("The body must be an object with the key query.")
    variables = content.get("variables")
    if not isinstance(variables, dict | None):
        raise BodyError("The key variables must be an object.")
    return Body(content["query"], variables or {}, content.get("operationName"), len(data))


async def _answer_body(sandbox: Sandbox, base_url: str, user: User, body: Body, prepared: Prepared) -> Answer:
    if prepared.is_mutation and len(prepared.fields) > 1 and sandbox.config.mutations == "one":
        return json_answer(400, {"errors": [TOO_MANY_MUTATIONS]})
    arguments = sandbox.documents.arguments(prepared, body.variables)
    project_id = project_of(arguments, sandbox.store.tables)
    plan = sandbox.script.plan(Call(prepared.names, project_id, body.size))
    if seconds := sandbox.config.latency + plan.delay:
        await asyncio.sleep(seconds)
    instead = answer_instead(plan.action)
    if instead is not None:
        return instead
    content = run(
        sandbox,
        prepared,
        body.variables,
        user=user,
        base_url=base_url,
        rejections=plan.rejections,
        failures=plan.failures,
        fields=plan.fields,
    )
    answer = answer_after(plan.action, content)
    if plan.delay_after:
        await asyncio.sleep(plan.delay_after)
    return answer
