"""Random projects, and random outputs and responses that fit them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from hypothesis import strategies as st
from ontology_fixtures import choice, detection, entities, named, pose, project, ring_of, transcription

from worker.contract.output import (
    Answer,
    Classification,
    ClassScore,
    DetectedObject,
    Detection,
    Entities,
    Entity,
    Frame,
    Frames,
    ModelOutput,
    Shape,
    Transcription,
)

NAMES = ("CAT", "BIG_DOG", "FISH", "RED_FOX", "OWL")
CODES = ("NOSE", "LEFT_EYE", "TAIL")
TEXT = "Zoë and Bob met 7 owls in Zürich."

SINGLE = st.sampled_from(["radio", "singleDropdown"])
MULTIPLE = st.sampled_from(["checkbox", "multipleDropdown"])
SHARE = st.sampled_from([0.0, 0.25, 0.5, 1.0]) | st.integers(0, 1000).map(lambda n: n / 1000)
SCORE = st.none() | SHARE
CATEGORIES = st.lists(st.sampled_from(NAMES), min_size=1, unique=True)

AREA_TOOLS = ("rectangle", "polygon", "semantic")
LINE_TOOLS = ("polyline", "vector")


class Asked(NamedTuple):
    """A project, one of its jobs, the kind of its assets, and answers that the job takes."""

    json_interface: dict[str, Any]
    job: str
    input_type: str
    answers: st.SearchStrategy[Answer]

    def outputs(self) -> st.SearchStrategy[ModelOutput]:
        return self.answers.map(lambda answer: ModelOutput(answer, job=self.job))


def spelled(name: str) -> st.SearchStrategy[str]:
    """A category's name, its name in lower case, its display name."""
    return st.sampled_from([name, name.lower(), named(name)[name]["name"]])


@st.composite
def rows(draw: st.DrawFn, names: list[str], exclusive: bool) -> Classification:
    """A whole distribution for one choice; independent scores, at least one of them high, for several."""
    marks = draw(st.lists(st.integers(0, 50), min_size=len(names), max_size=len(names)))
    marks[draw(st.integers(0, len(names) - 1))] += 51
    total = sum(marks) if exclusive else 101
    scores = [ClassScore(draw(spelled(name)), mark / total) for name, mark in zip(names, marks, strict=True)]
    return Classification(tuple(draw(st.permutations(scores))), exclusive, exclusive)


@st.composite
def rings(draw: st.DrawFn, tool: str) -> tuple[tuple[tuple[float, float], ...], ...]:
    if tool == "rectangle":
        (left, right), (top, bottom) = sorted((draw(SHARE), draw(SHARE))), sorted((draw(SHARE), draw(SHARE)))
        return (ring_of(left, top, right, bottom),)
    fewest, most = {"marker": (1, 1), "pose": (3, 3), "polyline": (2, 6), "vector": (2, 4)}.get(tool, (3, 7))
    ring = st.lists(st.tuples(SHARE, SHARE), min_size=fewest, max_size=most).map(tuple)
    return tuple(draw(st.lists(ring, min_size=1, max_size=2 if tool == "semantic" else 1)))


@st.composite
def found(draw: st.DrawFn, names: list[str], tools: list[str], pages: bool) -> DetectedObject:
    tool = draw(st.sampled_from(tools))
    codes = CODES if tool == "pose" else ()
    visible = tuple(index == 0 or draw(st.booleans()) for index, _ in enumerate(codes))
    shape = Shape(tool, draw(rings(tool)), codes, visible)  # type: ignore[arg-type]
    page = draw(st.integers(1, 3)) if pages else None
    return DetectedObject(draw(spelled(draw(st.sampled_from(names)))), shape, draw(SCORE), page=page)


def detections(names: list[str], tools: list[str], pages: bool = False) -> st.SearchStrategy[Answer]:
    return st.lists(found(names, tools, pages), max_size=5).map(lambda items: Detection(tuple(items)))


@st.composite
def spans(draw: st.DrawFn, names: list[str]) -> Entities:
    def one(label: str, begin: int, length: int, score: float | None) -> Entity:
        end = min(len(TEXT), begin + length)
        return Entity(label, begin, end, TEXT[begin:end], score)

    label = st.sampled_from(names).flatmap(spelled)
    offsets = st.integers(0, len(TEXT) - 1)
    return Entities(tuple(draw(st.lists(st.builds(one, label, offsets, st.integers(1, 6), SCORE), max_size=5))))


def by_frame(answers: st.SearchStrategy[Any]) -> st.SearchStrategy[Answer]:
    frames = st.lists(st.tuples(answers, st.booleans()), min_size=1, max_size=3)
    return frames.map(lambda items: Frames(tuple(Frame(n, answer, key) for n, (answer, key) in enumerate(items))))


Made = tuple[dict[str, Any], str, st.SearchStrategy[Answer]]


def single_choices(draw: st.DrawFn, names: list[str]) -> Made:
    return choice(*names, input=draw(SINGLE)), draw(st.sampled_from(["IMAGE", "TEXT", "PDF"])), rows(names, True)


def multiple_choices(draw: st.DrawFn, names: list[str]) -> Made:
    return choice(*names, input=draw(MULTIPLE)), "IMAGE", rows(names, False)


def areas_and_lines(draw: st.DrawFn, names: list[str]) -> Made:
    known = [*AREA_TOOLS, *LINE_TOOLS, "marker"]
    tools = draw(st.lists(st.sampled_from(known), min_size=1, max_size=3, unique=True))
    return detection(*names, tools=tools), "IMAGE", detections(names, tools)


def areas_on_pages(draw: st.DrawFn, names: list[str]) -> Made:
    tools = draw(st.lists(st.sampled_from(AREA_TOOLS), min_size=1, unique=True))
    return detection(*names, tools=tools), "PDF", detections(names, tools, pages=True)


def poses(draw: st.DrawFn, names: list[str]) -> Made:
    return pose(names[0], *CODES), "IMAGE", detections(names[:1], ["pose"])


def names_in_text(draw: st.DrawFn, names: list[str]) -> Made:
    return entities(*names), "TEXT", spans(names)


def texts(draw: st.DrawFn, names: list[str]) -> Made:
    return transcription(), "IMAGE", st.builds(Transcription, st.text(max_size=12))


def choices_by_frame(draw: st.DrawFn, names: list[str]) -> Made:
    return choice(*names, input=draw(SINGLE)), "VIDEO", by_frame(rows(names, True))


def objects_by_frame(draw: st.DrawFn, names: list[str]) -> Made:
    tools = [draw(st.sampled_from(AREA_TOOLS))]
    return detection(*names, tools=tools), "VIDEO", by_frame(detections(names, tools))


KINDS: dict[str, Callable[[st.DrawFn, list[str]], Made]] = {
    make.__name__: make
    for make in (
        single_choices,
        multiple_choices,
        areas_and_lines,
        areas_on_pages,
        poses,
        names_in_text,
        texts,
        choices_by_frame,
        objects_by_frame,
    )
}


@st.composite
def asked(draw: st.DrawFn, kind: str) -> Asked:
    """A project with a job of the given kind, required or not, and up to two optional jobs beside it."""
    job, input_type, answers = KINDS[kind](draw, draw(CATEGORIES))
    job["required"] = draw(st.integers(0, 1))
    others = draw(st.lists(st.sampled_from(["COLOR", "CAPTION"]), unique=True))
    beside = {"COLOR": choice("RED", "BLUE"), "CAPTION": transcription()}
    jobs = {"ASKED": job} | {name: beside[name] for name in others}
    order = draw(st.permutations(list(jobs)))
    return Asked(project(**{name: jobs[name] for name in order}), "ASKED", input_type, answers)
