"""Threads of the page's own, so that those who look never take the place of those who send."""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar

import anyio
from anyio import to_thread

P = ParamSpec("P")
T = TypeVar("T")

MOST = 10
_LIMITER = anyio.CapacityLimiter(MOST)


async def in_thread(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call a function in one of the threads."""
    return await to_thread.run_sync(lambda: function(*args, **kwargs), limiter=_LIMITER)
