"""The SDK in bulk: a script that uploads so many predictions at a time, one after another."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from benchmarks.speed.competitors import sdk
from benchmarks.speed.competitors.serving import Run, serve
from benchmarks.speed.predictions import Work


def prepare(task: dict[str, Any]) -> Run:
    """Make the client; the run ends with the chunk during which the time is up."""
    kili = sdk.client(task["endpoint"], task["api_key"])
    chunks = list(Work.from_json(task["work"]).chunks(task["chunk"]))

    def run() -> Mapping[str, Any]:
        begun = time.perf_counter()
        for chunk in chunks:
            sdk.upload(kili, task["project"], chunk, task["way"])
            if time.perf_counter() - begun >= task["seconds"]:
                break
        return {"seconds": time.perf_counter() - begun}

    return run


if __name__ == "__main__":
    serve(prepare)
