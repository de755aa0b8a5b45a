"""A bare Starlette handler that parses what is posted and adds each message to a stream: ``… bare_http PORT REDIS``."""

from __future__ import annotations

import json
import sys
from typing import Any

import redis
import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

STREAM = "bench:bare-http"


def application(client: redis.Redis) -> Starlette:
    """The whole of it."""

    def add(messages: list[Any]) -> list[str]:
        with client.pipeline(transaction=False) as pipe:
            for message in messages:
                pipe.xadd(STREAM, {"payload": json.dumps(message)})
            return [entry_id.decode() for entry_id in pipe.execute()]

    async def take(request: Request) -> JSONResponse:
        found = await request.json()
        messages = found if isinstance(found, list) else [found]
        return JSONResponse({"ids": await run_in_threadpool(add, messages)}, 202)

    return Starlette(routes=[Route("/v1/predictions", take, methods=["POST"])])


if __name__ == "__main__":
    app = application(redis.Redis.from_url(sys.argv[2]))
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), http="h11", access_log=False, log_level="warning")
