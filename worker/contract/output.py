"""What a model said, in words no serving stack and no labeling platform owns.

Every format family turns its payload into a :class:`ModelOutput`; ``worker.ontology`` turns that into a Kili
``json_response``. Scores are probabilities in [0, 1] by the time they are here (logits are soft-maxed by the
family that read them). Geometry is relative to the image: x and y in [0, 1], origin top left, y down.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass, field
from typing import Any, Literal

Point = tuple[float, float]


class OutputError(ValueError):
    """A model output that cannot be read: names the field, what is wrong with it, and the fix.

    ``format`` and ``why`` tell what the payload was taken for, where that was clear before it turned out to be wrong.
    """

    format = ""
    why = ""

    def __init__(self, field: str, problem: str, fix: str = "") -> None:
        self.field = field
        self.problem = problem
        self.fix = fix
        super().__init__(f"{field}: {problem}" + (f"; {fix}" if fix else ""))


# Every message makes some of the three that are not frozen; a frozen one takes three times as long to make.
@dataclass(slots=True, unsafe_hash=True)
class ClassScore:
    """A class the model named, with its probability in [0, 1] where the model gave one."""

    label: str
    score: float | None = None


@dataclass(slots=True, unsafe_hash=True)
class Classification:
    """Scores over classes of one question.

    ``exclusive`` tells single choice (True) from multi-label (False); None where the payload does not say and
    the project's job decides. ``complete`` is True when the scores are a whole distribution (they sum to 1).
    ``chosen`` is True when the model itself chose these classes, so that no threshold may leave one out.
    """

    scores: tuple[ClassScore, ...]
    exclusive: bool | None = None
    complete: bool = False
    chosen: bool = False
    kind: Literal["classification"] = "classification"


@dataclass(frozen=True, slots=True)
class Shape:
    """Geometry in relative coordinates.

    ``tool`` is the Kili tool name. ``rings`` holds, for ``rectangle`` four corners in one ring, for ``polygon``
    one ring, for ``semantic`` outlines (clockwise as seen), each followed by its holes (the other way), for
    ``polyline``/``vector`` one open ring, for ``marker`` one ring of one point, for ``pose`` one ring with one
    point per name of ``point_names``.
    """

    tool: Literal["rectangle", "polygon", "semantic", "polyline", "vector", "marker", "pose"]
    rings: tuple[tuple[Point, ...], ...]
    point_names: tuple[str, ...] = ()
    visible: tuple[bool, ...] = ()


@dataclass(frozen=True, slots=True)
class DetectedObject:
    """One object: its class, its probability in [0, 1], its shape.

    ``track_id`` is the same for one object in all frames of a video; ``page`` counts a PDF's pages from 1.
    """

    label: str
    shape: Shape
    score: float | None = None
    track_id: str | None = None
    page: int | None = None


@dataclass(frozen=True, slots=True)
class Detection:
    """Objects in one image or frame. An empty tuple is an answer: nothing was found."""

    objects: tuple[DetectedObject, ...]
    kind: Literal["detection"] = "detection"


@dataclass(frozen=True, slots=True)
class Entity:
    """A span of text: ``begin`` and ``end`` are character offsets, end exclusive."""

    label: str
    begin: int
    end: int
    text: str
    score: float | None = None


@dataclass(frozen=True, slots=True)
class Entities:
    """Named entities of one text."""

    entities: tuple[Entity, ...]
    kind: Literal["entities"] = "entities"


@dataclass(frozen=True, slots=True)
class Transcription:
    """A text the model wrote. ``score`` is its probability in [0, 1]; ``token_logprobs`` are natural logs."""

    text: str
    score: float | None = None
    token_logprobs: tuple[float, ...] = ()
    kind: Literal["transcription"] = "transcription"


@dataclass(frozen=True, slots=True)
class KiliResponse:
    """Kili's own ``json_response``, passed on as it came (it is still validated by ``worker.ontology``)."""

    json_response: dict[str, Any]
    kind: Literal["kili"] = "kili"


@dataclass(frozen=True, slots=True)
class Frame:
    """What the model said about one frame of a video; frames count from 0.

    ``key`` is False for a frame whose answer was interpolated between key frames.
    """

    index: int
    answer: Classification | Detection
    key: bool = True


@dataclass(frozen=True, slots=True)
class Frames:
    """One answer per frame of a video, each frame at most once."""

    frames: tuple[Frame, ...]
    kind: Literal["frames"] = "frames"


@dataclass(frozen=True, slots=True)
class Nothing:
    """Nothing was found, and the payload does not say of what kind it would have been: the project's job decides."""

    kind: Literal["nothing"] = "nothing"


@dataclass(frozen=True, slots=True)
class Either:
    """One answer that reads in several ways (a word is a class or a text): the first that the project has a job for."""

    answers: tuple[Classification | Transcription | Detection | Entities, ...]
    kind: Literal["either"] = "either"


@dataclass(frozen=True, slots=True)
class Several:
    """One answer per job, by the job's name (which is compared without regard to case and punctuation)."""

    answers: dict[str, Classification | Detection | Entities | Transcription | Either | Nothing]
    kind: Literal["several"] = "several"


Answer = Classification | Detection | Entities | Transcription | Frames | KiliResponse | Nothing | Either | Several


@dataclass(slots=True, unsafe_hash=True)
class ModelOutput:
    """What the model said about one asset.

    ``job`` is the Kili job the answer belongs to, or None when only one job of the project can take it.
    ``external_id`` is set when the payload itself names the asset.
    """

    answer: Answer
    job: str | None = None
    external_id: str | None = None
    evidence: dict[str, Any] = field(default_factory=dict)


def same_text(word: str, found: str) -> bool:
    """Whether letters and digits are the same, and the text has no more punctuation at its ends than the word."""
    return letters(word) == letters(found) and not has_more_at_ends(word, found)


def letters(text: str) -> str:
    """The letters and digits of a text, without case and accents."""
    return "".join(filter(str.isalnum, unicodedata.normalize("NFKD", text.casefold())))


def has_more_at_ends(word: str, found: str) -> bool:
    """Whether the text begins or ends with punctuation where the word has a letter or a digit: offsets that are off."""
    ours, theirs = word.strip(), found.strip()
    if not ours or not theirs:
        return False
    return any(_is_mark(text) and one.isalnum() for one, text in ((ours[0], theirs[0]), (ours[-1], theirs[-1])))


def _is_mark(character: str) -> bool:
    return unicodedata.category(character).startswith("P")
