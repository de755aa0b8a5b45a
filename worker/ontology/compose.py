"""From what a model said to Kili's ``jsonResponse``: the job that it belongs to, then the answer to it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, Literal

from worker.contract.output import (
    Answer,
    Classification,
    Detection,
    Either,
    Entities,
    Frames,
    KiliResponse,
    ModelOutput,
    Nothing,
    Several,
    Transcription,
)
from worker.ontology.classes import ClassPolicy, category_of, listed, nearest
from worker.ontology.compose_annotations import Target, compose_detection, compose_entities, kinds_of, tools_for
from worker.ontology.compose_classification import compose_classification
from worker.ontology.errors import OntologyError
from worker.ontology.interface import Interface, Job
from worker.ontology.validate import validate

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


_NO_CLASSES: Mapping[str, str] = MappingProxyType({})


def to_json_response(
    output: ModelOutput,
    interface: Interface,
    *,
    classes: Mapping[str, str] = _NO_CLASSES,
    threshold: float = 0.5,
    unknown_classes: Literal["refuse", "ignore"] = "refuse",
    text: str | None = None,
    parts: Mapping[str, str] | None = None,
    partial: bool = False,
    georeferenced: bool = False,
) -> dict[str, Any]:
    """Write a model's answer as the json_response of its project, valid or not at all.

    ``classes`` maps a model's classes to categories and wins over every other spelling. ``threshold`` in
    [0, 1] is what a class of a multiple-choice job must reach. ``unknown_classes`` says whether a class without a
    category refuses the answer or is left out. ``text`` is the asset's text, for entities; ``parts`` are the texts
    of a rich text by id, in their order.
    ``partial`` accepts an answer that leaves required jobs open; ``georeferenced`` says that the asset is an image with
    a place on the map. Raises :class:`OntologyError`.
    """
    answer = output.answer
    proof: set[tuple[object, ...]] = set()
    if isinstance(answer, KiliResponse):
        response = answer.json_response
    else:
        policy = ClassPolicy(classes, threshold, unknown_classes == "ignore")
        response = {}
        for definite, name in _parts(answer, output.job, interface):
            job = resolve_job(definite, name, interface)
            _check_expressible(definite, interface)
            target = Target(job, interface, policy)
            response.update(_Composer(target, text).response(definite))
            may_be_open = partial or not job.required or interface.is_video
            if isinstance(definite, Classification) and job.name not in response and not may_be_open:
                raise _left_open(definite, job, policy)
            if definite is answer and isinstance(definite, Detection):
                proof = {(job.name, *kind, partial) for kind in kinds_of(definite, target)}
    if not proof or not proof <= interface.proven:
        validate(response, interface, text=text, parts=parts, partial=partial, georeferenced=georeferenced)
        interface.proven.update(proof)
    return dict(response)


def _left_open(answer: Classification, job: Job, policy: ClassPolicy) -> OntologyError:
    """Why an answer chooses none of a required job's categories."""
    scores = [item.score for item in answer.scores if item.score is not None]
    problem = "the model chose no class"
    if scores and not answer.chosen and max(scores) < policy.threshold:
        problem = f"no class reaches the threshold {policy.threshold:g}: the best has {max(scores):.4g}"
    elif answer.scores:
        problem = "none of the classes that the model chose is one of the job's"
    fix = "make the job optional, allow partial answers (partial), or lower the threshold"
    return OntologyError(job.name, f"job {job.name} is required, and {problem}", fix, "missing_required_job")


_DEFINITE = (Classification, Detection, Entities, Transcription, Frames)


def _parts(
    answer: Definite | Either | Nothing | Several, given: str | None, interface: Interface
) -> list[tuple[Definite, str | None]]:
    """What is answered, and the job's name where it is known."""
    if isinstance(answer, _DEFINITE):
        return [(answer, given)]
    if not isinstance(answer, Several):
        return [(settled(answer, given, interface), given)]
    jobs = jobs_of(answer, interface)
    return [(settled(one, jobs[name], interface), jobs[name]) for name, one in answer.answers.items()]


def unknown_labels(
    output: ModelOutput, interface: Interface, classes: Mapping[str, str] = _NO_CLASSES
) -> dict[str, int]:
    """The classes of an answer for which its job has no category, with how often each occurs.

    They are left out where ``unknown_classes`` is ``ignore``. Raises :class:`OntologyError` as ``to_json_response``.
    """
    answer = output.answer
    if isinstance(answer, KiliResponse):
        return {}
    found: Counter[str] = Counter()
    for definite, name in _parts(answer, output.job, interface):
        job = resolve_job(definite, name, interface)
        found.update(label for label in _labels(definite) if category_of(label, job, classes, "answer") is None)
    return dict(found)


def _labels(answer: Definite) -> Iterator[str]:
    match answer:
        case Classification(scores=scores):
            yield from (one.label for one in scores)
        case Detection(objects=objects):
            yield from (one.label for one in objects)
        case Entities(entities=entities):
            yield from (one.label for one in entities)
        case Frames(frames=frames):
            for frame in frames:
                yield from _labels(frame.answer)


class _Composer:
    """Writes the payloads of one job."""

    def __init__(self, target: Target, text: str | None) -> None:
        self._target = target
        self._job: Job = target.job
        self._text = text

    def response(self, answer: Definite) -> dict[str, Any]:
        if isinstance(answer, Frames):
            return self._video(answer)
        payload = self._payload(answer, "answer", None)
        return {} if payload is None else {self._job.name: payload}

    def _payload(
        self, answer: Classification | Detection | Entities | Transcription, where: str, frame: int | None
    ) -> dict[str, Any] | None:
        policy = self._target.policy
        if isinstance(answer, Classification):
            return compose_classification(answer, self._job, policy, where)
        if isinstance(answer, Detection):
            return compose_detection(answer, self._target, where, frame)
        if isinstance(answer, Entities):
            return compose_entities(answer, self._job, policy, self._text, where)
        return {"text": answer.text}

    def _video(self, answer: Frames) -> dict[str, Any]:
        response: dict[str, Any] = {}
        for index, frame in enumerate(answer.frames):
            if str(frame.index) in response:
                raise _twice(frame.index, index)
            payload = self._payload(frame.answer, f"answer.frames[{index}].answer", frame.index)
            response[str(frame.index)] = {} if payload is None else {self._job.name: _keyed(payload, frame.key)}
        return response


def _keyed(payload: dict[str, Any], key: bool) -> dict[str, Any]:
    """Objects carry their own key-frame mark, a classification carries one for the job."""
    if "annotations" not in payload:
        return payload | {"isKeyFrame": key}
    return {"annotations": [annotation | {"isKeyFrame": key} for annotation in payload["annotations"]]}


def _twice(frame: int, index: int) -> OntologyError:
    return OntologyError(
        f"answer.frames[{index}].index",
        f"frame {frame} is answered twice",
        "send each frame once",
        "duplicate_frame",
    )


def _check_expressible(answer: Definite, interface: Interface) -> None:
    """Refuse an answer that says less than a response of this kind of project needs."""
    if interface.is_video and not isinstance(answer, Frames):
        raise OntologyError(
            "answer",
            f"a {answer.kind} without frames does not fit a {interface.input_type} project",
            "send one answer per frame, or Kili's own response",
            "frames_missing",
        )
    lacks = _lacking(answer, interface)
    if lacks:
        raise OntologyError("answer", lacks, "send Kili's own response", "not_expressible")


def _lacking(answer: Definite, interface: Interface) -> str | None:
    if isinstance(answer, Frames) and not interface.is_video:
        return f"an answer by frame does not fit a {interface.input_type} project"
    if isinstance(answer, Detection) and interface.in_degrees:
        return "positions relative to the image are no longitudes and latitudes"
    if isinstance(answer, Entities) and interface.is_pdf:
        return "entities of a PDF need areas on pages, offsets into a text are not enough"
    return None
