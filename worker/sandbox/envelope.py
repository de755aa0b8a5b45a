"""One GraphQL call over HTTP: key, limit, faults, execution, answer, in the order of a real server.

401 and 429 come before the body is looked at. Their bodies, and those of 5xx, are text: clients take any JSON with
`errors` or `data` in it for a GraphQL answer, whatever the status.
"""

from __future__ import annotations

import asyncio
import gzip
import zlib
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request

from .answers import Answer, answer_after, answer_instead, json_answer, text_answer
from .calls import count_items
from .core import Sandbox
from .documents import Prepared
from .execution import run
from .faults import Call
from .records import User
from .targets import project_of
from .validation import DECODER

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
        refusals=plan.refusals,
        failures=plan.failures,
        fields=plan.fields,
    )
    answer = answer_after(plan.action, content)
    if plan.delay_after:
        await asyncio.sleep(plan.delay_after)
    return answer
