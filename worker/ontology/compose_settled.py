"""Answers that only the project's jobs make definite: several readings, nothing found, several jobs."""

from __future__ import annotations

from worker.formats.output import Classification, Detection, Either, Entities, Frames, Nothing, Several, Transcription

from .compose_job import TASKS
from .errors import OntologyError
from .interface import Interface, Job

Definite = Classification | Detection | Entities | Transcription | Frames


def settled(answer: Definite | Either | Nothing, given: str | None, interface: Interface) -> Definite:
    """The one reading of an answer that the project has a job for; ``given`` is the job that the message names.

    Raises OntologyError where nothing was found and no job, or more than one, would say so.
    """
    if isinstance(answer, Either):
        tasks = [job.ml_task for job in _candidates(given, interface)]
        return next((one for one in answer.answers if TASKS[one.kind] in tasks), answer.answers[0])
    return _empty(given, interface) if isinstance(answer, Nothing) else answer


def _candidates(given: str | None, interface: Interface) -> list[Job]:
    named = interface.jobs.get(given) if given is not None else None
    return [named] if named else list(interface.root_jobs)


def _empty(given: str | None, interface: Interface) -> Detection | Entities:
    jobs = [job for job in _candidates(given, interface) if job.ml_task in _EMPTY]
    kinds = {job.ml_task for job in jobs}
    if len(kinds) == 1:
        return _EMPTY[kinds.pop()]
    problem = "nothing was found, and objects as well as entities are looked for"
    fix = "name the job"
    if not jobs:
        problem, fix = "nothing was found, but no job of the project looks for objects or entities", "send an answer"
    raise OntologyError("answer", problem, fix, "ambiguous_job" if jobs else "no_fitting_job")


_EMPTY: dict[str, Detection | Entities] = {
    "OBJECT_DETECTION": Detection(()),
    "NAMED_ENTITIES_RECOGNITION": Entities(()),
}


def jobs_of(answer: Several, interface: Interface) -> dict[str, str]:
    """The project's job for each name of an answer, compared by letters and digits alone where it is not the same.

    Raises OntologyError for a name without a job, and for two names of one job.
    """
    plain = {_plain(job.name): job.name for job in interface.root_jobs}
    found: dict[str, str] = {}
    for name in answer.answers:
        job = name if name in interface.jobs else plain.get(_plain(name))
        if job is None or job in found.values():
            raise _no_job(name, answer, interface, twice=job is not None)
        found[name] = job
    return found


def _plain(name: str) -> str:
    return "".join(char for char in name.casefold() if char.isalnum())


def _no_job(name: str, answer: Several, interface: Interface, *, twice: bool) -> OntologyError:
    jobs = ", ".join(job.name for job in interface.root_jobs) or "none"
    problem = f"{name!r} is a second answer to one job" if twice else f"{name!r} is the name of no job"
    names = ", ".join(answer.answers)
    return OntologyError(
        f"answer.answers.{name}",
        f"several answers ({names}), and {problem}; the project's jobs: {jobs}",
        "call the answers as the jobs are called, or set field to the one to send",
        "unknown_job",
    )
