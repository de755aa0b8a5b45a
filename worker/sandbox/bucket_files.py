"""The bucket over HTTP: signed addresses to write to and to read from, and the faults that hit an upload."""

from __future__ import annotations

import asyncio

from starlette.requests import Request

from .answers import Answer, altered, answer_instead, text_answer
from .core import Sandbox
from .faults import UPLOAD, Call


async def answer_bucket(sandbox: Sandbox, request: Request) -> Answer:
    """Answer one request to the bucket; uploads are written into the books."""
    if request.method != "PUT":
        return _read(sandbox, request)
    started = sandbox.clock()
    answer = await _write(sandbox, request)
    sandbox.calls.add(UPLOAD, started=started, status=answer.status, ending=answer.ending, items=1)
    return answer


def file_answer(found: tuple[bytes, str] | None) -> Answer:
    """Answer with a content and its media type, or 404."""
    return text_answer(404, "NoSuchKey") if found is None else Answer(200, *found)


def _read(sandbox: Sandbox, request: Request) -> Answer:
    path = request.path_params["path"]
    return file_answer(sandbox.buckets.read(path)) if _may(sandbox, request) else _no()


async def _write(sandbox: Sandbox, request: Request) -> Answer:
    path = request.path_params["path"]
    content = await request.body()
    plan = sandbox.script.plan(Call((UPLOAD,), _part(path, 1), len(content), asset_id=_part(path, 3)))
    await asyncio.sleep(plan.delay)
    answer = answer_instead(plan.action)
    if answer is None:
        answer = text_answer(200, "") if _may(sandbox, request) else _no()
        if answer.status == 200:
            media_type = request.headers.get("content-type", "application/octet-stream")
            sandbox.buckets.write(path, content, media_type)
        answer = altered(plan.action, answer)
    await asyncio.sleep(plan.delay_after)
    return answer


def _part(path: str, number: int) -> str | None:
    """A part of ``projects/<project>/assets/<asset>/...``."""
    parts = path.split("/")
    return parts[number] if len(parts) > number else None


def _may(sandbox: Sandbox, request: Request) -> bool:
    return sandbox.buckets.may_access(request.path_params["path"], request.query_params.get("signature", ""))


def _no() -> Answer:
    return text_answer(403, "SignatureDoesNotMatch")
