"""The floor: a bare loop that posts bodies made beforehand over one pool of kept connections. No queue, no checks.

It makes the fewest calls that Kili's limits allow, as many at a time as the worker does, and looks at nothing that
comes back but the status. Who sends the same calls cannot be faster on the same machine.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import httpx

from benchmarks.speed.competitors.serving import Run, serve
from benchmarks.speed.predictions import MODEL, PRIORITY, Made, Work
from worker.kili.ids import derived_asset_id
from worker.kili.operations import (
    APPEND_MANY_ASSETS,
    APPEND_MANY_LABELS,
    UPDATE_PROPERTIES_IN_ASSETS,
    AssetUpdate,
    NewAsset,
    NewLabel,
    Operation,
    append_assets_variables,
    append_labels_variables,
    update_assets_variables,
)

BATCH = 100
METADATA = "{}"


@dataclass(frozen=True, slots=True)
class Loop:
    """Posts the bodies of one batch after another, ``parallel`` batches at a time, until the time is up."""

    endpoint: str
    api_key: str
    parallel: int
    seconds: float
    chains: Sequence[Sequence[bytes]]

    def run(self) -> Mapping[str, Any]:
        """Post everything; the answer tells the seconds it took."""
        headers = {"Authorization": f"X-API-Key: {self.api_key}", "Content-Type": "application/json"}
        limits = httpx.Limits(max_connections=self.parallel, max_keepalive_connections=self.parallel)
        with (
            httpx.Client(headers=headers, limits=limits, timeout=60) as http,
            ThreadPoolExecutor(self.parallel) as pool,
        ):
            begun = time.perf_counter()

            def post(chain: Sequence[bytes]) -> None:
                if time.perf_counter() - begun < self.seconds:
                    for body in chain:
                        http.post(self.endpoint, content=body).raise_for_status()

            list(pool.map(post, self.chains))
            return {"seconds": time.perf_counter() - begun}


def prepare(task: dict[str, Any]) -> Run:
    """Make every body; one for the assets of a batch, one for its labels, one for its priorities if there are any."""
    made = sorted(Work.from_json(task["work"]), key=lambda one: not one.is_doubtful)
    batches = [made[first : first + BATCH] for first in range(0, len(made), BATCH)]
    chains = [_chain(task["project"], batch) for batch in batches]
    return Loop(task["endpoint"], task["api_key"], task["parallel"], task["seconds"], chains).run


def _chain(project: str, batch: Sequence[Made]) -> list[bytes]:
    ids = {one.external_id: derived_asset_id(project, one.external_id) for one in batch}
    assets = [NewAsset(ids[one.external_id], one.external_id, one.url, "", METADATA) for one in batch]
    labels = [NewLabel(ids[one.external_id], json.dumps(one.json_response()), MODEL) for one in batch]
    updates = [AssetUpdate(ids[one.external_id], priority=PRIORITY) for one in batch if one.is_doubtful]
    chain = [
        _body(APPEND_MANY_ASSETS, append_assets_variables(project, assets)),
        _body(APPEND_MANY_LABELS, append_labels_variables(project, labels)),
    ]
    return [*chain, _body(UPDATE_PROPERTIES_IN_ASSETS, update_assets_variables(updates))] if updates else chain


def _body(operation: Operation, variables: Mapping[str, Any]) -> bytes:
    return json.dumps({"query": operation.text, "variables": variables}, separators=(",", ":")).encode()


if __name__ == "__main__":
    serve(prepare)
