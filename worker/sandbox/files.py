"""Files over HTTP: the bucket and label files behind signed addresses, and the faults that hit them."""

from __future__ import annotations

import asyncio

from starlette.requests import Request

from worker.sandbox.core import Sandbox
from worker.sandbox.envelope import Answer, altered, answer_instead, text_answer
from worker.sandbox.faults import UPLOAD, Call
from worker.sandbox.uploads import label_path


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


#: The name of these requests in fault rules and in the books.
LABEL_FILE = "labelFile"


async def answer_label_file(sandbox: Sandbox, request: Request) -> Answer:
    """Answer one request for a label's file and write it into the books."""
    started = sandbox.clock()
    answer = await _answer(sandbox, request)
    sandbox.calls.add(LABEL_FILE, started=started, status=answer.status, ending=answer.ending, items=1)
    return answer


async def _answer(sandbox: Sandbox, request: Request) -> Answer:
    sandbox.store.settle()
    label_id = request.path_params["label_id"]
    if not sandbox.buckets.may_access(label_path(label_id), request.query_params.get("signature", "")):
        return text_answer(403, "SignatureDoesNotMatch")
    label = sandbox.store.tables.labels.get(label_id)
    if label is None:
        return text_answer(404, "NoSuchKey")
    asset = sandbox.store.tables.assets[label.asset_id]
    plan = sandbox.script.plan(Call((LABEL_FILE,), label.project_id, 0, external_id=asset.external_id))
    await asyncio.sleep(plan.delay)
    whole = Answer(200, label.json_response.encode(), "application/json")
    answer = answer_instead(plan.action) or altered(plan.action, whole)
    await asyncio.sleep(plan.delay_after)
    return answer
