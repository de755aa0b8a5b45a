"""A bare loop over a Redis stream: read in bulk, parse, acknowledge. What the stream door cannot beat."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any

import redis

from benchmarks.speed.competitors.serving import Run, serve
from worker.spool import INBOX_GROUP

COUNT = 500


def prepare(task: dict[str, Any]) -> Run:
    """Connect; the run ends when so many messages are read."""
    client = redis.Redis.from_url(task["redis_url"])
    stream, wanted = task["stream"], task["messages"]

    def run() -> Mapping[str, Any]:
        begun, read = time.perf_counter(), 0
        while read < wanted:
            reply: Any = client.xreadgroup(INBOX_GROUP, "bare", {stream: ">"}, count=COUNT, block=1000)
            entries = [entry for _, rows in reply for entry in rows]
            for _, fields in entries:
                json.loads(fields[b"payload"])
            ids = [entry_id for entry_id, _ in entries]
            if ids:
                with client.pipeline(transaction=False) as pipe:
                    pipe.xack(stream, INBOX_GROUP, *ids)
                    pipe.xdel(stream, *ids)
                    pipe.execute()
            read += len(ids)
        return {"seconds": time.perf_counter() - begun}

    return run


if __name__ == "__main__":
    serve(prepare)
