"""Sets of the names that keys carry, so that nobody looks through every key of the server to find them.

Projects, the days with labels and the sources of the review policy are found in sets. Installations of before the
sets have the keys alone: whoever asks first fills the sets from them, once, and leaves a mark.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import redis

from worker.environment import clock
from worker.environment.connections import insist

MARK = b"1"
CHUNK = 1000


def projects_key(prefix: str) -> str:
    """Sorted set: project -> when something came for it last, in milliseconds since the epoch."""
    return f"{prefix}projects"


def label_days_key(prefix: str, project: str, kind: str) -> str:
    """Set: the days of the labels of one kind that are in the project's records."""
    return f"{prefix}feedback:{project}:labeldays:{kind}"


def review_names_key(prefix: str, kind: str) -> str:
    """Sorted set: names of the policy's hashes of one kind -> when each was written last, Unix seconds."""
    return f"{prefix}review:names:{kind}"


def fill_once(client: redis.Redis, prefix: str) -> None:
    """Fill the sets from the keys, unless that was done; a full memory does not refuse it."""
    mark = f"{prefix}names"
    if client.get(mark) == MARK:
        return
    pattern = re.sub(r"([\\*?\[\]])", r"\\\1", prefix) + "*"
    with client.pipeline(transaction=False) as pipe:
        for key in client.scan_iter(pattern, count=CHUNK):
            for command in _commands(prefix, key.decode()):
                insist(pipe, *command)
            if len(pipe) >= CHUNK:
                pipe.execute()
        insist(pipe, "SET", mark, MARK)
        pipe.execute()


def _commands(prefix: str, key: str) -> Iterator[tuple[str, ...]]:
    """The commands that put what a key names into a set."""
    name, now = key.removeprefix(prefix), clock.now()
    if name.startswith("ledger:"):
        yield "ZADD", projects_key(prefix), "NX", str(int(now * 1000)), name.removeprefix("ledger:")
    elif found := re.fullmatch(r"feedback:(.+):index:([a-z]+):(\d{4}-\d\d-\d\d)", name, re.DOTALL):
        project, kind, day = found.groups()
        yield "SADD", label_days_key(prefix, project, kind), day
    elif found := re.fullmatch(r"review:(scores|counts):(.+)", name, re.DOTALL):
        kind, rest = found.groups()
        yield "ZADD", review_names_key(prefix, kind), "NX", str(now), rest
