"""Which job of a project an answer belongs to."""

from __future__ import annotations

from worker.contract.output import Answer, Detection, Frames
from worker.ontology.classes import listed, nearest
from worker.ontology.compose_detection import tools_for
from worker.ontology.errors import OntologyError
from worker.ontology.interface import Interface, Job

TASKS = {
    "classification": "CLASSIFICATION",
    "detection": "OBJECT_DETECTION",
    "entities": "NAMED_ENTITIES_RECOGNITION",
    "transcription": "TRANSCRIPTION",
}
"""The ``mlTask`` that takes each kind of answer."""


def resolve_job(answer: Answer, given: str | None, interface: Interface) -> Job:
    """Find the job an answer belongs to: the given one, or the only root job that can take it.

    Detections fit the jobs whose tools hold their shapes as they are, then those that hold them
    unchanged with another tool. Raises :class:`OntologyError`, naming the candidates.
    """
    task = _task(answer)
    return _named(given, task, interface) if given is not None else _only(answer, task, interface)


def _task(answer: Answer) -> str:
    kind = answer.frames[0].answer.kind if isinstance(answer, Frames) and answer.frames else answer.kind
    if isinstance(answer, Frames) and any(frame.answer.kind != kind for frame in answer.frames):
        raise OntologyError(
            "answer.frames", "the frames have answers of several kinds", "send one kind", "no_fitting_job"
        )
    return TASKS.get(kind, "")


def _named(given: str, task: str, interface: Interface) -> Job:
    job = interface.jobs.get(given)
    if job is None:
        near = nearest(given, list(interface.jobs))
        known = f"for example {near}" if near else f"one of {listed(interface.jobs)}"
        fix = f"name a job of the project, {known}" if interface.jobs else "add jobs to the project"
        raise OntologyError("job", f"the project has no job {given!r}", fix, "unknown_job")
    if job.is_child:
        raise OntologyError(
            "job", f"job {given} is asked only under a category", "send Kili's own response", "child_at_root"
        )
    if task and job.ml_task != task:
        fix = f"name a job of kind {task}"
        raise OntologyError("job", f"job {given} is {job.ml_task}, not {task}", fix, "no_fitting_job")
    return job


def _only(answer: Answer, task: str, interface: Interface) -> Job:
    jobs = [job for job in interface.root_jobs if job.ml_task == task]
    fitting = _by_tools(answer, jobs) if len(jobs) > 1 else jobs
    if len(fitting) == 1:
        return fitting[0]
    names = ", ".join(job.name for job in fitting)
    if fitting:
        raise OntologyError("job", f"jobs {names} could take the answer", "name the job", "ambiguous_job")
    found = ", ".join(f"{job.name} ({job.ml_task})" for job in interface.root_jobs) or "none"
    problem = f"the project has no job for an answer of kind {answer.kind}; its jobs: {found}"
    fix = f"see with explain what the payload was read as; only a {task} job takes it"
    raise OntologyError("job", problem, fix, "no_fitting_job")


def _by_tools(answer: Answer, jobs: list[Job]) -> list[Job]:
    details = [frame.answer for frame in answer.frames] if isinstance(answer, Frames) else [answer]
    shapes = [item.shape for detail in details if isinstance(detail, Detection) for item in detail.objects]
    own = [job for job in jobs if all(shape.tool in job.tools for shape in shapes)]
    held = [job for job in jobs if all(set(tools_for(shape)) & set(job.tools) for shape in shapes)]
    return own or held or jobs
