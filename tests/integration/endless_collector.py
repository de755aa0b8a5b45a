"""A collector that never ends by itself: ``python -m tests.integration.endless_collector ENDPOINT KEY PROJECT URL``."""

from __future__ import annotations

import sys
import time

import redis

from tests.integration.feedback_world import INTERFACE
from worker.feedback.collector import Collector
from worker.feedback.reading import KiliReader
from worker.feedback.store import FeedbackStore
from worker.kili import KiliAccess, RetryPolicy
from worker.ontology import Interface


def main() -> None:
    """Collect again and again, once it has said that it is ready."""
    endpoint, key, project, url = sys.argv[1:]
    reader = KiliReader(KiliAccess(endpoint, key), retry=RetryPolicy(attempts=2, base=0.05))
    store = FeedbackStore(redis.Redis.from_url(url), "t:", project)
    collector = Collector(reader, store, Interface.parse(INTERFACE), now=time.time)
    print("ready", flush=True)
    while True:
        collector.collect()


if __name__ == "__main__":
    main()
