"""What a producer or the project's configuration says about a payload beside the payload itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

from worker.formats.output import Answer, ModelOutput, OutputError

if TYPE_CHECKING:
    from worker.formats.mappings.catalogue import Catalogue

ScoreKind = Literal["probability", "logit"]
Units = Literal["pixel", "relative"]
Strings = Literal["label", "text"]


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """How to read a payload; every option but ``format`` may be left out.

    - ``format``: a family's name, ``auto``, or ``envelope/family`` as ``Reading.format`` reports it.
    - ``classes``: names by index (a list), or a mapping from an index or a model's own label to a name.
    - ``image_size``: width and height in pixels, for coordinates in pixels.
    - ``score_kind``: ``logit`` where scores are raw; they are soft-maxed (sigmoid when ``exclusive`` is False).
    - ``job``: the Kili job the answer belongs to.
    - ``text``: the text the model read; entity offsets are checked against it and quote it.
    - ``units``: ``pixel`` or ``relative`` (0 to 1), where the family does not fix the unit.
    - ``exclusive``: True for single choice, False for multi-label, None where the job decides.
    - ``field``: the tensor, column, key or control to read where the payload holds several.
    - ``point_names``: names of a pose's points in the model's order.
    - ``frames``: the rows are the frames of one video, in order, not several items.
    - ``strings``: whether a bare string is a class ``label`` or a ``text`` the model wrote.
    - ``mappings``: the mappings that are known; None for those that are shipped.
    - ``result``: what lies at the place that the payload only points to (see ``ResultPointer``).

    Raises OutputError when an option has no meaning.
    """

    format: str = "auto"
    classes: Sequence[str] | Mapping[str | int, str] | None = None
    image_size: tuple[int, int] | None = None
    score_kind: ScoreKind | None = None
    job: str | None = None
    text: str | None = None
    units: Units | None = None
    exclusive: bool | None = None
    field: str | None = None
    point_names: Sequence[str] | None = None
    strings: Strings = "label"
    frames: bool = False
    mappings: Catalogue | None = None
    result: Any = None

    def __post_init__(self) -> None:
        _check_names("classes", self.classes)
        _check_names("point_names", self.point_names)
        _check_choice("score_kind", self.score_kind, (None, *get_args(ScoreKind)))
        _check_choice("units", self.units, (None, *get_args(Units)))
        _check_choice("strings", self.strings, get_args(Strings))
        if self.image_size is not None:
            _check_size(self.image_size)

    def output(
        self, answer: Answer, *, external_id: str | None = None, evidence: Mapping[str, Any] | None = None
    ) -> ModelOutput:
        """Wrap an answer for the job these options name."""
        return ModelOutput(answer, job=self.job, external_id=external_id, evidence=dict(evidence or {}))


def _check_names(field: str, names: Sequence[str] | Mapping[str | int, str] | None) -> None:
    if names is None:
        return
    if isinstance(names, str) or not isinstance(names, Sequence | Mapping):
        raise OutputError(field, "neither a list of names nor a mapping to names")
    values = names.values() if isinstance(names, Mapping) else names
    if not names or not all(isinstance(name, str) and name for name in values):
        raise OutputError(field, "needs at least one name, and no empty name")
    if not isinstance(names, Mapping) and len(set(names)) < len(names):
        raise OutputError(field, "a name appears twice")


def _check_choice(field: str, value: object, allowed: tuple[object, ...]) -> None:
    if value not in allowed:
        names = ", ".join(str(choice) for choice in allowed if choice is not None)
        raise OutputError(field, f"{value!r} is not known", f"use one of {names}")


def _check_size(size: tuple[int, int]) -> None:
    whole = all(isinstance(side, int) and not isinstance(side, bool) for side in size)
    if len(size) != 2 or not whole or min(size) < 1:
        raise OutputError("image_size", "needs two whole numbers of pixels", "send [width, height]")
