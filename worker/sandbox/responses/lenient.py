"""The two rules that are known to hold on the real server: no unknown job, no unknown category."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from worker.sandbox.interface import Interface, Job

from .reading import an_object, inside, refuse
from .strict import BY_FRAME, NO_JOBS, WHOLE


def check_leniently(response: Any, interface: Interface) -> None:
    """Raise Malformed for a response that names a job or category the project does not have."""
    for name, payload, where in _answers(an_object(response, ""), interface):
        job = interface.jobs.get(name)
        if job is None:
            refuse(where, f"the project has no job {name!r}; it has {', '.join(interface.jobs)}")
        _check_names(payload, job, interface, where)


def _answers(response: dict[str, Any], interface: Interface) -> Iterator[tuple[str, Any, str]]:
    scenes = [("", response)]
    if interface.input_type in BY_FRAME:
        scenes = [(key, value) for key, value in response.items() if key.isdecimal() or key == WHOLE]
        scenes.append(("", {key: value for key, value in response.items() if key not in dict(scenes)}))
    for where, jobs in scenes:
        for name, payload in jobs.items() if isinstance(jobs, dict) else ():
            if name not in NO_JOBS:
                yield name, payload, inside(where, name)


def _check_names(value: Any, job: Job, interface: Interface, where: str) -> None:
    for index, item in enumerate(value) if isinstance(value, list) else ():
        _check_names(item, job, interface, inside(where, index))
    for key, inner in value.items() if isinstance(value, dict) else ():
        here = inside(where, key)
        if key == "children" and isinstance(inner, dict):
            for name, payload in inner.items():
                if name not in interface.jobs:
                    refuse(inside(here, name), f"the project has no job {name!r}")
                _check_names(payload, interface.jobs[name], interface, inside(here, name))
            continue
        if key == "categories" and isinstance(inner, list):
            _check_chosen(inner, job, here)
        _check_names(inner, job, interface, here)


def _check_chosen(chosen: list[Any], job: Job, where: str) -> None:
    for index, category in enumerate(chosen):
        name = category.get("name") if isinstance(category, dict) else None
        if isinstance(name, str) and job.categories and name not in job.categories:
            refuse(inside(inside(where, index), "name"), f"the job {job.name} has no category {name!r}")
