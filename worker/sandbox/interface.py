"""A project's jsonInterface, read once: which jobs there are and which categories they know."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

SINGLE_CHOICE = frozenset({"radio", "singleDropdown"})


class InterfaceError(ValueError):
    """The jsonInterface cannot be read; the message says where."""


@dataclass(frozen=True, slots=True)
class Job:
    """One job; `children` maps a category to the jobs that may hang on it."""

    name: str
    task: str
    categories: frozenset[str]
    children: Mapping[str, frozenset[str]]
    is_child: bool
    is_single: bool
    tools: frozenset[str]


@lru_cache(maxsize=256)
def read_interface(json_interface: str) -> Mapping[str, Job]:
    """Return the jobs by name; raises InterfaceError when the text is no interface."""
    try:
        jobs = json.loads(json_interface or "{}").get("jobs", {})
        return {name: _job(name, job) for name, job in jobs.items()}
    except (ValueError, AttributeError, TypeError) as error:
        raise InterfaceError(f"jsonInterface: {error}") from error


def _job(name: str, job: Mapping[str, Any]) -> Job:
    content = job.get("content") or {}
    categories: Mapping[str, Any] = content.get("categories") or {}
    return Job(
        name=name,
        task=job.get("mlTask", ""),
        categories=frozenset(categories),
        children={key: frozenset(value.get("children") or ()) for key, value in categories.items()},
        is_child=bool(job.get("isChild")),
        is_single=content.get("input") in SINGLE_CHOICE,
        tools=frozenset(job.get("tools") or ()),
    )
