"""What has changed between two readings of one project's interface."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .interface import Interface, Job


@dataclass(frozen=True, slots=True)
class Drift:
    """Jobs (``JOB``) and categories (``JOB.CATEGORY``) that are gone, new, or are asked in another way."""

    gone: tuple[str, ...]
    new: tuple[str, ...]
    altered: tuple[str, ...]

    def __bool__(self) -> bool:
        """Whether anything has changed that decides what is valid."""
        return bool(self.gone or self.new or self.altered)

    def __str__(self) -> str:
        """Write what has changed in words."""
        parts = {"gone": self.gone, "new": self.new, "altered": self.altered}
        return "; ".join(f"{what}: {', '.join(names)}" for what, names in parts.items() if names)


def drift(before: Interface, after: Interface) -> Drift:
    """Compare two interfaces; what lies within a job that is gone or new is not listed."""
    old, new = _parts(before), _parts(after)
    return Drift(
        gone=_outermost(old, new),
        new=_outermost(new, old),
        altered=tuple(name for name in old if name in new and old[name] != new[name]),
    )


def _outermost(these: Mapping[str, Any], those: Mapping[str, Any]) -> tuple[str, ...]:
    missing = [name for name in these if name not in those]
    return tuple(name for name in missing if name.rpartition(".")[0] not in missing)


def _parts(interface: Interface) -> dict[str, Any]:
    """The facts of jobs and categories that are not themselves categories or jobs."""
    parts: dict[str, Any] = {}
    for job in interface.jobs.values():
        parts[job.name] = _facts(job, interface)
        for category in job.categories.values():
            parts[f"{job.name}.{category.name}"] = category
    return parts


def _facts(job: Job, interface: Interface) -> tuple[Any, ...]:
    return (interface.input_type, interface.labeling_crs, job.ml_task, job.tools, job.input, job.required, job.is_child)
