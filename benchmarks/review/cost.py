"""What a decision costs."""

from __future__ import annotations

import time

from benchmarks.review.queues import stream
from benchmarks.review.rules import RULES, Worker
from worker.review import Subject

QUEUE, SEED = "digits", 11
LEARNED = 5
REPEATS = 25


def microseconds_per_asset(rule: str) -> float:
    """Processor time of a decision by a policy that has learned from a thousand verdicts.

    The best of some batches of 200 predictions.
    """
    worker = RULES[rule]()
    if not isinstance(worker, Worker):
        raise TypeError(f"{rule} is not the worker's policy")
    windows = stream(QUEUE, SEED)
    for window in windows[:LEARNED]:
        worker.scores(window)
        worker.learn(window, range(len(window)))
    fastest = float("inf")
    for window in windows[LEARNED : LEARNED + REPEATS]:
        subjects = [Subject("bench", one.asset, one.asset, one.model, one.output(), None) for one in window]
        began = time.process_time()
        worker.policy.decide_all(subjects)
        fastest = min(fastest, (time.process_time() - began) / len(window))
    return 1e6 * fastest
