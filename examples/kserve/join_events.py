"""Turn the events of KServe's inference logger into messages: assets from the request, answers from the response.

    python examples/kserve/join_events.py --classes cat,dog,bird < events.jsonl | prediction-worker publish -

Reads one event a line and writes one message a line. What found no other half in time is counted, not sent. Change
``asset_of`` to where your requests keep their inputs.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Iterator
from typing import Any

from worker.formats import Event, EventJoin, Joined, read_event


def asset_of(instance: dict[str, Any]) -> dict[str, str]:
    """Where Kili finds what the model saw."""
    return {"url": instance["image_url"]}


def message_of(pair: Joined, version: str, classes: list[str]) -> dict[str, Any]:
    """A batch: row n of the answer belongs to instance n of the request."""
    service, instances = pair.request.attributes["inferenceservicename"], pair.request.data["instances"]
    return {
        "external_ids": [f"{service}/{pair.request.id}/{number}" for number in range(len(instances))],
        "assets": [asset_of(instance) for instance in instances],
        "model": {"name": service, "version": version},
        "output": {"payload": pair.response.data, "classes": classes},
        "predicted_at": pair.response.attributes["time"],
    }


def pairs_of(events: Iterable[Event], join: EventJoin) -> Iterator[Joined]:
    """Requests with their responses, in the order in which they became complete."""
    for event in events:
        pair = join.add(event).pair
        if pair is not None:
            yield pair


def main() -> None:
    """Join standard input to standard output."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--classes", required=True, help="names of the model's classes, in its order")
    parser.add_argument("--version", default="1", help="version of the model")
    parser.add_argument("--seconds", type=float, default=60.0, help="how long a half waits for the other")
    options = parser.parse_args()
    join = EventJoin(limit_seconds=options.seconds)
    events = (read_event(json.loads(line)) for line in sys.stdin if line.strip())
    for pair in pairs_of(events, join):
        sys.stdout.write(json.dumps(message_of(pair, options.version, options.classes.split(","))) + "\n")
        sys.stdout.flush()
    counts = join.counts
    orphans = f"{counts.orphan_requests} requests and {counts.orphan_responses} responses without the other half"
    sys.stderr.write(f"{counts.joined} joined, {orphans}, {len(join)} waiting at the end\n")


if __name__ == "__main__":
    main()
