"""The repetitions of a simulation side by side, one process for each processor."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

Result = TypeVar("Result")
Task = tuple[Any, ...]
Spread = Callable[[Callable[..., Result], Iterable[Task]], list[Result]]
"""Calls a function with the arguments of each task; results in the order of the tasks."""


def here(function: Callable[..., Result], tasks: Iterable[Task]) -> list[Result]:
    """One after the other, in this process."""
    return [function(*task) for task in tasks]


@contextmanager
def processes(count: int) -> Iterator[Spread[Any]]:
    """In so many processes, or here when it is one."""
    if count <= 1:
        yield here
        return
    with multiprocessing.get_context("spawn").Pool(count) as pool:
        yield lambda function, tasks: pool.starmap(function, tasks, chunksize=1)
