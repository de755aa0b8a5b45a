"""A project's jsonInterface, read once: the jobs, what they ask, and what may be chosen."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

#: Inputs that take one category.
SINGLE_INPUTS = frozenset({"radio", "singleDropdown"})
#: Levels of a conversation whose answers to one job are several.
REPEATED_LEVELS = frozenset({"round", "completion"})
#: In an interface's relation ends: every category.
ANY = "ANY"


class InterfaceError(ValueError):
    """A jsonInterface cannot be read; the message names the job."""


@dataclass(frozen=True, slots=True)
class Category:
    """A category of a job; `points`, `starts` and `ends` are None where the interface does not limit them."""

    name: str
    shown: str = ""
    children: tuple[str, ...] = ()
    points: frozenset[str] | None = None
    starts: frozenset[str] | None = None
    ends: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class Job:
    """A job; `categories` holds the options of a comparison as well."""

    name: str
    task: str
    categories: Mapping[str, Category] = field(default_factory=dict)
    tools: tuple[str, ...] = ()
    input: str = ""
    level: str = ""
    required: bool = False
    is_child: bool = False

    @property
    def takes_one(self) -> bool:
        """Whether a classification takes one category."""
        return self.input in SINGLE_INPUTS and self.level not in REPEATED_LEVELS


@dataclass(frozen=True, slots=True)
class Interface:
    """The jobs of a project; `pixel_labeling` says that a map is labeled in shares of the image."""

    jobs: Mapping[str, Job]
    input_type: str = "IMAGE"
    pixel_labeling: bool = False


@lru_cache(maxsize=256)
def read_interface(json_interface: str, input_type: str = "IMAGE", pixel_labeling: bool = False) -> Interface:
    """Return the interface of a project; one that was never written has no jobs. Raises InterfaceError."""
    if json_interface.strip() in ("", "{}"):
        return Interface({}, input_type, pixel_labeling)
    try:
        content = json.loads(json_interface)
    except ValueError as error:
        raise InterfaceError(f"it is not valid JSON: {error}") from error
    jobs = content.get("jobs") if isinstance(content, dict) else None
    if not isinstance(jobs, dict):
        raise InterfaceError("it must be an object with the key jobs, an object")
    return Interface({name: _job(name, source) for name, source in jobs.items()}, input_type, pixel_labeling)


def _job(name: str, source: Any) -> Job:
    if not isinstance(source, dict) or not isinstance(source.get("mlTask"), str):
        raise InterfaceError(f"jobs.{name} must be an object with the key mlTask")
    content = source.get("content") or {}
    listed = content.get("categories") or content.get("options") or {} if isinstance(content, dict) else None
    if not isinstance(listed, dict):
        raise InterfaceError(f"jobs.{name}.content must be an object, and so must its categories")
    return Job(
        name=name,
        task=source["mlTask"],
        categories={key: _category(key, value) for key, value in listed.items()},
        tools=tuple(source.get("tools") or ()),
        input=str(content.get("input") or ""),
        level=str(source.get("level") or ""),
        required=bool(source.get("required")),
        is_child=bool(source.get("isChild")),
    )


def _category(name: str, source: Any) -> Category:
    source = source if isinstance(source, dict) else {}
    points = source.get("points")
    return Category(
        name=name,
        shown=str(source.get("name") or name),
        children=tuple(source.get("children") or ()),
        points=frozenset(point["code"] for point in points) if points else None,
        starts=_ends(source, "start"),
        ends=_ends(source, "end"),
    )


def _ends(source: Mapping[str, Any], end: str) -> frozenset[str] | None:
    listed = source.get(f"{end}Objects", source.get(f"{end}Entities"))
    return None if listed is None or ANY in listed else frozenset(listed)
