"""Label files over HTTP: a label's json_response behind a signed address, and the faults that hit it."""

from __future__ import annotations

import asyncio

from starlette.requests import Request

from .answers import Answer, altered, answer_instead, text_answer
from .core import Sandbox
from .faults import Call
from .label_addresses import label_path

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
